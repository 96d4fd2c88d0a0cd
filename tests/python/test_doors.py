"""Tables and variables that dbt itself refuses, before anything is built."""

import os
import re
import shutil
import subprocess

import duckdb
import jinja2
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from test_builds import BIN, Build

pytestmark = pytest.mark.slow

ORDERS = """
    select
        'c' || (n % 40) as customerno,
        timestamp '2024-01-01 10:00:00' + to_days(n::integer) as orderedat,
        10.5 + n % 7 as nettotal
    from range(200) as numbers(n)
"""
STANDARD = "select customerno as user_id, orderedat as ts, nettotal as amount from o"
MAPPING = {
    "transactions": {"user_id": "customerno", "ts": "orderedat", "amount": "nettotal"}
}
# Variables that decide which inputs and models there are, when the project is read.
DECIDING = {"clv_input_tables", "clv_source_schema", "clv_segment_percentiles"}
EMAIL, PHONE, NAME = "jane@quillfeather.org", "+49 170 7654321", "Jane Quillfeather"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A warehouse that nobody loaded files into."""
    return Build(tmp_path_factory.mktemp("doors"))


def give(shop, query, table="transactions", others=()):
    """Make the schema of inputs hold this table, over the orders `o`, alone."""
    with duckdb.connect(str(shop.database)) as connection:
        connection.execute("drop schema if exists warehouse.clv_raw cascade")
        connection.execute("create schema warehouse.clv_raw")
        connection.execute(
            f"create table warehouse.clv_raw.{table} as with o as ({ORDERS}) {query}"
        )
        for statement in others:
            connection.execute(statement)


def run(shop, **variables):
    """Run the first models; return what was printed, in one line."""
    printed = shop.call(
        *(
            "dbt",
            "--no-use-colors",
            *("--log-level-file", "debug"),
            "run",
            "--select",
            "stg_transactions",
            "stg_consents",
        ),
        *("--vars", yaml.safe_dump(variables)),
        may_fail=True,
        knows=not variables.keys() & DECIDING and shop.database.stem == "warehouse",
    )
    return " ".join(printed.split())


def assert_nobody_is_named(shop, printed):
    """Neither in what was printed nor in a file that dbt left."""
    left = [printed.encode()]
    for folder in ("logs", "target"):
        files = (shop.folder / folder).rglob("*")
        left += [path.read_bytes() for path in files if path.is_file()]
    assert len(left) > 3
    for text in left:
        assert not re.search(rb"quillfeather|7654321", text.lower())


def test_columns_and_tables_that_are_absent_are_null_and_said_once(shop):
    give(shop, "select * from o")
    said = run(shop, clv_input_columns=MAPPING)
    assert shop.exit_code == 0, said
    assert said.count("transactions has no currency, channel, sku, country") == 1
    assert said.count("no table customers, identities, events, ad_spend") == 1
    assert '"transactions": 200 lines, 2024-01-01 to 2024-07-18' in said
    assert "no currency named" in said
    staged = shop.read("from clv_staging.stg_transactions")
    assert len(staged) == 200
    assert staged["amount"].sum() == pytest.approx(2694)
    assert staged["sku"].isna().all()


@pytest.mark.parametrize(
    ("user_id", "amount", "lines", "refused"),
    [
        ("case when n % 15 = 0 then ' Guest' else n % 40 || 'c' end", "10", 300, 20),
        ("case when n % 25 = 0 then ' Guest' else n % 40 || 'c' end", "10", 300, 0),
        # 2 % of the lines, and two thirds of the revenue.
        ("case when n % 50 = 0 then 'n/a' else n % 40 || 'c' end", "1000", 300, 6),
        # 0 may be one of ten customers; of a longer log it is nobody.
        ("n % 10", "10", 300, 0),
        ("n % 10", "10", 1000, 100),
    ],
)
def test_ids_that_stand_for_nobody_are_no_customer(
    shop, user_id, amount, lines, refused
):
    """Of a table that no loader has seen."""
    give(
        shop,
        f"select {user_id} as user_id, case when n % 50 = 0 then {amount} else 10 end "
        "as amount, timestamp '2024-01-01 10:00:00' + to_days(n % 300) as ts "
        f"from (select n::integer as n from range({lines}) as numbers(n))",
    )
    said = run(shop)
    assert (shop.exit_code != 0) == bool(refused), said
    sentence = f"stands for nobody, such as guest, null or 0, in {refused} of {lines:,}"
    assert (sentence in said) == bool(refused), said
    assert ("in 12 rows, which count as a customer; see" in said) == ("25" in user_id)


def test_a_row_of_sums_is_not_a_customer(shop):
    total = "select 'Total ', max(orderedat), sum(nettotal) from o"
    give(shop, f"{STANDARD} union all {total}")
    said = run(shop)
    assert "user_id is a word for a sum, such as Total, in 1 of 201 rows" in said


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo"])
def test_a_date_is_a_day_of_the_shop_and_a_timestamp_an_instant(shop, zone):
    dates = (
        "select customerno as user_id, orderedat::date as ts, nettotal as amount from o"
    )
    moment = "create table warehouse.clv_raw.consents as select 'c1' as user_id, "
    moment += (
        "'email' as channel, true as is_granted, timestamp '2024-01-01' as updated_at"
    )
    give(shop, dates, others=[moment])
    said = run(shop, clv_time_zone=zone)
    assert '"transactions": 200 lines, 2024-01-01 to 2024-07-18' in said
    local = f"timezone('{zone}', timezone('UTC', transacted_at))"
    assert shop.read(
        f"select min({local}), max({local}) from clv_staging.stg_transactions"
    ).astype(str).to_numpy().tolist() == [["2024-01-01", "2024-07-18"]]
    staged = shop.read("select updated_at from clv_staging.stg_consents")
    assert staged["updated_at"].astype(str).tolist() == ["2024-01-01"]


def test_a_copy_of_the_file_under_another_name_can_be_read_and_built(shop, monkeypatch):
    give(shop, STANDARD)
    run(shop)
    copy = shop.database.with_name("renamed.duckdb")
    with duckdb.connect(str(shop.database)) as connection:
        connection.execute("checkpoint")  # all of it in the one file
    shutil.copy(shop.database, copy)
    with duckdb.connect(str(copy)) as connection:
        read = "select count(*) from clv_staging.stg_transactions"
        assert connection.execute(read).fetchall() == [(200,)]
    monkeypatch.setattr(shop, "database", copy)
    assert '"renamed"."clv_raw"."transactions": 200 lines' in run(shop)
    assert shop.exit_code == 0


def test_all_that_is_missing_is_named_at_once_with_the_lines_to_paste(shop):
    give(shop, "select * from o")
    said = run(shop)
    assert shop.exit_code != 0
    assert "transactions (table transactions) has no column user_id, ts, amount" in said
    assert (
        "clv_input_columns: transactions: "
        "{user_id: customerno, ts: orderedat, amount: nettotal}"
    ) in said
    give(
        shop, STANDARD, others=["create table warehouse.clv_raw.consents as select 1 a"]
    )
    said = run(
        shop, clv_input_tables={"transactions": "orders", "consents": "consents"}
    )
    assert "there is no table warehouse.clv_raw.orders" in said
    assert (
        "consents (table consents) has no column user_id, channel, is_granted" in said
    )


def test_times_of_the_future_are_refused_in_other_inputs_too(shop):
    people = (
        "create table warehouse.clv_raw.customers as "
        "select 'c1' as user_id, timestamp '2203-01-01' as signup_ts"
    )
    give(shop, STANDARD, others=[people])
    said = run(shop)
    assert shop.exit_code != 0
    assert "clv: customers.signup_ts is more than a day from now in 1 of 1 rows" in said


def test_a_table_that_was_named_must_be_there(shop):
    give(shop, STANDARD)
    said = run(shop, clv_input_tables={"transactions": "transactions", "events": "e2"})
    assert shop.exit_code != 0
    assert "there is no table warehouse.clv_raw.e2" in said


@pytest.mark.parametrize(
    ("query", "variables", "sentence"),
    [
        (f"{STANDARD} where false", {}, "transactions is empty"),
        (
            f"{STANDARD} union all select 'c1', timestamp '2203-01-01', 5",
            {},
            "transactions.ts is more than a day from now in 1 of 201 rows",
        ),
        (
            "select customerno as user_id, epoch(orderedat)::bigint as ts, "
            "nettotal as amount from o",
            {},
            "transactions.ts is a number, not a time: put the expression that makes it "
            "one into var clv_input_columns",
        ),
        (
            f"{STANDARD} union all select 'c1', null, 5",
            {},
            "transactions.ts is null in 1 of 201 rows",
        ),
        (
            f"{STANDARD} union all select 'c1', timestamp '1970-01-01', 5",
            {},
            "transactions.ts is the zero of a clock, in 1970, or before in 1 of 201",
        ),
        (
            "select customerno as user_id, orderedat as ts, 1e12 as amount from o",
            {},
            "transactions.amount is 1,000,000,000 or more (no amount of one line) "
            "in 200 of 200 rows",
        ),
        (
            "select customerno as user_id, orderedat as ts, "
            "if(customerno = 'c3', 'nan'::double, 3.0) as amount from o",
            {},
            "transactions.amount cannot be read as decimal(18, 4) in 5 of 200 rows",
        ),
        (
            "select customerno as user_id, orderedat as ts, "
            f"if(customerno = 'c3', '{PHONE}', '3.0') as amount from o",
            {},
            "transactions.amount cannot be read as decimal(18, 4) in 5 of 200 rows",
        ),
        (
            "select customerno as user_id, orderedat as ts, -nettotal as amount from o",
            {},
            "transactions has no line that is a purchase: each of the 200 lines",
        ),
        (
            "select customerno as user_id, orderedat as ts, 0.0 as amount from o",
            {},
            "transactions has no line that is a purchase",
        ),
        (
            "select customerno as user_id, orderedat as ts, nettotal > 12 as amount "
            "from o",
            {},
            "transactions.amount is true or false, not an amount",
        ),
        (
            "select ' ' as user_id, orderedat as ts, nettotal as amount from o",
            {},
            "transactions has no line that is a purchase: each of the 200 lines",
        ),
        (
            STANDARD,
            {"clv_as_of_date": "2023-12-31"},
            "transactions has no line that is a purchase: each of the 200 lines of "
            '"warehouse"."clv_raw"."transactions" is a refund or has no user_id or no '
            "amount above 0, or is after 2023-12-31, var clv_as_of_date; the first is "
            "of 2024-01-01",
        ),
        (
            f"{STANDARD} union all select 'c1', now()::timestamp, 5",
            {"clv_period": "month"},
            f"transactions has lines of {pd.Timestamp.now('UTC'):%Y-%m}, a month that "
            "is not over: with clv_period: month, name the last day of one that is in "
            "var clv_as_of_date.",
        ),
        (
            "select customerno as user_id, orderedat as ts, nettotal as amount, "
            "true as is_refund from o",
            {"clv_value": "none"},
            "transactions has no line that is a purchase",
        ),
        (
            "select customerno as user_id, orderedat as ts, nettotal as amount, "
            f"if(customerno = 'c3', '{EMAIL}', 'EUR') as currency from o",
            {},
            f"transactions has amounts in 2 currencies, EUR to ({len(EMAIL)} "
            "characters): name the project's in var clv_currency",
        ),
    ],
)
def test_transactions_that_mean_nothing_stop_with_a_sentence(
    shop, query, variables, sentence
):
    give(shop, query)
    said = run(shop, **variables)
    assert shop.exit_code != 0
    assert f"clv: {sentence}" in said
    assert "'c3'" not in said
    assert_nobody_is_named(shop, said)
    assert not shop.read(
        "select * from information_schema.tables where table_schema = 'clv'"
    ).size


def test_columns_that_look_like_values_are_not_named(shop):
    people = ", ".join(f'1 as "{value}"' for value in (EMAIL, PHONE, NAME))
    other = f'create table warehouse.clv_raw.customers as select 1 as "{NAME}"'
    give(shop, f"select {people}", others=[other])
    said = run(shop)
    assert "has no column user_id, ts, amount; its 3 columns look like values" in said
    assert "has no column user_id; its 1 columns look like values" in said
    assert_nobody_is_named(shop, said)


def build_logs(shop, **variables):
    """Build int_logs and what it reads; return what was printed, in one line."""
    command = ("dbt", "--no-use-colors", "--log-level-file", "debug", "build")
    select = ("--select", "+int_logs", "--exclude-resource-type", "unit_test", "test")
    printed = shop.call(
        *command,
        *select,
        *("--vars", yaml.safe_dump(variables)),
        may_fail=True,
        knows=not variables.keys() & DECIDING,
    )
    assert shop.exit_code != 0
    return " ".join(printed.split())


def test_a_currency_without_a_rate_is_named_if_it_is_a_code(shop):
    give(shop, STANDARD.replace(" from", f", '{EMAIL}' as currency from"))
    said = build_logs(shop, clv_currency="EUR")
    assert f"2024-07-18, in ({len(EMAIL)} characters), counted in EUR." in said
    assert f"clv: transactions.currency ({len(EMAIL)} characters) has no rate" in said
    assert_nobody_is_named(shop, said)


def test_of_a_database_error_the_kind_is_kept(shop):
    """What a person's own expression raises, dbt prints: state keeps its kind."""
    give(shop, STANDARD.replace(" from", f", '{EMAIL}' as order_id from"))
    told = {"transactions": {"order_id": "cast(cast(order_id as int) as varchar)"}}
    assert "Could not convert" in build_logs(shop, clv_input_columns=told)
    assert shop.read(
        "select distinct message from clv_state.run_results where status = 'error' "
        "and invocation_id = (select max_by(invocation_id, recorded_at) "
        "from clv_state.run_results)"
    ).to_numpy().tolist() == [["Runtime Error, Conversion Error"]]


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("Got 3 results, configured to fail if != 0", "Got 3 results"),
        (
            "Runtime Error in model int_logs (models/a.sql)\n"
            "  Invalid Input Error: clv: transactions has few customers.\n",
            "clv: transactions has few customers.",
        ),
        (
            "Database Error in model a (models/a.sql)\n  Bad double value: Jane\n"
            "  compiled code at target/run/clv/models/a.sql",
            "Database Error",
        ),
        (
            "Runtime Error in model a (models/a.sql)\n  Python model failed:\n"
            "  ValueError: Jane Error",
            "Runtime Error, ValueError",
        ),
        ("Jane is not a number", ""),
    ],
)
def test_what_is_kept_of_a_message(message, kept):
    source = (ROOT / "macros" / "state" / "record_run.sql").read_text()
    macro = source[source.index("{% macro kept_message") :].split("{#")[0]
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    found = []
    template = environment.from_string(macro + "{% do kept_message(message) %}")
    template.render(message=message, modules={"re": re}, **{"return": found.append})
    assert found == [kept]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"clv_margn_rate": 0.35},
            "there is no variable 'clv_margn_rate': clv_margin_rate is the nearest one",
        ),
        (
            {"clv_horizon": [30]},
            "there is no variable 'clv_horizon': clv_horizons is the nearest one",
        ),
        (
            {"clv_backtest_days": [91, 182, 91]},
            "var 'clv_backtest_days' must not name anything twice; it is [91, 182, 91]",
        ),
        (
            {"clv_horizons": [30, 90, 90, 180, 365]},
            "var 'clv_horizons' must not name anything twice",
        ),
        (
            {"clv_consent_channels": ["email", "Email"]},
            "var 'clv_consent_channels' must not name anything twice",
        ),
        (
            {"clv_export_bands": [10, 100, 50]},
            "var 'clv_export_bands' must be a list of rising numbers above 0",
        ),
        ({"clv_currency": "eur"}, "var 'clv_currency' must be a code in capitals"),
        (
            {"clv_as_of_date": "2024-02-30"},
            "var 'clv_as_of_date' must be a date such as 2024-12-31",
        ),
        (
            {"clv_as_of_date": "2203-01-01"},
            "var 'clv_as_of_date' must be a date such as 2024-12-31, not after today",
        ),
        (
            {"clv_margin_rate": True},
            "var 'clv_margin_rate' must be a number from 0 to 1",
        ),
        (
            {"clv_time_zone": "Europe/Atlantis"},
            "var 'clv_time_zone' must be the IANA name",
        ),
        ({"clv_min_cell": 0}, "var 'clv_min_cell' must be a whole number of customers"),
        ({"clv_words": {"client": "member"}}, "var 'clv_words' must have a word for"),
        ({"clv_words": {"customer": ""}}, "var 'clv_words' must have a word for"),
        ({"clv_words": {"customer": 7}}, "var 'clv_words' must have a word for"),
        ({"clv_currency": "euro"}, "var 'clv_currency' must be a code in capitals"),
        ({"clv_horizons": 90}, "var 'clv_horizons' must be a list"),
        (
            {"clv_horizons": [30, 90, 180, 365, 60]},
            "var 'clv_horizons' must be a list of rising whole days",
        ),
        ({"clv_backtest_days": ["x"]}, "var 'clv_backtest_days' must be a list"),
        ({"clv_segment_percentiles": 3}, "var 'clv_segment_percentiles' must be a map"),
        ({"clv_input_tables": 5}, "var 'clv_input_tables' must name the table"),
        (
            {"clv_input_columns": "x"},
            "var 'clv_input_columns' must have columns by input",
        ),
        (
            {"clv_input_columns": {"transactions": {"user": "x"}}},
            "var 'clv_input_columns' has transactions.user, where transactions has",
        ),
    ],
)
def test_a_variable_that_is_none_or_malformed_is_named(shop, variables, sentence):
    said = run(shop, **variables)
    assert shop.exit_code != 0
    assert f"clv: {sentence}" in said


def test_the_list_of_variables_is_that_of_the_project():
    macro = (ROOT / "macros" / "checks" / "check_config.sql").read_text()
    listed = macro.split("macro variable_names()")[1].split("return([")[1]
    names = [part.strip(" '\n") for part in listed.split("])")[0].split(",")]
    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text())
    assert sorted(filter(None, names)) == sorted(project["vars"])


def test_an_empty_build_passes_and_leaves_state_as_it_was(tmp_path):
    shop = Build(tmp_path)
    give(shop, STANDARD)
    printed = shop.call(
        *("dbt", "--no-use-colors", "build", "--empty"),
        "--exclude-resource-type=unit_test",
        may_fail=True,
        knows=True,
    )
    assert shop.exit_code == 0, printed[-3000:]
    for table in ("accepted_loads", "registry_events", "equity_history", "run_results"):
        assert not shop.read(f"from clv_state.{table}").size


def test_compiling_for_bigquery_needs_no_network(shop):
    """A proxy that nobody listens at stands for a network that is not there."""
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [BIN / "dbt", "compile", "--target", "bigquery_offline"],
        cwd=shop.folder,
        env=os.environ
        | nowhere
        | {
            "DBT_PROFILES_DIR": str(shop.folder),
            "DBT_TARGET_PATH": str(shop.folder / "offline"),
            "DBT_LOG_PATH": str(shop.folder / "logs"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
