"""scripts/load_input.py: what is loaded, and the one sentence when nothing is."""

import codecs
import datetime
import decimal
import gzip
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path[:0] = [str(SCRIPTS), str(Path(__file__).parent)]
import attack_inputs  # noqa: E402
import load_input  # noqa: E402
import merge_vars  # noqa: E402

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


EXCEL = "user_id;ts;amount\r\nKd-1;13/01/2022;1.024,81\r\nKd-2;14/01/2022;49,45\r\n"
PLAIN = "user_id,ts,amount\nKd-1,2022-01-13,1024.81\nKd-2,2022-01-14,49.45\n"
UNDERSTOOD = {  # the same two orders → what is said of how they were read
    "transactions.csv": [
        (PLAIN, ""),
        (
            codecs.BOM_UTF8 + EXCEL.encode(),
            "semicolon-separated, decimal comma, thousands separators, day-first dates",
        ),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (PLAIN.encode("utf-16-le"), "UTF-16-LE"),
        (PLAIN.replace("Kd-2", "Kd-2\r").replace("2\r", "2"), ""),
        (PLAIN.replace("81\n", "81\r\n"), "mixed line ends"),
        (PLAIN.replace("\n", "\r"), ""),
        (
            PLAIN.replace("2022-01-13", "1642032000000").replace(
                "2022-01-14", "1642118400000"
            ),
            "ts in milliseconds since 1970",
        ),
        (
            PLAIN.replace("2022-01-13", "13-Jan-2022").replace(
                "2022-01-14", "14-Jan-2022"
            ),
            "ts with names of months",
        ),
        (
            PLAIN.replace("2022-01-13", "01/13/2022").replace(
                "2022-01-14", "1/14/2022"
            ),
            "month-first dates",
        ),
        (
            EXCEL.replace("1.024", "€ 1\u00a0024")
            .replace("49", "€ 49")
            .encode("cp1252"),
            "semicolon-separated, Windows-1252, decimal comma, thousands separators, "
            "amounts in EUR, day-first dates",
        ),
        (f"Orders,,\n\nof 2022\n{PLAIN}", "header in row 4"),
        (
            PLAIN.replace("2022-01-13", "1/13/2022 12:00AM").replace(
                "2022-01-14", "1/14/2022 12:00AM"
            ),
            "month-first dates",
        ),
    ],
    "transactions.tsv": [(PLAIN.replace(",", "\t"), "tab-separated")],
    "transactions.csv.gz": [(gzip.compress(PLAIN.encode()), "")],
    "transactions.xlsx": [
        (
            attack_inputs.sheet_of(
                [
                    ["Kd-1", datetime.date(2022, 1, 13), 1024.81],
                    ["Kd-2", datetime.date(2022, 1, 14), 49.45],
                ]
            ),
            "sheet Orders",
        ),
        (
            attack_inputs.sheet_of(
                [
                    *(["", "", ""], ["user_id", "ts", "amount"]),
                    ["Kd-1", datetime.date(2022, 1, 13), 1024.81],
                    ["Kd-2", datetime.date(2022, 1, 14), 49.45],
                ],
                header=("All orders", "", ""),
            ),
            "sheet Orders, header in row 3",
        ),
    ],
}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        # By number: gzip writes the second, and two workers must collect alike.
        pytest.param(name, *each, id=f"{name}-{number}")
        for name, cases in UNDERSTOOD.items()
        for number, each in enumerate(cases)
    ],
)
def test_files_are_read_as_people_have_them(
    name, content, said, folder, database, capsys
):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    assert run(folder, database) == 0
    assert rows(
        database, "select user_id, ts::timestamp, amount from clv_raw.transactions"
    ) == [
        ("Kd-1", datetime.datetime(2022, 1, 13), decimal.Decimal("1024.81")),
        ("Kd-2", datetime.datetime(2022, 1, 14), decimal.Decimal("49.45")),
    ]
    read = [line for line in capsys.readouterr().out.split("\n") if ": read " in line]
    assert read == ([f"transactions: read {name} as {said}"] if said else [])


@pytest.mark.parametrize(
    ("text", "option", "day", "amount"),
    [
        ("1,04/01/2024,2", ["--dates", "day-first"], (1, 4), "2"),
        ("1,04/01/2024,2", ["--dates", "month-first"], (4, 1), "2"),
        ("1,2024-04-01,1.234", ["--decimal", "point"], (4, 1), "1.234"),
        ("1,2024-04-01,1.234", ["--decimal", "comma"], (4, 1), "1234"),
    ],
)
def test_what_the_file_leaves_open_is_told(text, option, day, amount, folder, database):
    (folder / "orders.csv").write_text(f"user_id,ts,amount\n{text}\n")
    assert run(folder, database) == 2
    assert run(folder, database, *option) == 0
    assert rows(database, "select ts::date, amount from clv_raw.transactions") == [
        (datetime.date(2024, *day), decimal.Decimal(amount))
    ]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2024-01-31", ""], "DATE"),
        (["2024-01-31 00:00:00"], "DATE"),
        (["31.01.2024 00:00"], "DATE"),
        (["20240131"], "DATE"),
        (["1706659200"], "DATE"),
        (["2024-01-31", "2024-01-31 10:00:00"], "TIMESTAMP"),
        (["2024-01-31T00:00:00Z"], "TIMESTAMP"),
        (["2024-01-31 00:00:00+02:00"], "TIMESTAMP"),
        (["", ""], "TIMESTAMP"),
    ],
)
def test_times_without_a_clock_are_days(values, kind, folder, database):
    (folder / "transactions.csv").write_text(GOOD)
    (folder / "customers.csv").write_text(
        "user_id,signup_ts\n" + "".join(f"u{v},{v}\n" for v in values)
    )
    assert run(folder, database) == 0
    assert rows(
        database, "select distinct typeof(signup_ts) from clv_raw.customers"
    ) == [(kind,)]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("date '2024-01-31'", "DATE"),
        ("timestamp_ns '2024-01-31 00:00:00'", "DATE"),
        ("timestamptz '2024-01-31 00:00:00+00'", "TIMESTAMP"),
        ("timestamp '2024-01-31 00:00:01'", "TIMESTAMP"),
    ],
)
def test_typed_times_without_a_clock_are_days(given, kind, folder, database):
    write_parquet(
        folder / "transactions.parquet", f"select 1 as user_id, 2 as amount, {given} ts"
    )
    assert run(folder, database) == 0
    assert rows(database, "select typeof(ts) from clv_raw.transactions") == [(kind,)]


def test_columns_are_told(folder, database, capsys):
    file = folder / "orders 2024 [final].csv"
    file.write_text(
        '"Customer ID",Day,"Total, net",amount\nKd-1,2024-01-31,10.50,9\n'
        "Kd-2,2024-01-31,7,9\n"
    )
    (folder / "customers.csv").write_text("CustomerID\nKd-1\n")
    told = 'user_id=customer id,ts=Day,"amount=Total, net",customers.user_id=CustomerID'
    assert run(folder, database, "--columns", told) == 0
    assert rows(database, "select sum(amount) from clv_raw.transactions") == [(17.5,)]
    printed = capsys.readouterr().out
    assert "[final].csv: the only data file, taken as transactions" in printed
    assert "outside the contract, ignored: amount" in printed
    for wrong, sentence in {
        "user_id=CustmerID": "has no column CustmerID, which --columns takes for "
        "user_id: "
        "did you mean Customer ID",
        "userid=x": "names userid, which is no column of transactions: its columns are "
        "user_id",
        "events.ts=x": "names events, of which there is no file",
        "user_id": "must be pairs such as user_id=CustomerID",
        "ts=a,ts=b": "names ts of transactions twice",
    }.items():
        assert run(folder, database, "--columns", wrong) == 2
        assert sentence in capsys.readouterr().err


def test_a_name_with_an_accent_is_found_in_either_form(folder, database):
    (folder / "transactions.csv").write_text(
        "Ka\u0308ufer,ts,amount\nc1,2024-01-31,1\n", encoding="utf-8"
    )
    assert run(folder, database, "--columns", "user_id=K\u00e4ufer") == 0


def test_one_file_is_the_transactions(folder, database, capsys):
    (folder / "customers.csv").write_text("user_id\n1\n")
    (folder / "a.csv").write_text(GOOD)
    (folder / "b.csv").write_text("x\n")
    assert run(folder, database) == 2
    assert run(folder / "a.csv", database) == 0
    assert capsys.readouterr().out.startswith("Reads input/a.csv: 2 lines, ")
    assert rows(database, "select count(*) from clv_raw.customers") == [(0,)]
    (folder / "a.doc").write_text("x")
    assert run(folder / "a.doc", database) == 2
    assert "none of the files that can be read" in capsys.readouterr().err


def test_without_input_what_is_loaded_stays(folder, database, capsys):
    def without_input(*options):
        code = load_input.main(["--database", str(database), *options])
        return code, capsys.readouterr().out.split("\n")

    demo = "Reads the demo, orders of the CD shop CDNOW: 69,659 lines, 1997-01-01 to "
    code, lines = without_input()
    assert code == 0
    assert lines[0].startswith(demo)
    assert lines[1] == "Nothing was loaded yet, hence the demo; yours: --input PATH"
    (folder / "orders.csv").write_text(
        "user_id,ts,amount,currency\n1,2024-01-31,2,EUR\n1,2024-03-31,2,eur\n"
    )
    assert run(folder, database) == 0
    first = capsys.readouterr().out.split("\n")[0]
    assert first == (
        "Reads input/orders.csv: 2 lines, 2024-01-31 to 2024-03-31, currency EUR"
    )
    assert without_input() == (0, [first, ""])
    (folder / "orders.csv").write_text("user_id\n1\n")
    assert run(folder, database) == 2
    capsys.readouterr()
    assert without_input() == (0, [first, ""])
    assert without_input("--demo")[1][0].startswith(demo)


def test_ids_that_differ_in_case_or_blanks_are_noticed(folder, database, capsys):
    (folder / "transactions.csv").write_text(
        "user_id,ts,amount\n"
        + "".join(f"{i},2024-01-31,1\n" for i in ("c1", "C1", "c1 "))
        + "".join(f"{i},2024-01-31,1\n" for i in ("17", "0017", "17.0", "18", "180"))
        + "".join(f"{i},2024-01-31,1\n" for i in ("José", "Jose\u0301", "a\u200b", "a"))
    )
    assert run(folder, database) == 0
    assert "note: 10 user ids differ from another one only in upper" in (
        capsys.readouterr().out
    )
    assert rows(
        database, "select count(distinct user_id) from clv_raw.transactions"
    ) == [(12,)]


@pytest.mark.parametrize(
    ("kind", "loaded"),
    [
        ("tinyint", "25"),
        ("ubigint", "25"),
        ("hugeint", "25"),
        ("decimal(38, 0)", "25"),
        ("decimal(10, 2)", "25"),
        ("double", "25"),
        ("varchar", "00000025"),
        ("blob", "00000025"),
    ],
)
def test_ids_of_any_type_in_parquet(kind, loaded, folder, database):
    write_parquet(
        folder / "transactions.parquet",
        f"select cast('00000025' as {kind}) as user_id, 2 as amount, "
        "timestamptz '2024-01-31 23:30:00-02:00' as ts",
    )
    assert run(folder, database) == 0
    assert rows(database, "select user_id, ts from clv_raw.transactions") == [
        (loaded, datetime.datetime(2024, 2, 1, 1, 30))
    ]


def test_a_folder_called_like_a_file_is_a_fault(folder, database, capsys):
    (folder / "transactions.csv").mkdir()
    assert run(folder, database) == 2
    assert "transactions.csv is a folder, not a file" in capsys.readouterr().err


def test_a_file_that_is_no_database_is_a_fault(folder, database, capsys):
    (folder / "transactions.csv").write_text(GOOD)
    database.write_text("something else")
    assert run(folder, database) == 2
    assert "is in use by another program, or no DuckDB file" in capsys.readouterr().err
    assert database.read_text() == "something else"


def test_no_attack_changes_a_total(tmp_path):
    """A sample of attack_inputs.py, of every kind of case."""
    trial = attack_inputs.Trial(tmp_path)
    cases = attack_inputs.campaign(seed=20261128)
    kinds = {}
    for case in cases:
        kinds.setdefault(case.name.split(":")[0], []).append(case)
    assert len(cases) >= 400
    assert {"way", "file", "cell", "line", "lines", "whole"} <= set(kinds)
    sample = [case for found in kinds.values() for case in found[:12]]
    assert [(case.name, fault) for case in sample for fault in trial.faults(case)] == []


def test_a_refused_input_stops_the_build_with_one_sentence(folder, database):
    (folder / "transactions.csv").write_text("user_id,ts,amount\nKd-1,2203-01-31,1\n")
    done = subprocess.run(
        [SCRIPTS / "build.sh", "--input", folder, "--fast"],
        env={"PATH": "/usr/bin:/bin", "CLV_DUCKDB_PATH": str(database)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(
        "Input not loaded: transactions.ts lies in the future"
    )
    assert not database.exists()


def test_the_table_that_a_build_reads_is_named(monkeypatch):
    variables = {
        "clv_source_database": None,
        "clv_source_schema": None,
        "clv_input_tables": {"transactions": "transactions"},
    }
    own = {"clv_source_schema": "shop", "clv_input_tables": {"transactions": "orders"}}
    assert merge_vars.table_of("duckdb", variables) == "clv_raw.transactions"
    assert merge_vars.table_of("duckdb", variables | own) == "shop.orders"
    monkeypatch.setenv("CLV_BIGQUERY_PROJECT", "prod")
    monkeypatch.setenv("CLV_BIGQUERY_DATASET", "value")
    table = merge_vars.table_of("bigquery", variables)
    assert table == "prod.value_raw.transactions"


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
    assert printed.startswith(
        "Reads input/transactions.csv: 2 lines, 2024-01-31 to 2024-02-29, no currency "
    )
    assert "not given, left empty: customers, identities" in printed


def test_absent_columns_are_null_and_values_keep_their_meaning(folder, database):
    (folder / "transactions.csv").write_text(
        "TS,User_ID,Amount,is_refund,extra\n"
        "2024-01-31T23:30:00+02:00,007,1.23455,FALSE,x\n"
        "2024-02-01,,5.55e-17,1,\n"
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
            False,
            None,
            None,
        ),
        (None, datetime.datetime(2024, 2, 1), decimal.Decimal(0), True, None, None),
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


def with_sheet(book, other, name="Old", state="visible", is_first=False):
    """The spreadsheet with the sheet of another one, before or behind its own."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(book)) as ours,
        zipfile.ZipFile(io.BytesIO(other)) as theirs,
        zipfile.ZipFile(packed, "w") as archive,
    ):
        told = f'<sheet name="{name}" sheetId="2" state="{state}" r:id="d"/>'
        place = "<sheets>" if is_first else "</sheets>"
        for part in ours.namelist():
            text = ours.read(part).decode()
            text = text.replace(
                place, place + told if is_first else told + place
            ).replace(
                "</Relationships>",
                '<Relationship Id="d" Type="http://schemas.openxmlformats.org/'
                'officeDocument/2006/relationships/worksheet" '
                'Target="worksheets/sheet2.xml"/></Relationships>'
                if "workbook" in part
                else "</Relationships>",
            )
            archive.writestr(part, text)
        archive.writestr("xl/worksheets/sheet2.xml", theirs.read(SHEET))
    return packed.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def test_a_sheet_of_the_same_columns_is_not_left_behind(folder, database, capsys):
    file = folder / "transactions.xlsx"
    day = datetime.date(2024, 1, 31)
    book = attack_inputs.sheet_of([["c1", day, 10]])
    other = attack_inputs.sheet_of([["c2", day, 20]])
    file.write_bytes(with_sheet(book, other, "2023"))
    assert run(folder, database) == 2
    assert (
        "transactions.xlsx has the columns of its first sheet, Orders, in the sheet "
        "2023 too, and one sheet is read: put all rows into one"
    ) in capsys.readouterr().err
    # With a column more, too.
    wider = attack_inputs.sheet_of(
        [["c2", day, 20, "x"]], (*attack_inputs.COLUMNS, "note")
    )
    file.write_bytes(with_sheet(book, wider, "2023"))
    assert run(folder, database) == 2
    # What is hidden is not what somebody sees and sends.
    for is_first in (True, False):
        file.write_bytes(with_sheet(book, other, "2023", "hidden", is_first))
        assert run(folder, database) == 0
        assert rows(database, "select user_id from clv_raw.transactions") == [("c1",)]
    file.write_bytes(with_sheet(book, attack_inputs.sheet_of([], ("How to read",))))
    assert run(folder, database) == 0
    assert "sheet Orders, the first of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("yes", "no"),
    [("ja", "nein"), ("Oui", "Non"), ("sí", "no"), ("WAHR", "FALSCH"), ("on", "off")],
)
def test_yes_and_no_of_other_languages(yes, no, folder, database):
    (folder / "transactions.csv").write_text(GOOD)
    (folder / "consents.csv").write_text(
        f"user_id,channel,is_granted\n1,email,{yes}\n2,email,{no}\n"
    )
    assert run(folder, database) == 0
    assert rows(database, "select is_granted from clv_raw.consents") == [
        (True,),
        (False,),
    ]


def test_a_refusal_that_cannot_be_read_is_not_to_be_left_out(folder, database, capsys):
    (folder / "transactions.csv").write_text(GOOD)
    (folder / "consents.csv").write_text(
        "user_id,channel,is_granted\n1,email,opt-out\n2,email,opt-out\n"
    )
    assert run(folder, database) == 2
    assert capsys.readouterr().err.rstrip().endswith("); correct them.")


@pytest.mark.parametrize(
    ("order", "amount", "is_told"),
    [("o{n}", 7, True), ("o{n}", 10, False), ("o{before}", 7, False)],
)
def test_sales_that_are_flagged_as_refunded_are_told(
    order, amount, is_told, folder, database, capsys
):
    """A refund names the order, or has the amount, of a purchase before it."""
    lines = []
    for n in range(20):
        lines.append(f"c{n},2024-01-{n + 1:02d},10,o{n + 100},no")
        refunded = order.format(n=n, before=n + 100)
        lines.append(f"c{n},2024-01-{n + 2:02d},{amount},{refunded},yes")
    (folder / "transactions.csv").write_text(
        "\n".join(["user_id,ts,amount,order_id,is_refund", *lines, ""])
    )
    assert run(folder, database) == 0
    told = "note: is_refund is true in 20 lines of transactions.csv whose order has no"
    assert (told in capsys.readouterr().out) == is_told


def test_lines_without_a_user_are_told(folder, database, capsys):
    lines = "".join(f",2024-01-{n:02d},{n}\n" for n in range(1, 4))
    (folder / "transactions.csv").write_text(f"{GOOD}{lines}")
    assert run(folder, database) == 0
    assert "note: 3 lines of transactions.csv (60.0%) have no user id" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("transactions_2024.csv", "transactions"),
        ("transactions (1).csv.gz", "transactions"),
        ("Consent.xlsx", "consents"),
        ("consents.json", "consents"),
        ("customer status.parquet", "customer_status"),
        ("users_2.csv", "users"),
    ],
)
def test_a_file_that_is_almost_an_input_is_refused(name, of, folder, database, capsys):
    (folder / "transactions.csv").write_text(GOOD)
    (folder / name).write_text("")
    assert run(folder, database) == 2
    assert f"{name} is named almost as the input {of}, and is none" in (
        capsys.readouterr().err
    )


def test_the_only_data_file_may_be_named_almost_as_the_input(folder, database):
    (folder / "transactions_2024.csv").write_text(GOOD)
    (folder / "customers.csv").write_text("user_id\n1\n")
    assert run(folder, database) == 0


@pytest.mark.parametrize("name", ["customer_segments.csv", "consents.md", "orders.csv"])
def test_a_file_of_another_name_is_ignored(name, folder, database):
    (folder / "transactions.csv").write_text(GOOD)
    (folder / name).write_text("")
    assert run(folder, database) == 0


def log_of(users):
    """A log of a line for each id, of amounts that sum up nothing."""
    lines = "".join(f'"{u}",2024-01-{i % 28 + 1:02d},{i + 7}.5\n' for i, u in users)
    return f"user_id,ts,amount\n{lines}"


@pytest.mark.parametrize(
    ("sums", "number"),
    [
        # Of an id that is there, a sum however many there are, as Excel's subtotals.
        (["17850 Total", "17851 Total", "17852 Total", "17853 Total"], 4),
        (["Summe: 17850"], 1),
        (["17851 Ergebnis"], 1),
        (["TOTAL (17853)"], 1),
        # Of something else, where at most a third of the ids are such.
        (["Total 1"], 1),
        (["Gesamt 2023"], 1),
    ],
)
def test_sums_inside_a_log_are_refused(sums, number, folder, database, capsys):
    users = [*range(17850, 17854), *sums]
    (folder / "transactions.csv").write_text(log_of(enumerate(users)))
    assert run(folder, database) == 2
    assert (
        f"transactions.user_id is a word for a sum, such as Total, in {number} of "
        f"{len(users)} rows of transactions.csv (row"
    ) in capsys.readouterr().err


@pytest.mark.parametrize("period", ["month", "day"])
@pytest.mark.parametrize("who", ["Gesamtumsatz", "Σ {}", ""])
def test_a_report_with_a_sum_in_every_period_is_refused(
    who, period, folder, database, capsys
):
    """Whatever it is called: it is as large as all other rows of its month, or day."""
    lines = []
    for n in range(1, 5):
        date = f"2024-0{n}-10" if period == "month" else f"2024-01-1{n}"
        lines += [f"{n}{i},{date} 10:00:00,{10 * n + i}.5" for i in range(4)]
        lines.append(f"{who.format(n)},{date} 23:00:00,{40 * n + 8}")
    file = folder / "transactions.csv"
    file.write_text("\n".join(["user_id,ts,amount", *lines, ""]))
    assert run(folder, database) == 2
    assert (
        f"transactions.amount is the sum of the others of its {period} in 4 of 20 rows"
    ) in capsys.readouterr().err
    # Two orders of one price, with lines of nothing, are no sum and its parts.
    flat = [
        f"{n}{i},2024-0{n}-1{n},{i // 2 * 9}" for n in range(1, 5) for i in range(4)
    ]
    file.write_text("\n".join(["user_id,ts,amount", *flat, ""]))
    assert run(folder, database) == 0
    # Of one period it is chance.
    file.write_text("\n".join(["user_id,ts,amount", *lines[:5], *lines[10:14], ""]))
    assert run(folder, database) == 0


@pytest.mark.parametrize(
    "users",
    [
        ["total123abc", "Sumner", "Alla", "Total Wine", "Ana Suma", "totals4u"],
        ["sum-1", "sum-2", "17", "18", "19", "20", "21", "total_1", "ALL 1", "2-sum"],
        ["Total Wine 24", "Studio 54 Total", "x", "y", "z", "Kd-1", "Kd-2"],
        ["Sum 1", "Sum 2", "Sum 3", "4", "5"],  # more than a third: so it names people
    ],
)
def test_ids_that_only_look_like_sums_are_loaded(users, folder, database):
    """Of a good file no id is a word for a sum, parted by a blank from one number.

    But where the word is in more than a third of the ids, or parted by a hyphen.
    """
    (folder / "transactions.csv").write_text(log_of(enumerate(users)))
    assert run(folder, database) == 0


@pytest.mark.parametrize("name", ["transactions.csv", "transactions.xlsx"])
def test_rows_that_are_blank_throughout_are_left_out(name, folder, database, capsys):
    """As Excel leaves them; the others keep their numbers."""

    def write(*more):
        lines = [["", "", "", ""], ["1", "31/01/2024", "2,5", "x"], [" ", "", "", ""]]
        lines += [["2", "29/02/2024", "3,5", ""], *more, ["", "", "\u00a0", ""]]
        header = ("user_id", "ts", "amount", "note")
        text = attack_inputs.text_of(lines, ";", header)
        data = attack_inputs.sheet_of(lines, header) if "x" in name[-4:] else text
        data = data if isinstance(data, bytes) else data.encode()
        (folder / name).write_bytes(data)

    write()
    (folder / "customers.csv").write_text("user_id,country\n1,FR\n,\n2,\n")
    assert run(folder, database) == 0
    printed = capsys.readouterr().out
    assert f"note: 3 of the rows of {name}, blank throughout, left out" in printed
    assert "note: 1 of the rows of customers.csv, blank throughout, left out" in printed
    assert rows(database, "select user_id, amount from clv_raw.transactions") == [
        ("1", decimal.Decimal("2.5")),
        ("2", decimal.Decimal("3.5")),
    ]
    assert len(rows(database, "from clv_raw.customers")) == 2
    write(["3", "", "4", ""])
    assert run(folder, database) == 2
    assert f"ts has no value in 1 of 3 rows of {name} (row 5)" in (
        capsys.readouterr().err
    )
    write(["", "29/02/2024", "6", ""])
    assert run(folder, database) == 2
    assert f"the last row of {name}, 5, is the sum of all" in capsys.readouterr().err


def test_two_thirds_below_zero_are_still_loaded(folder, database):
    lines = "".join(f"{i},2024-01-31,{n}\n" for i, n in enumerate([2, -1, -3] * 2))
    (folder / "transactions.csv").write_text("user_id,ts,amount\n" + lines)
    assert run(folder, database) == 0
    with (folder / "transactions.csv").open("a") as file:
        file.write("9,2024-01-31,-2\n")
    assert run(folder, database) == 2
    assert run(folder, database, "--value", "none") == 0


NOBODIES = ["guest", "Anonymous ", "unknown", "none", "(none)", "NULL", "n/a", "NA"]
NOBODIES += ["Gast", "Invité", "Guest Checkout", "<NA>"]
NOBODIES += ["nan", "-", "0", "-1", "00000000-0000-0000-0000-000000000000"]


@pytest.mark.parametrize("word", NOBODIES)
def test_ids_of_nobody_are_noticed_and_many_of_them_refused(
    word, folder, database, capsys
):
    file = folder / "transactions.csv"
    users = [*[word] * 7, *range(17850, 18050)]
    file.write_text(log_of(enumerate(users)))
    assert run(folder, database) == 0
    assert (
        "note: 7 lines of transactions.csv (3.4%) have a user id that stands for "
        "nobody, such as guest, null or 0, and counts as a customer"
    ) in capsys.readouterr().out
    file.write_text(log_of(enumerate([*[word] * 7, *users])))
    assert run(folder, database) == 2
    assert (
        "transactions.user_id stands for nobody, such as guest, null or 0, in 14 of "
        "214 rows of transactions.csv (rows 1, 2, 3, ...); make these ids empty: "
        "lines without a user are set aside."
    ) in capsys.readouterr().err


def test_an_id_with_the_lines_of_many_is_noticed(folder, database, capsys):
    users = [*["C000"] * 30, *range(17850, 18050)]
    (folder / "transactions.csv").write_text(log_of(enumerate(users)))
    assert run(folder, database) == 0
    assert "note: one user id has 30 lines of transactions.csv (13.0%), 26 times" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("word", ["null", "N/A", "Guest", "0"])
def test_a_link_to_nobody_is_refused(word, folder, database, capsys):
    (folder / "transactions.csv").write_text(GOOD)
    links = folder / "identities.csv"
    links.write_text(f"user_id,other_id\n1,{word}\n2,{word}\n2,dev-7\n")
    assert run(folder, database) == 2
    assert (
        "identities.other_id stands for nobody, such as guest, null or 0, in 2 of 3 "
        "rows of identities.csv (rows 1, 2); leave these links out"
    ) in capsys.readouterr().err
    links.write_text("user_id,other_id\n1,0\n2,dev-7\n")  # the id of one person
    assert run(folder, database) == 0


def test_nobody_has_much_of_the_revenue(folder, database, capsys):
    users = enumerate(range(17850, 17950))
    (folder / "transactions.csv").write_text(log_of(users) + "guest,2024-01-31,9000\n")
    assert run(folder, database) == 2
    assert "stands for nobody, such as guest, null or 0, in 1 of 101 rows" in (
        capsys.readouterr().err
    )


def test_a_first_id_of_zero_is_a_customer(folder, database, capsys):
    users = [i % 10 for i in range(100)] + [0] * 20
    (folder / "transactions.csv").write_text(log_of(enumerate(users)))
    assert run(folder, database) == 0
    assert "nobody" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("orders", "number"),
    [
        (["null", "null", "A1", "A2"], 2),
        (["0", "0", "A1", "0"], 3),  # of several people
        (["0", "A1", "A2", "null"], 0),  # on one line each
        (["A0", "A0", "", ""], 0),
    ],
)
def test_order_ids_of_no_order_are_refused(orders, number, folder, database, capsys):
    (folder / "transactions.csv").write_text(
        "user_id,ts,amount,order_id\n"
        + "".join(f"c{i},2024-01-31,5,{order}\n" for i, order in enumerate(orders))
    )
    assert run(folder, database) == (2 if number else 0)
    if number:
        assert (
            "transactions.order_id stands for no order, such as null or 0, in "
            f"{number} of 4 rows"
        ) in capsys.readouterr().err


def test_a_flag_of_refunds_under_another_name_is_noticed(folder, database, capsys):
    file = folder / "transactions.csv"
    file.write_text("user_id,ts,amount,isRefund\n1,2024-01-31,1,0\n1,2024-02-01,1,1\n")
    told = "has no column is_refund; if isRefund says which rows are refunds, say so"
    assert run(folder, database) == 0
    assert told in capsys.readouterr().out
    assert run(folder, database, "--columns", "is_refund=isRefund") == 0
    assert told not in capsys.readouterr().out


def wide_decimals():
    """A Parquet file of amounts that DuckDB would read as others."""
    amounts = pyarrow.array([decimal.Decimal("12.50")], pyarrow.decimal256(50, 2))
    table = pyarrow.table({"user_id": ["1"], "ts": ["2024-01-31"], "amount": amounts})
    written = io.BytesIO()
    pyarrow.parquet.write_table(table, written)
    return written.getvalue()


FAULTS = {
    "no_transactions": ({}, "holds no transactions file"),
    "missing_column": (
        {"transactions.csv": "user_id,amount\n1,2\n"},
        "transactions has no column ts, which is required",
    ),
    "other_names": (
        {"transactions.csv": "Customer ID,InvoiceDate,x\nKd-1,2024-01-31,2\n"},
        "say --columns 'user_id=Customer ID,ts=InvoiceDate,amount=?'.",
    ),
    "a_price_of_a_piece": (
        {
            "transactions.csv": "CustomerID,InvoiceDate,Quantity,Price\n"
            "Kd-1,2024-01-31,3,2\n"
        },
        "say --columns 'user_id=CustomerID,ts=InvoiceDate,amount=?'; amount is price "
        "times quantity: add it to the file as a column.",
    ),
    "a_price_of_a_piece_under_another_name": (
        {"transactions.csv": "user_id,ts,qty,unit_price\nKd-1,2024-01-31,3,2\n"},
        "say --columns 'amount=?'; amount is price times quantity: add it",
    ),
    "a_price_of_a_piece_beside_a_total": (
        {
            "transactions.csv": "CustomerID,ts,Menge,Price,Total\n"
            "Kd-1,2024-01-31,3,2,6\n"
        },
        "say --columns user_id=CustomerID,amount=Total.",
    ),
    "a_price_without_pieces": (
        {"transactions.csv": "CustomerID,ts,Price\nKd-1,2024-01-31,2\n"},
        "say --columns user_id=CustomerID,amount=Price.",
    ),
    "a_flag_of_refunds": (
        {"transactions.csv": "user_id,ts,Total,IsRefund\nKd-1,2024-01-31,2,0\n"},
        "say --columns amount=Total,is_refund=IsRefund.",
    ),
    "other_names_of_another_input": (
        {"transactions.csv": GOOD, "customers.csv": "Kundennr\nKd-1\n"},
        "say --columns customers.user_id=Kundennr.",
    ),
    "no_header": (
        {"transactions.csv": "Kd-1,2024-01-31,2\n"},
        "transactions.csv has no header: its first line must name the columns "
        "(user_id, ts, amount)",
    ),
    "no_separator": (
        {"transactions.csv": "user_id^ts^amount\n1^2024-01-31^2\n"},
        "transactions.csv has one column only, and transactions needs user_id, ts",
    ),
    "empty_sheet": (
        {"transactions.xlsx": attack_inputs.sheet_of([], header=())},
        "transactions.xlsx has nothing in its first sheet, the only one that is read",
    ),
    "sum_at_the_end": (
        {"transactions.csv": GOOD + ",2024-02-29,7.50\n"},
        "the last row of transactions.csv, 3, is the sum of all others: leave it out.",
    ),
    "sum_of_a_month": (
        {"transactions.csv": GOOD + "Subtotal:,2024-01-31,7.50\n"},
        "transactions.user_id is a word for a sum, such as Total, in 1 of 3 rows of "
        "transactions.csv (row 3); leave out rows that sum up others, and",
    ),
    "sum_at_the_start": (
        {
            "transactions.csv": "user_id,ts,amount\n,2024-01-01,7.5\n"
            + GOOD.split("\n", 1)[1]
        },
        "the first row of transactions.csv, 1, is the sum of all others: leave it out.",
    ),
    "sum_of_everybody": (
        {"transactions.csv": GOOD + " ALL ,2024-01-31,9\n"},
        "transactions.user_id is a word for a sum, such as Total, in 1 of 3 rows of "
        "transactions.csv (row 3); leave out rows that sum up others, and",
    ),
    "wide_decimals": (
        {"transactions.parquet": wide_decimals()},
        "amount of transactions.parquet is a decimal of 50 digits, and 38 can be read",
    ),
    "bad_date": (
        {"transactions.csv": GOOD + "3,tomorrow,1\n4,2024-02-30,1\n"},
        "transactions.ts is not a date or time such as 2024-01-31 18:30:00 in 2 of 4 "
        "rows of transactions.csv (rows 3, 4; the first is like xxxxxxxx); correct "
        "them",
    ),
    "mixed_dates": (
        {"transactions.csv": GOOD + "3,31/01/2024,1\n"},
        "ts of transactions.csv mixes times like ####-##-## with ##/##/#### in row 3",
    ),
    "open_dates": (
        {"transactions.csv": "user_id,ts,amount\n1,04/01/2024,2\n"},
        "may have the day or the month first: no day is above 12; say --dates "
        "day-first "
        "or --dates month-first",
    ),
    "letters_for_a_zone": (
        {"transactions.csv": GOOD + "3,2024-07-06 00:30:00 BST,1\n"},
        "transactions.ts has letters for its zone that may mean several, such as EST, "
        "in 1 of 3 rows of transactions.csv (row 3); write UTC, an offset such as "
        "+01:00, or a place such as Europe/Paris.",
    ),
    "both_orders": (
        {"transactions.csv": "user_id,ts,amount\n1,14/01/2024,2\n1,01/14/2024,2\n"},
        "first a number above 12 in 1 rows (row 1), in the middle in 1 (row 2)",
    ),
    "two_digits": (
        {"transactions.csv": "user_id,ts,amount\n1,14/01/24,2\n"},
        "has years of two digits, as ##/##/## in row 1",
    ),
    "serials": (
        {"transactions.csv": "user_id,ts,amount\n1,45123,2\n"},
        "has day numbers of a spreadsheet, as ##### in row 1",
    ),
    "far_future": (
        {"transactions.csv": GOOD + "3,infinity,1\n"},
        "in 1 of 3 rows of transactions.csv (row 3; the first is like xxxxxxxx)",
    ),
    "future": (
        {"transactions.csv": GOOD + "3,2203-11-01,1\n"},
        "transactions.ts lies in the future in 1 of 3 rows of transactions.csv (row "
        "3); "
        "correct it or leave it out.",
    ),
    "zero_of_the_clock": (
        {"transactions.csv": GOOD + "3,1970-01-01,1\n"},
        "transactions.ts is the zero of a clock, in 1970, or before in 1 of 3 rows",
    ),
    "bad_amount": (
        {"transactions.csv": GOOD + "3,2024-01-31,7.5.2\n4,2024-01-31,much\n" * 2},
        "transactions.amount is not a plain number such as 1234.50 in 4 of 6 rows of "
        "transactions.csv (rows 3, 4, 5, ...; the first is like #.#.#)",
    ),
    "huge_amount": (
        {"transactions.csv": GOOD + "3,2024-01-31,1000000000000\n"},
        "transactions.amount is 1,000,000,000 or more in 1 of 3 rows of "
        "transactions.csv (row 3)",
    ),
    "open_decimals": (
        {"transactions.csv": "user_id,ts,amount\n1,2024-01-31,1.234\n1,2024-01-31,5\n"},
        "every separator stands before three digits, as #.### in row 1; say --decimal "
        "comma or --decimal point",
    ),
    "both_decimals": (
        {"transactions.csv": GOOD + '3,2024-01-31,"12,50"\n'},
        "mixes decimal points and decimal commas: amount is like ##,## in row 3",
    ),
    "two_currencies": (
        {"transactions.csv": GOOD + "3,2024-01-31,$5\n"},
        "has several currency signs, or one in some rows only (row 3 is unlike others)",
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
        "give it one; if no visit has a price, say --value none",
    ),
    "two_signs": (
        {
            "transactions.csv": "user_id,ts,amount,variable_cost\n"
            "1,2024-01-31,$2.50,€1.50\n"
        },
        "amount and variable_cost of transactions.csv have different currency signs",
    ),
    "a_sign_of_another_currency": (
        {"transactions.csv": "user_id,ts,amount,currency\n1,2024-01-31,$2.50,EUR\n"},
        "amount of transactions.csv has the sign of another currency than the column "
        "currency names in 1 rows",
    ),
    "fine_amounts": (
        {"transactions.csv": GOOD + "3,2024-01-31,0.00014\n"},
        "transactions.amount is finer than the four decimals that are kept in 1 of 3 "
        "rows of transactions.csv (row 3); give amounts in a smaller unit",
    ),
    "ids_with_a_small_exponent": (
        {"transactions.csv": GOOD + "4.12346e+12,2024-01-31,1\n"},
        "transactions.user_id is a number that has lost digits, such as 1.2E+15, in 1 ",
    ),
    "signed_up_in_the_future": (
        {
            "transactions.csv": GOOD,
            "customers.csv": "user_id,signup_ts\n1,2203-01-01\n",
        },
        "customers.signup_ts lies in the future in 1 of 1 rows of customers.csv",
    ),
    "two_columns": (
        {"transactions.csv": GOOD + "3,yesterday,much\n"},
        "; also at fault: amount (1)",
    ),
    "whole_prices": (
        {
            "transactions.csv": "user_id;ts;amount\n1;2024-01-31;73,-\n"
            "2;2024-02-29;8,5\n"
        },
        "transactions.amount is not a plain number such as 1234.50 in 1 of 2 rows of "
        "transactions.csv (row 1; the first is like ##,-)",
    ),
    "bad_flag": (
        {"transactions.csv": "user_id,ts,amount,is_refund\n1,2024-01-31,2,maybe\n"},
        "transactions.is_refund is not true or false (yes or no, 1 or 0) in 1 of 1",
    ),
    "only_negative": (
        {"transactions.csv": "user_id,ts,amount\n1,2024-01-31,-2\n2,2024-01-31,0\n"},
        "no row of transactions.csv is a purchase, with an amount above zero: of 2 "
        "rows "
        "1 have an amount below zero, 1 have an amount of zero",
    ),
    "mostly_negative": (
        {
            "transactions.csv": "user_id,ts,amount\n1,2024-01-31,2\n"
            + "2,2024-01-31,-2\n" * 3
        },
        "most rows of transactions.csv have an amount below zero, 3 of 4, and would "
        "count as refunds; mend the sign, or say --value none if visits have no price.",
    ),
    "only_refunds": (
        {"transactions.csv": "user_id,ts,amount,is_refund\n1,2024-01-31,2,true\n"},
        "of 1 rows 1 have is_refund true",
    ),
    "nobody": (
        {"transactions.csv": "user_id,ts,amount\n,2024-01-31,2\n"},
        "no row of transactions.csv has a user_id",
    ),
    "cut_ids": (
        {"transactions.csv": GOOD + "1.23457E+12,2024-01-31,2\n"},
        "transactions.user_id is a number that has lost digits, such as 1.2E+15, in 1 "
        "of 3",
    ),
    "cut_ids_with_blanks_around": (
        {"transactions.csv": GOOD + '" 4.90151E+12\u00a0",2024-01-31,2\n'},
        "transactions.user_id is a number that has lost digits, such as 1.2E+15, in 1 "
        "of 3",
    ),
    "no_rows": (
        {"transactions.csv": "user_id,ts,amount\n"},
        "transactions is empty: transactions.csv has no rows",
    ),
    "no_bytes": (
        {"transactions.csv": ""},
        "transactions.csv is empty: it has no header line",
    ),
    "ragged": (
        {"transactions.csv": GOOD + "3,2024-01-31\n"},
        "line 4 of transactions.csv has 2 fields, and the header 3",
    ),
    "open_quote": (
        {"transactions.csv": GOOD + '"3,2024-01-31,5\n' + "4,2024-01-31,5\n" * 2000},
        "line 4 of transactions.csv has a quotation mark that is not closed",
    ),
    "quotes_over_lines": (
        {
            "transactions.csv": "user_id,ts,amount,note\n"
            '1,2024-01-31,5,"hello\n2,2024-01-31,5,hello\n3,2024-01-31,5,bye"\n'
        },
        "column 4 holds several lines that look like rows in 1 of 1 rows",
    ),
    "id_over_lines": (
        {"transactions.csv": GOOD + '"3\n4",2024-01-31,5\n'},
        "transactions.user_id has a line break in 1 of 3 rows",
    ),
    "zero_bytes": (
        {"transactions.csv": GOOD + "\0,2024-01-31,5\n"},
        "transactions.csv has zero bytes in line 4",
    ),
    "column_twice": (
        {"transactions.csv": "user_id,ts,amount,TS\n1,2024-01-31,2,2024-01-31\n"},
        "transactions.csv has the same name over columns 2 and 4",
    ),
    "no_parquet": (
        {"transactions.parquet": "user_id,ts,amount\n"},
        "transactions.parquet is no Parquet file",
    ),
    "no_sheet": ({"transactions.xlsx": "PK\3\4, and no more"}, "is damaged, protected"),
    "old_sheet": (
        {"transactions.xlsx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"},
        "is an .xls or a protected spreadsheet: save it as .xlsx without a password",
    ),
    "broken_gzip": (
        {"transactions.csv.gz": gzip.compress(GOOD.encode())[:-9]},
        "transactions.csv.gz is damaged: pack it again with gzip",
    ),
    "two_encodings": (
        {"transactions.csv": GOOD.encode() + "ü,2024-01-31,1\n".encode() + b"\xfc,,\n"},
        "transactions.csv is UTF-8, but not in line 5",
    ),
    "file_twice": (
        {"transactions.csv": GOOD, "transactions.parquet": ""},
        "holds the input transactions twice (transactions.csv and "
        "transactions.parquet): keep one of them",
    ),
    "two_other_files": (
        {"orders.csv": GOOD, "sales.csv": GOOD},
        "holds no transactions file and 2 others that could be it",
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
        "(row 2; the first is like #.#)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_and_changes_nothing(fault, tmp_path, database, capsys):
    files, sentence = FAULTS[fault]
    good, bad = tmp_path / "good", tmp_path / "bad"
    for path, contents in ((good, {"transactions.csv": GOOD}), (bad, files)):
        path.mkdir()
        for name, content in contents.items():
            data = content if isinstance(content, bytes) else content.encode()
            (path / name).write_bytes(data)
    assert run(good, database) == 0
    before = rows(database, "from clv_raw.transactions")
    capsys.readouterr()
    assert run(bad, database) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert printed.err.startswith("Input not loaded: ")
    assert printed.err.count("\n") == 1
    assert len(printed.err.strip()) <= 300
    assert rows(database, "from clv_raw.transactions") == before
    assert rows(database, "from clv_raw.ad_spend") == []


CANARIES = ("jane.canary@example.com", "+49 170 7654321", "Jané Canary")
VALUES = {  # of each type, a good one
    "varchar": "a1",
    "timestamp": "2024-01-31 10:00:00",
    "date": "2024-01-31",
    "decimal(18, 4)": "7.50",
    "bigint": "3",
    "double": "0.5",
    "boolean": "false",
}


def files_with_canaries(table):
    """(Way, bytes, options) of a file with a person in it, one way to fail each."""
    columns = load_input.CONTRACT[table]
    plain = [VALUES[wanted] for wanted in columns.values()]
    people = [
        f"{CANARIES[i % 3]}{i}" if wanted == "varchar" else VALUES[wanted]
        for i, wanted in enumerate(columns.values())
    ]
    first, row = people[0], ",".join(people)
    start = f"{','.join(columns)}\n{','.join(plain)}\n"
    yield "text columns", f"{start}{row}\n{row}\n".encode(), ()
    typed = [i for i, wanted in enumerate(columns.values()) if wanted != "varchar"]
    for i in typed:
        for canary in CANARIES if table == "transactions" else [CANARIES[i % 3]]:
            cells = [*people[:i], canary, *people[i + 1 :]]
            yield f"{i} {canary}", f"{start}{','.join(cells)}\n".encode(), ()
    yield "no header", f"{row}\n{row}\n".encode(), ()
    yield "no header, names", b"Jane Canary,Canary Ltd,jane,x\n" * 2, ()
    if table != "transactions":  # of any input a text file is read alike
        return
    # All of one form, which a sentence then shows.
    for text in ("jane.canary@example.com", "0170.765.4321", "7654321 Jané"):
        told = f"{','.join(columns)}\n" + 2 * (",".join([text] * len(columns)) + "\n")
        yield f"all {text}", told.encode(), ()
    told = ("--columns", "user_id=column 2,ts=column 2,amount=column 3")
    for name in CANARIES:
        unnamed = f"{name},,,{name}1\n1,2024-01-31,7,{name}\n"
        yield "no header, told", unnamed.encode(), told
    yield "too many", f"{start}{row},{row}\n".encode(), ()
    yield "too few", f"{start}{first}\n".encode(), ()
    yield "twice", f"{first},{first}\n{row}\n".encode(), ()
    yield "open quote", f'{start}"{row}\n{row}\n'.encode(), ()
    yield "text after a quote", f'{start}"{first}" {row}\n'.encode(), ()
    yield "line break", f'{start}"{first}\n{first}"{row[len(first) :]}\n'.encode(), ()
    yield "zero byte", f"{start}{first}\0{row}\n".encode(), ()
    yield "two encodings", f"{start}{row}\n".encode() + row.encode("cp1252"), ()
    yield "half a sign", f"{start}{row}\n".encode("utf-16") + b"\x00", ()
    yield "long", f"{start}{first * 100_000}{row}\n".encode(), ()
    yield "other lines", f"{start}{row}\r{row}\r\n{row}\n{first}".encode(), ()


@pytest.mark.parametrize("table", load_input.CONTRACT)
def test_no_person_is_in_a_message(table, folder, database, capsys):
    """However a file fails, and where it loads: rows, columns and masks are said."""
    codes = set()
    (folder / "transactions.csv").write_text(GOOD)
    for way, data, options in files_with_canaries(table):
        (folder / f"{table}.csv").write_bytes(data)
        codes.add(run(folder, database, *options))
        said = " ".join(capsys.readouterr()).lower()
        assert "traceback" not in said
        leaks = [part for part in ("jan", "canary", "765", "170") if part in said]
        assert not leaks, f"{way}: {said}"
    assert codes == {0, 2}


@pytest.mark.parametrize("kind", ["VARCHAR[]", "STRUCT(n VARCHAR)", "BLOB", "JSON"])
def test_no_person_of_a_parquet_file_is_in_a_message(kind, folder, database, capsys):
    value = {
        "VARCHAR[]": "['Jane Canary']",
        "STRUCT(n VARCHAR)": "{'n': 'jane.canary@example.com'}",
        "BLOB": "'Jane\\xFFCanary'::blob",
        "JSON": """'{"n": "Jane Canary"}'::json""",
    }[kind]
    for column in ("user_id", "ts", "amount"):
        parts = {"user_id": "'a'", "ts": "date '2024-01-31'", "amount": "7"}
        parts[column] = value
        selected = ", ".join(f"{sql} as {name}" for name, sql in parts.items())
        write_parquet(folder / "transactions.parquet", f"select {selected}")
        run(folder, database)
        said = " ".join(capsys.readouterr()).lower()
        assert "canary" not in said
        assert "traceback" not in said


def test_an_error_that_nobody_foresaw_quotes_nothing(
    folder, database, capsys, monkeypatch
):
    def fail(*_):
        raise ValueError("cannot read 'jane.canary@example.com'")

    monkeypatch.setattr(load_input, "find_files", fail)
    assert run(folder, database) == 2
    said = capsys.readouterr().err
    assert "the reader refused it (ValueError at test_scripts_load_input.py:" in said
    assert "canary" not in said


@pytest.mark.parametrize("name", ["a*", "a[b]", "a?", "{a,b}"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_folder_is_no_pattern_of_folders(name, ending, tmp_path, database):
    for folder, orders in ((name, 1), ("ab", 2), ("a", 2), ("b", 2)):
        (tmp_path / folder).mkdir()
        with duckdb.connect() as connection:
            connection.execute(
                "copy (select 'u' as user_id, date '2024-01-31' as ts, 7 as amount "
                f"from range({orders})) to '{tmp_path / 'plain'}' "
                f"(format {ending.split('.')[0]})"
            )
        data = (tmp_path / "plain").read_bytes()
        data = gzip.compress(data) if ending == "csv.gz" else data
        (tmp_path / folder / f"transactions.{ending}").write_bytes(data)
    assert run(tmp_path / name, database) == 0
    assert len(rows(database, "from clv_raw.transactions")) == 1


def test_parquet_values_are_checked_too(folder, database, capsys):
    write_parquet(
        folder / "transactions.parquet",
        "select 1 as user_id, timestamp '2024-01-31' as ts, "
        "unnest(['1', 'nan', 'inf']::double[]) as amount",
    )
    assert run(folder, database) == 2
    assert (
        "in 2 of 3 rows of transactions.parquet (rows 2, 3; the first is like xxx)"
        in (capsys.readouterr().err)
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
    assert run(folder, database) == 0
    assert rows(database, "select ts from clv_raw.transactions") == [
        (datetime.date(2024, 1, 31),)
    ]
    assert "as ts in seconds since 1970" in capsys.readouterr().out


def test_value_none_needs_no_amount(folder, database):
    (folder / "transactions.csv").write_text("user_id,ts\n1,2024-01-31\n")
    assert run(folder, database) == 2
    assert run(folder, database, "--value", "none") == 0
    assert rows(database, "select amount from clv_raw.transactions") == [(None,)]


def test_a_missing_folder_is_a_fault(tmp_path, database, capsys):
    assert run(tmp_path / "it's not there", database) == 2
    assert "it's not there." in capsys.readouterr().err
    assert not database.exists()


def test_names_are_quoted(tmp_path):
    folder, database = tmp_path / "it's", tmp_path / "clv_raw.duckdb"
    folder.mkdir()
    text = 'user_id,ts,amount,"o\'dd ""name"""\n1,2024-01-31,1,x\n'
    (folder / "transactions.csv").write_text(text)
    assert run(folder, database) == 0


def test_a_zone_may_stand_apart_from_its_time(tmp_path, database):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "transactions.csv").write_text(
        "user_id,ts,amount\n"
        "1,2023-05-01 14:22:01 -0400,5\n2,2023-05-02 14:22:01 +02:00,5\n"
    )
    assert run(folder, database) == 0
    assert rows(database, "select ts from clv_raw.transactions order by ts") == [
        (datetime.datetime(2023, 5, 1, 18, 22, 1),),
        (datetime.datetime(2023, 5, 2, 12, 22, 1),),
    ]


@pytest.mark.parametrize(
    ("zone", "hour"),
    [
        *((f"{blank}Z", 0) for blank in ("", " ")),
        *((f" {name}", 0) for name in ("UTC", "utc", "GMT", "Etc/UTC", "AM")),
        *((zone, -2) for zone in ("+02", "+02:00", "+0200", " +0200", " UTC+2")),
        (" Europe/London", -1),
        (" America/Argentina/Buenos_Aires", 3),
        (" America/Port-au-Prince", 4),
        *((f" {name}", None) for name in ("BST", "bst", "AST", "ART", "SST", "NST")),
        *((f" {name}", None) for name in ("CET", "CST", "PST", "EST5EDT", "Nowhere")),
    ],
)
@pytest.mark.parametrize("separator", [" ", "T"])
def test_letters_that_name_several_zones_are_none(
    separator, zone, hour, folder, database
):
    """DuckDB takes BST for the time of Bangladesh, and CET for winter all year."""
    if separator == "T" and zone == " AM":
        return
    (folder / "transactions.csv").write_text(
        f"user_id,ts,amount\n1,2024-07-06{separator}05:30:00{zone},5\n"
    )
    assert run(folder, database) == (2 if hour is None else 0)
    if hour is not None:
        assert rows(database, "select ts from clv_raw.transactions") == [
            (datetime.datetime(2024, 7, 6, 5 + hour, 30),)
        ]


@pytest.mark.parametrize("column", ["", ",currency"])
def test_a_sign_names_the_currency_where_no_column_does(
    column, folder, database, capsys
):
    end = "," if column else ""
    (folder / "transactions.csv").write_text(
        f"user_id,ts,amount{column}\n1,2023-05-01,€ 5.50{end}\n2,2023-05-02,€ 7{end}\n"
    )
    assert run(folder, database) == 0
    assert ", currency EUR\n" in capsys.readouterr().out
    assert rows(database, "select distinct currency from clv_raw.transactions") == [
        ("EUR",)
    ]


def test_what_is_told_of_columns_must_be_names_each_for_one(folder, database, capsys):
    (folder / "transactions.csv").write_text("Kd-1,2024-01-31,2\nKd-2,2024-01-31,3\n")
    for told, sentence in (
        ("user_id=Kd-1,ts=2024-01-31,amount=2", "transactions.csv has no header, or"),
        ("user_id=a,ts=b,amount=c", "transactions.csv has no header: its first line"),
        ("user_id=a,ts=a", "--columns takes a of transactions for two columns."),
    ):
        assert run(folder, database, "--columns", told) == 2
        assert sentence in capsys.readouterr().err


def test_ids_that_pandas_has_not_are_empty(folder, database):
    write_parquet(
        folder / "transactions.parquet",
        "select unnest([17.0, 'nan'::double]) as user_id, 2 as amount, "
        "date '2024-01-31' as ts",
    )
    assert run(folder, database) == 0
    assert rows(database, "select user_id from clv_raw.transactions") == [
        ("17",),
        (None,),
    ]


@pytest.mark.parametrize(("one", "other"), [("EUR", "eur"), ("€", " €")])
def test_a_sign_that_the_currency_agrees_with_is_left_out(
    one, other, tmp_path, database
):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "transactions.csv").write_text(
        "user_id,ts,amount,currency\n"
        f"1,2023-05-01,€ 5.50,{one}\n2,2023-05-02,€ 7.25,{other}\n"
    )
    assert run(folder, database) == 0
    assert rows(database, "select sum(amount) from clv_raw.transactions") == [
        (decimal.Decimal("12.7500"),)
    ]


@pytest.mark.parametrize(
    ("table", "rows_before"),
    [
        ("consents", "user_id,channel,is_granted\n2,email,no\n"),
        ("customer_status", "user_id,status\n2,closed\n"),
        ("identities", "user_id,other_id\n2,1\n"),
    ],
)
def test_what_was_said_on_consent_is_not_forgotten(
    table, rows_before, folder, database, capsys
):
    (folder / "transactions.csv").write_text(GOOD)
    said = folder / f"{table}.csv"
    said.write_text(rows_before)
    assert run(folder, database) == 0
    said.unlink()
    assert run(folder, database) == 2
    assert f"the last load had a file {table} with 1 of the people of this one" in (
        capsys.readouterr().err
    )
    assert len(rows(database, f"select * from clv_raw.{table}")) == 1
    said.write_text(rows_before.partition("\n")[0] + "\n")
    assert run(folder, database) == 0
    said.write_text(rows_before)
    assert run(folder, database) == 0
    said.unlink()  # the log of another shop
    (folder / "transactions.csv").write_text("user_id,ts,amount\nx1,2024-01-31,1\n")
    assert run(folder, database) == 0


def test_withdrawals_are_loaded_alone_and_beside_transactions_that_are_not(
    folder, database, capsys
):
    said = "user_id,channel,is_granted,updated_at\n1,email,{},2024-01-01\n"
    (folder / "transactions.csv").write_text(GOOD)
    (folder / "consents.csv").write_text(said.format("yes"))
    (folder / "customer_status.csv").write_text("user_id,status\n2,closed\n")
    assert run(folder, database, "--withdrawals") == 2
    assert "a database that was built" in capsys.readouterr().err
    assert run(folder, database) == 0
    (folder / "transactions.csv").write_text("user_id,ts,amount\n1,never,x\n")
    (folder / "consents.csv").write_text(said.format("no"))
    (folder / "customer_status.csv").unlink()
    assert run(folder, database, "--withdrawals") == 0
    held = "select {} from clv_raw.{}"
    assert rows(database, held.format("is_granted", "consents")) == [(False,)]
    assert len(rows(database, held.format("*", "transactions"))) == 2
    assert rows(database, held.format("status", "customer_status")) == [("closed",)]
    (folder / "consents.csv").rename(folder / "consents (1).csv")
    assert run(folder, database, "--withdrawals") == 2
    assert "is named almost as the input consents" in capsys.readouterr().err
    (folder / "consents (1).csv").unlink()
    assert run(folder, database, "--withdrawals") == 2
    assert "holds none of consents" in capsys.readouterr().err
