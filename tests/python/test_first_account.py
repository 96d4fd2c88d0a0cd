"""What a first day on BigQuery would stumble over, with clients that forbid it."""

import datetime
import re
import sys
from copy import deepcopy
from types import SimpleNamespace

import duckdb
import jinja2
import pytest
import yaml
from conftest import ROOT
from google.api_core.exceptions import Forbidden, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Dataset, SchemaField, TimePartitioning

sys.path.insert(0, str(ROOT / "scripts"))
import export_warehouse
import grant_access
import load_bigquery
import load_input

# --- A1: no account of a build may create datasets -----------------------------------


class Strict:
    """A client of an account that may write to the datasets there are, and no more."""

    project = "shop"

    def __init__(self, *datasets):
        self.datasets = {name: Dataset(f"shop.{name}") for name in datasets}
        self.loaded, self.updated, self.policies = {}, [], {}

    def get_dataset(self, name):
        """Return one that is there."""
        if (name := name.rpartition(".")[2]) not in self.datasets:
            raise NotFound(name)
        return self.datasets[name]

    def create_dataset(self, *_, **__):
        """Refuse, whether it is there or not, as BigQuery does."""
        raise Forbidden("bigquery.datasets.create")

    def get_table(self, name):
        """Find the tables of customers and of events alone."""
        if name.rpartition(".")[2] not in ("customers", "events"):
            raise NotFound(name)

    def load_table_from_file(self, _, table, job_config):
        """Keep how a table was loaded."""
        self.loaded[table.rpartition(".")[2]] = job_config
        return SimpleNamespace(result=lambda **_: None)


@pytest.fixture
def database(tmp_path):
    """Return a DuckDB file with inputs: four lines of two customers."""
    log = tmp_path / "log.csv"
    log.write_text("user_id,ts,amount\nc1,2024-01-31,5\nc2,2024-02-01,6\n")
    path = tmp_path / "input.duckdb"
    load_bigquery.load(log, path, load_bigquery.reading_options(READING))
    return path


READING = SimpleNamespace(value="margin", columns="", dates="", decimal="")


def test_the_loader_needs_no_right_to_create_datasets_and_partitions(database):
    client = Strict("clv_raw")
    load_bigquery.push(client, database, "clv_raw", "EU")
    by_month = {
        name: job.time_partitioning.type_
        for name, job in client.loaded.items()
        if job.time_partitioning
    }
    # What is there keeps its partitions: BigQuery refuses to change them in a load.
    assert by_month == {"transactions": "MONTH", "text_signals": "MONTH"}


def test_the_loader_makes_a_dataset_that_is_missing(database):
    with pytest.raises(Forbidden, match=r"datasets\.create"):
        load_bigquery.push(Strict(), database, "clv_raw", "EU")


def test_the_loader_does_not_empty_what_says_who_may_be_contacted():
    class Held(Strict):
        def get_table(self, name):
            """Hold two statements on consent and an empty table of statuses."""
            return SimpleNamespace(num_rows=2 * name.endswith(".consents"))

    with pytest.raises(load_input.InputFaultError, match="file consents with 2 rows"):
        load_bigquery.refuse_forgotten(Held(), "clv_raw", {"transactions"})
    load_bigquery.refuse_forgotten(Held(), "clv_raw", {"transactions", "consents"})
    load_bigquery.refuse_forgotten(Strict(), "clv_raw", {"transactions"})


# --- A2: who touches what ------------------------------------------------------------


def relation(name, file, schema, *parents, **changes):
    return {
        "resource_type": "model",
        "name": name,
        "schema": schema,
        "original_file_path": file,
        "config": {"materialized": "table"},
        "depends_on": {"nodes": list(parents)},
    } | changes


@pytest.fixture
def manifest():
    """Return a small one: an audience that asks for consents, a mart on state."""
    raw = {"resource_type": "source", "source_name": "clv_raw"}
    state = {"resource_type": "source", "source_name": "clv_state"}
    view = {"config": {"materialized": "view"}}
    names = {
        "raw": relation("consents", "models/staging/s.yml", "other", **raw),
        "ledger": relation("export_ledger", "models/x.yml", "clv_state", **state),
        "runs": relation("run_results", "models/x.yml", "clv_state", **state),
        "seed": relation("rates", "seeds/rates.csv", "clv_reference"),
        "stated": relation("stg_c", "models/staging/s", "clv_staging", "raw", **view),
        "people": relation("customers", "models/marts/c.sql", "clv", "stated"),
        "log": relation("scoring_runs", "models/marts/r.sql", "clv", "runs", **view),
        "audience": relation(
            *("x__audience", "models/export/a.sql", "clv_export", "stated", "people"),
            **view,
        ),
    }
    return {
        "nodes": {k: v for k, v in names.items() if v["resource_type"] == "model"},
        "sources": {k: v for k, v in names.items() if v["resource_type"] == "source"},
    }


def need(manifest):
    return grant_access.needed(manifest, ["x__audience"], ["export_ledger"])


def test_rights_follow_from_what_each_account_reads(manifest):
    wanted = need(manifest)
    assert wanted["principals"] == {
        "build": {
            "raw": "all",
            "datasets": {
                **{"marts": "owner", "staging": "owner", "state": "owner"},
                **{"reference": "editor", "export": "editor"},
            },
        },
        "export": {
            "raw": ["consents"],
            "datasets": {"export": "reader", "state": "editor"},
        },
        "bi": {"raw": [], "datasets": {"marts": "reader"}},
        "audience": {"raw": ["consents"], "datasets": {"export": "reader"}},
    }
    assert wanted["views"] == {
        **{"staging": ["export"], "marts": ["export"], "state": ["marts"]}
    }


@pytest.mark.parametrize(
    ("node", "changes", "sentence"),
    [
        # A mart that becomes a view over what BI may not read.
        ("people", {"config": {"materialized": "view"}}, "bi needs raw ['consents']"),
        ("people", {"config": {"materialized": "view"}}, "views that read staging"),
        # A view of the export that reads state, and one that reads it no more.
        ("audience", {"depends_on": {"nodes": ["runs"]}}, "state are those of"),
        ("audience", {"depends_on": {"nodes": []}}, "export needs raw [], and is"),
        # A dataset of its own for the seeds.
        ("seed", {"schema": "clv_seeds"}, "build needs datasets"),
    ],
)
def test_a_right_that_is_missing_or_too_much_is_found(
    manifest, node, changes, sentence
):
    found = need(manifest)
    assert list(grant_access.differences(found, need(manifest))) == []
    changed = deepcopy(manifest)
    (changed["nodes"].get(node) or changed["sources"][node]).update(changes)
    sentences = list(grant_access.differences(found, need(changed)))
    assert any(sentence in each for each in sentences), sentences


class Owner(Strict):
    """A client of an owner of the project, with one input table."""

    def create_dataset(self, dataset):
        """Make it."""
        self.datasets[dataset.dataset_id] = dataset
        return dataset

    def update_dataset(self, dataset, fields):
        """Take its access list."""
        assert fields == ["access_entries"]
        self.updated.append(dataset.dataset_id)

    def get_iam_policy(self, table):
        """Return that of the one table there is."""
        if not table.endswith(".consents"):
            raise NotFound(table)
        return self.policies.setdefault(table, SimpleNamespace(bindings=[]))

    def set_iam_policy(self, table, policy):
        """Take it."""
        self.policies[table] = policy


def grant(client, **members):
    grants = grant_access.Grants(client, "clv", "EU", members)
    grants.grant_datasets(True)
    grants.grant_inputs(True)
    return grants


def test_grants_are_those_of_the_list_and_the_second_time_none():
    client = Owner()
    account = "serviceAccount:a@shop.iam.gserviceaccount.com"
    first = grant(client, build=account, export=account, bi="group:bi@example.com")
    assert len(first.missing) > 6
    state = client.datasets["clv_state"]
    assert state.location == "EU"
    roles = {str(entry.entity_id): entry.role for entry in state.access_entries}
    # One account that is two: the stronger right.
    assert roles.pop("a@shop.iam.gserviceaccount.com") == "OWNER"
    assert "bi@example.com" not in roles
    # Views of the marts and of the export.
    assert set(roles.values()) == {None}
    assert ["'clv'" in views or "'clv_export'" in views for views in roles] == [
        True
    ] * 2
    [policy] = client.policies.values()
    assert policy.bindings == [{"role": grant_access.VIEWER, "members": {account}}]
    assert len(list(first.commands())) == 4
    client.updated.clear()
    assert grant(client, build=account, export=account).missing == []
    assert client.updated == []


# --- A4: a machine, or a repository, that sets nothing -------------------------------


class Environment(jinja2.Environment):
    """Jinja as far as profiles.yml and the macros here need it."""

    def __init__(self, **names):
        super().__init__(extensions=["jinja2.ext.do"])
        self.filters["as_number"] = float
        self.globals |= names


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_profile_needs_no_variable_of_the_environment(is_empty):
    def env_var(name, default):
        return "" if is_empty else default

    environment = Environment(env_var=env_var)
    text = (ROOT / "profiles.yml").read_text()
    [profile] = yaml.safe_load(text).values()
    for output in profile["outputs"].values():
        for key, value in output.items():
            if "{{" in str(value):
                output[key] = environment.from_string(str(value)).render()
    assert environment.from_string(profile["target"]).render() == "duckdb"
    bigquery = profile["outputs"]["bigquery"]
    assert bigquery["location"] == "EU"
    assert float(bigquery["maximum_bytes_billed"]) == 100 * 2**30
    assert all(output["threads"] for output in profile["outputs"].values())


def test_the_workflow_gives_every_variable_that_is_not_set_a_value():
    text = (ROOT / ".github" / "workflows" / "production.yml").read_text()
    for job in yaml.safe_load(text)["jobs"].values():
        for name, value in job.get("env", {}).items():
            if "vars." in str(value) and name != "CLV_BIGQUERY_PROJECT":
                assert "||" in value, name


def test_the_export_has_the_defaults_of_the_profile_and_labels_its_jobs(monkeypatch):
    login = "dbt.adapters.bigquery.credentials.create_google_credentials"
    monkeypatch.setattr(login, lambda _: AnonymousCredentials())
    monkeypatch.setenv("CLV_BIGQUERY_PROJECT", "shop")
    monkeypatch.setenv("CLV_BIGQUERY_LOCATION", "")
    client = export_warehouse.BigQuery("bigquery").client
    assert client.location == "EU"
    assert client.default_query_job_config.labels == {"node_id": "export_segments"}


# --- A5: datasets that delete what is new in them ------------------------------------


class RefusedError(Exception):
    """What a macro stops the run with."""


class ReturnedError(Exception):
    """What a macro returns."""


def refuse(sentence):
    raise RefusedError(sentence)


def give_back(value):
    raise ReturnedError(value)


def macros(file, **names):
    """Return the macros of a file, as dbt would have them, with stand-ins."""
    names |= {"exceptions": SimpleNamespace(raise_compiler_error=refuse)}
    names |= {"return": give_back}
    text = (ROOT / "macros" / file).read_text()
    for name in names:  # stand-ins for macros of this file, too
        text = re.sub(rf"{{% macro {name}\(.*?endmacro %}}", "", text, flags=re.DOTALL)
    return Environment(**names).from_string(text).make_module()


KEPT = {"expiration_timestamp": "null", "partition_expiration_days": "null"}


@pytest.mark.parametrize(
    ("config", "is_temporary", "options"),
    [
        ({"partition_by": {"field": "day"}}, False, KEPT),
        ({}, False, {"expiration_timestamp": "null"}),
        (
            {"partition_by": {"field": "day"}, "hours_to_expiration": 5},
            False,
            KEPT | {"expiration_timestamp": "in 5 hours"},
        ),
        ({}, True, {}),
    ],
)
def test_tables_and_their_partitions_are_kept_whatever_the_dataset_says(
    config, is_temporary, options
):
    def get_table_options(config, *_):
        hours = config.get("hours_to_expiration")
        return {"expiration_timestamp": f"in {hours} hours"} if hours else {}

    module = macros(
        "adapters/bigquery_table_options.sql",
        adapter=SimpleNamespace(get_table_options=get_table_options),
        bigquery_options=lambda options: options,
    )
    with pytest.raises(ReturnedError) as told:
        module.bigquery_table_options(config, {}, is_temporary)
    assert told.value.args == (options,)


def test_state_is_kept_whatever_the_dataset_says():
    module = macros("adapters/state_layout.sql", state_clusters=dict)
    layout = " ".join(module.bigquery__state_layout("export_ledger").split())
    options = ", ".join(f"{name} = {value}" for name, value in KEPT.items())
    assert f"options ({options})" in layout


def test_the_ledger_forgets_what_is_old_and_no_longer_needed():
    module = macros(
        "state/forget_state.sql",
        is_time_to_forget=lambda _: True,
        source=lambda *_: "ledger",
        var=lambda _: 30,
        now=lambda: "timestamp '2026-03-31 23:00:00'",
        add_days=lambda day, days: f"({day} + {days})",
        run_started_at=datetime.datetime(2026, 3, 31, 22),
        modules=SimpleNamespace(datetime=datetime),
    )
    with duckdb.connect() as connection:
        connection.execute(
            "create table ledger as select 'sfmc' as target, * from (values "
            # Superseded, older than 30 days or not; then what nothing supersedes.
            "('a', 1, true, timestamp '2026-02-28 23:59:00'), "
            "('a', 2, true, timestamp '2026-03-01 00:00:00'), "
            "('a', 3, true, timestamp '2026-03-30 00:00:00'), "
            "('b', 1, true, timestamp '2026-01-01 00:00:00'), "
            "('b', 2, false, timestamp '2026-01-02 00:00:00')"
            ") as steps (customer_key, run_number, is_synced, recorded_at)"
        )
        connection.execute(module.forget_ledger([]))
        kept = connection.execute(
            "select customer_key, run_number from ledger order by all"
        ).fetchall()
    assert kept == [("a", 2), ("a", 3), ("b", 1), ("b", 2)]


def test_months_of_other_columns_are_not_replaced():
    """As an upgrade leaves them: dbt does not look where it merges by itself."""
    there = ["line_count", "transaction_date"]
    module = macros(
        "adapters/replace_months_strategy.sql",
        execute=True,
        this="history",
        load_relation=lambda _: True,
        columns_there=lambda _: there,
        model=SimpleNamespace(
            resource_type="model",
            columns={
                n: SimpleNamespace(name=n) for n in ("transaction_date", "line_count")
            },
        ),
    )
    replace = module.bigquery__replace_months_strategy
    with pytest.raises(ReturnedError) as told:
        replace("transaction_date", ["date '2024-01-01'"])
    assert told.value.args[0]["incremental_strategy"] == "insert_overwrite"
    there.append("disposition")
    with pytest.raises(RefusedError, match="history is out of sync"):
        replace("transaction_date", ["date '2024-01-01'"])


def test_a_dataset_that_deletes_stops_the_run_in_one_sentence():
    deletes = {"tables": 60}
    adapter = SimpleNamespace(get_default_expirations=lambda *_: deletes)
    module = macros("checks/check_datasets.sql", adapter=adapter)
    with pytest.raises(RefusedError, match="without billing") as told:
        module.clv_bigquery__check_dataset("shop", "clv_state")
    sentence = str(told.value)
    assert "clv_state are deleted after 60 days" in sentence
    assert "alter schema `shop.clv_state` set options" in sentence
    assert "\n" not in sentence
    deletes.clear()
    assert module.clv_bigquery__check_dataset("shop", "clv_state").strip() == ""


# --- A6, and B2: the log's partitions ------------------------------------------------


@pytest.mark.parametrize(
    ("first", "type_of_ts", "condition"),
    [
        (None, "TIMESTAMP", ""),
        ("2020-01-01", "TIMESTAMP", "at >= timestamp '2020-01-01'"),
        ("2020-01-01", None, "at >= timestamp '2020-01-01'"),
        ("2020-01-01", "DATE", "at >= date '2020-01-01'"),
        ("2020-01-01", "DATETIME", "at >= datetime '2020-01-01'"),
        ("2020-01-01", "STRING", "safe(at) >= timestamp '2020-01-01'"),
    ],
)
def test_a_log_can_be_read_from_a_literal_on(first, type_of_ts, condition):
    variables = {
        "clv_history_from": first,
        "clv_input_tables": {"transactions": "log", "events": None},
        "clv_input_columns": {"transactions": {"ts": "at"}},
    }
    module = macros(
        "clv/input.sql",
        var=variables.get,
        type_found=lambda *_: type_of_ts,
        safe_cast_to=lambda column, _: f"safe({column})",
        type_instant=lambda: "timestamp",
    )
    assert module.since_history("transactions").strip() == condition
    assert module.since_history("events").strip() == ""


def test_every_reader_of_a_log_reads_it_from_there():
    files = [*(ROOT / "models").rglob("*.sql"), *(ROOT / "macros").rglob("*.sql")]
    reads = r"input_table\('(transactions|events)'|from {{ relation }}\n +where {{ read"
    readers = {path.name for path in files if re.search(reads, path.read_text())}
    assert readers == {"stg_transactions.sql", "stg_events.sql", "check_inputs.sql"}
    for path in files:
        assert path.name not in readers or "since_history(" in path.read_text()


LAYOUT = {
    "table_type": "TABLE",
    "time_partitioning": None,
    "clustering_fields": None,
    "schema": [SchemaField("ordered_at", "TIMESTAMP")],
}
MONTH = TimePartitioning("MONTH", "ordered_at")


@pytest.mark.parametrize(
    ("layout", "is_told"),
    [
        ({}, True),
        ({"time_partitioning": TimePartitioning("DAY")}, True),  # by ingestion time
        ({"time_partitioning": MONTH}, False),
        ({"clustering_fields": ["Ordered_At", "sku"]}, False),
        ({"clustering_fields": ["sku", "ordered_at"]}, True),
        # A day is compared with an instant through a cast, which prunes nothing.
        ({"time_partitioning": MONTH, "schema": [SchemaField("x", "DATE")]}, True),
        ({"table_type": "VIEW"}, False),
    ],
)
def test_a_log_that_every_day_reads_whole_is_told_with_its_cost(layout, is_told):
    told, asked = [], []

    def get_bytes_read(sql):
        asked.append(sql)
        return 2**39

    table = SimpleNamespace(**LAYOUT | layout)
    adapter = SimpleNamespace(
        get_bq_table=lambda _: table, get_bytes_read=get_bytes_read
    )
    module = macros(
        "checks/check_datasets.sql",
        adapter=adapter,
        log=lambda sentence, info: told.append(sentence),
    )
    columns = {"user_id": "customer", "ts": "ordered_at", "order_id": "customer"}
    module.clv_bigquery__say_cost_of_log("shop.raw.log", columns)
    assert len(told) == is_told
    if is_told:
        assert asked == ["select customer, ordered_at from shop.raw.log"]
        assert "$6.25 a day" in told[0]


def test_a_log_whose_partitions_are_deleted_stops_the_run():
    parts = TimePartitioning("MONTH", "ordered_at", expiration_ms=60 * 86_400_000)
    table = SimpleNamespace(**LAYOUT | {"time_partitioning": parts})
    adapter = SimpleNamespace(get_bq_table=lambda _: table)
    module = macros("checks/check_datasets.sql", adapter=adapter)
    with pytest.raises(RefusedError, match="deleted after 60 days"):
        module.clv_bigquery__say_cost_of_log("shop.raw.log", {"ts": "ordered_at"})
