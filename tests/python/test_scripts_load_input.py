"""scripts/load_input.py: what is loaded, and the one sentence when nothing is."""

import datetime
import decimal
import gzip
import importlib.util
from pathlib import Path

import duckdb
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
spec = importlib.util.spec_from_file_location("load_input", SCRIPTS / "load_input.py")
load_input = importlib.util.module_from_spec(spec)
spec.loader.exec_module(load_input)

GOOD = "user_id,ts,amount\n1,2024-01-31,10.50\n2,2024-02-29 18:30:00,-3\n"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "input"
    path.mkdir()
    return path


@pytest.fixture
def database(tmp_path):
    return tmp_path / "warehouse.duckdb"


def run(folder, database, *options):
    return load_input.main(
        ["--input", str(folder), "--database", str(database), *options]
    )


def rows(database, query):
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def write_parquet(path, query):
    duckdb.connect().execute(f"copy ({query}) to '{path}' (format parquet)")


def test_every_table_has_the_columns_of_the_contract(folder, database, capsys):
    (folder / "transactions.csv").write_text(GOOD)
    assert run(folder, database) == 0
    found = {}
    for table, column, kind in rows(
        database,
        "select table_name, column_name, lower(data_type) from "
        "information_schema.columns where table_schema = 'clv_raw' "
        "order by table_name, ordinal_position",
    ):
        found.setdefault(table, {})[column] = kind.replace(",", ", ")
    assert found == load_input.CONTRACT
    assert {table: list(columns) for table, columns in found.items()} == {
        table: list(columns) for table, columns in load_input.CONTRACT.items()
    }
    printed = capsys.readouterr().out
    assert "2 rows  2024-01-31 .. 2024-02-29" in printed
    assert "not given, left empty: customers, identities" in printed


def test_absent_columns_are_null_and_values_keep_their_meaning(folder, database):
    (folder / "transactions.csv").write_text(
        "TS,User_ID,Amount,is_refund,extra\n"
        "2024-01-31T23:30:00+02:00,007,1.23455,TRUE,x\n"
        "2024-02-01,,5.55e-17,0,\n"
    )
    assert run(folder, database) == 0
    assert rows(
        database,
        "select user_id, ts, amount, is_refund, sku, variable_cost "
        "from clv_raw.transactions",
    ) == [
        (
            "007",
            datetime.datetime(2024, 1, 31, 21, 30),
            decimal.Decimal("1.2346"),
            True,
            None,
            None,
        ),
        (None, datetime.datetime(2024, 2, 1), decimal.Decimal(0), False, None, None),
    ]


def test_a_sentiment_is_a_finite_number(folder, database, capsys):
    (folder / "transactions.csv").write_text("user_id,ts,amount\n1,2024-01-31,1\n")
    texts = folder / "text_signals.csv"
    texts.write_text("user_id,ts,sentiment\n1,2024-01-31,-0.75\n1,2024-02-01,\n")
    assert run(folder, database) == 0
    assert rows(database, "select sentiment, topic from clv_raw.text_signals") == [
        (-0.75, None),
        (None, None),
    ]
    texts.write_text("user_id,ts,sentiment\n1,2024-01-31,nan\n")
    assert run(folder, database) == 2
    assert "text_signals.sentiment is not a number such as -0.75 in 1 of 1 rows" in (
        capsys.readouterr().err
    )


def test_csv_gzip_and_parquet_are_loaded_alike(tmp_path):
    text = (
        "user_id,ts,amount,is_refund,order_id\n"
        "17,2024-01-31 10:00:00,0.1,true,\n"
        '18,2024-02-01 11:00:00,1234567.8912,false,"a,""b"\n'
    )
    folders = {name: tmp_path / name for name in ("csv", "gz", "parquet")}
    for path in folders.values():
        path.mkdir()
    (folders["csv"] / "transactions.csv").write_text(text)
    (folders["gz"] / "transactions.csv.gz").write_bytes(gzip.compress(text.encode()))
    write_parquet(
        folders["parquet"] / "transactions.parquet",
        "select * from (values "
        "(17.0::double, timestamptz '2024-01-31 10:00:00+00', 0.1::double, true, ''), "
        "(18, timestamptz '2024-02-01 12:00:00+01', 1234567.8912, false, 'a,\"b')) "
        "as t (user_id, ts, amount, is_refund, order_id)",
    )
    loaded = []
    for name, path in folders.items():
        database = tmp_path / f"{name}.duckdb"
        assert run(path, database) == 0
        loaded.append(rows(database, "from clv_raw.transactions"))
    assert loaded[0] == loaded[1] == loaded[2]
    assert loaded[0][0][0] == "17"


def test_users_is_another_name_of_customers(folder, database):
    (folder / "transactions.csv").write_text(GOOD)
    (folder / "users.csv").write_text("user_id,country\n1,FR\n")
    assert run(folder, database) == 0
    assert rows(database, "select user_id, country, device from clv_raw.customers") == [
        ("1", "FR", None)
    ]


def test_unknown_files_and_columns_are_only_mentioned(folder, database, capsys):
    (folder / "transactions.csv").write_text(
        "user_id,ts,amount,mood\n1,2024-01-31,1,x\n"
    )
    (folder / "orders.csv").write_text("a\n1\n")
    assert run(folder, database) == 0
    printed = capsys.readouterr().out
    assert "note: orders.csv is none of the inputs" in printed
    assert "outside the contract, ignored: mood" in printed


FAULTS = {
    "no_transactions": ({}, "holds no transactions file"),
    "missing_column": (
        {"transactions.csv": "user_id,amount\n1,2\n"},
        "transactions has no column ts, which is required "
        "(transactions.csv has: user_id, amount)",
    ),
    "semicolons": (
        {"transactions.csv": "user_id;ts;amount\n1;2024-01-31;2\n"},
        "transactions has no column user_id",
    ),
    "bad_date": (
        {"transactions.csv": GOOD + "3,31/01/2024,1\n4,2024-02-30,1\n"},
        "transactions.ts is not a date or time such as 2024-01-31 18:30:00 in 2 of 4 "
        "rows of transactions.csv (row 3: '31/01/2024'; row 4: '2024-02-30')",
    ),
    "far_future": (
        {"transactions.csv": GOOD + "3,infinity,1\n"},
        "in 1 of 3 rows of transactions.csv (row 3: 'infinity')",
    ),
    "bad_amount": (
        {"transactions.csv": GOOD + '3,2024-01-31,"1,234.50"\n4,2024-01-31,$5\n' * 2},
        "transactions.amount is not a plain number such as 1234.50 in 4 of 6 rows of "
        "transactions.csv (row 3: '1,234.50'; row 4: '$5'; row 5: '1,234.50'; ...)",
    ),
    "nan_amount": (
        {"transactions.csv": GOOD + "3,2024-01-31,NaN\n"},
        "transactions.amount is not a plain number such as 1234.50 in 1 of 3 rows",
    ),
    "null_date": (
        {"transactions.csv": GOOD + "3,,1\n"},
        "transactions.ts has no value in 1 of 3 rows of transactions.csv (row 3)",
    ),
    "null_amount": (
        {"transactions.csv": GOOD + "3,2024-01-31,\n"},
        "transactions.amount has no value in 1 of 3 rows of transactions.csv (row 3); "
        "if visits have no price, say --value none",
    ),
    "two_columns": (
        {"transactions.csv": GOOD + "3,yesterday,much\n"},
        "(row 3: 'yesterday'); also at fault: amount (1)",
    ),
    "bad_flag": (
        {"transactions.csv": "user_id,ts,amount,is_refund\n1,2024-01-31,2,maybe\n"},
        "transactions.is_refund is not true or false in 1 of 1 rows",
    ),
    "no_rows": (
        {"transactions.csv": "user_id,ts,amount\n"},
        "transactions is empty: transactions.csv has no rows",
    ),
    "no_bytes": (
        {"transactions.csv": ""},
        "transactions is empty: transactions.csv has no header line",
    ),
    "ragged": (
        {"transactions.csv": GOOD + "3,2024-01-31\n"},
        "CSV Error on Line: 4",
    ),
    "column_twice": (
        {"transactions.csv": "user_id,ts,amount,TS\n1,2024-01-31,2,2024-01-31\n"},
        "transactions.csv has the column ts twice",
    ),
    "no_parquet": (
        {"transactions.parquet": "user_id,ts,amount\n"},
        "transactions.parquet",
    ),
    "file_twice": (
        {"transactions.csv": GOOD, "transactions.parquet": ""},
        "holds the input transactions twice (transactions.csv and "
        "transactions.parquet): keep one of them",
    ),
    "optional_column": (
        {"transactions.csv": GOOD, "ad_spend.csv": "channel,spend\nweb,1\n"},
        "ad_spend has no column spend_date, which is required",
    ),
    "optional_value": (
        {
            "transactions.csv": GOOD,
            "ad_spend.csv": "channel,spend_date,spend,new_customers\n"
            "web,2024-01-31,1,2\nweb,2024-02-01,1,2.5\n",
        },
        "ad_spend.new_customers is not a whole number in 1 of 2 rows of ad_spend.csv "
        "(row 2: '2.5')",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_and_changes_nothing(fault, tmp_path, database, capsys):
    files, sentence = FAULTS[fault]
    good, bad = tmp_path / "good", tmp_path / "bad"
    for path, contents in ((good, {"transactions.csv": GOOD}), (bad, files)):
        path.mkdir()
        for name, text in contents.items():
            (path / name).write_text(text)
    assert run(good, database) == 0
    before = rows(database, "from clv_raw.transactions")
    capsys.readouterr()
    assert run(bad, database) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert printed.err.startswith("Input not loaded: ")
    assert printed.err.count("\n") == 1
    assert rows(database, "from clv_raw.transactions") == before
    assert rows(database, "from clv_raw.ad_spend") == []


def test_parquet_values_are_checked_too(folder, database, capsys):
    write_parquet(
        folder / "transactions.parquet",
        "select 1 as user_id, timestamp '2024-01-31' as ts, "
        "unnest(['1', 'nan', 'inf']::double[]) as amount",
    )
    assert run(folder, database) == 2
    assert "in 2 of 3 rows of transactions.parquet (row 2: 'nan'; row 3: 'inf')" in (
        capsys.readouterr().err
    )


def test_text_and_numbers_in_parquet_are_parsed_like_csv(folder, database, capsys):
    query = "select '1' as user_id, {} as ts, '2.5' as amount"
    path = folder / "transactions.parquet"
    write_parquet(path, query.format("'2024-01-31'"))
    assert run(folder, database) == 0
    assert rows(database, "select ts::date, amount from clv_raw.transactions") == [
        (datetime.date(2024, 1, 31), decimal.Decimal("2.5"))
    ]
    write_parquet(path, query.format("1706659200"))
    assert run(folder, database) == 2
    assert "(row 1: '1706659200')" in capsys.readouterr().err


def test_value_none_needs_no_amount(folder, database):
    (folder / "transactions.csv").write_text("user_id,ts\n1,2024-01-31\n")
    assert run(folder, database) == 2
    assert run(folder, database, "--value", "none") == 0
    assert rows(database, "select amount from clv_raw.transactions") == [(None,)]


def test_a_missing_folder_is_a_fault(tmp_path, database, capsys):
    assert run(tmp_path / "it's not there", database) == 2
    assert "it's not there does not exist" in capsys.readouterr().err
    assert not database.exists()


def test_names_are_quoted(tmp_path):
    folder, database = tmp_path / "it's", tmp_path / "clv_raw.duckdb"
    folder.mkdir()
    text = 'user_id,ts,amount,"o\'dd ""name"""\n1,2024-01-31,1,x\n'
    (folder / "transactions.csv").write_text(text)
    assert run(folder, database) == 0
