"""Attack load_input.py with inputs as they go wrong, and see that no total is changed.

usage: attack_inputs.py [--seed N] [--cases N] [--only TEXT] [--keep DIR]

Every case is a small log of orders, written in some unusual way or damaged in one
place. It must either be loaded with exactly its orders, or be refused: exit code 2, one
sentence of at most 300 characters on stderr, no value of the file in it, the database
as before. Some must load and some must be refused; of the others either is right. With
--keep, the files of the cases that fail are left in DIR.
"""

import argparse
import codecs
import contextlib
import csv
import datetime
import gzip
import io
import itertools
import random
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from xml.sax.saxutils import escape

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import load_input

LONGEST_MESSAGE = 300
LOADS, REFUSED, EITHER = "loads", "is refused", "either"
COLUMNS = ("user_id", "ts", "amount")


@dataclass
class Order:
    """One line of the truth."""

    user: str | None
    day: datetime.date
    amount: Decimal


@dataclass
class Case:
    """One input: its files, what is right, and what it says if it is loaded."""

    name: str
    files: dict[str, bytes]
    right: str
    orders: list[Order]
    options: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)


def orders_of(random_: random.Random, number=12) -> list[Order]:
    """Orders of which some have a day above 12, and amounts with two decimals."""
    first = datetime.date(2023, 1, 13)
    return [
        Order(
            f"Kd-{random_.randrange(10**5):05d}-{random_.choice('qxyz')}{i}",
            first + datetime.timedelta(days=random_.randrange(250) if i else 0),
            Decimal(random_.randrange(101, 9999999)) / 100 + Decimal("0.01") * (not i),
        )
        for i in range(number)
    ]


# -- Ways to write what is right


def grouped(amount: Decimal, group: str, point: str) -> str:
    return f"{amount:,.2f}".translate({ord(","): group, ord("."): point})


AMOUNTS = {
    "plain": lambda a: f"{a:.2f}",
    "comma": lambda a: grouped(a, "", ","),
    "german": lambda a: grouped(a, ".", ","),
    "english": lambda a: grouped(a, ",", "."),
    "french": lambda a: grouped(a, "\u202f", ","),
    "swiss": lambda a: grouped(a, "'", "."),
    "nbsp": lambda a: grouped(a, "\u00a0", ","),
    "euro": lambda a: f"€ {grouped(a, '.', ',')}",
    "code": lambda a: f"{grouped(a, ',', '.')} USD",
    "plus": lambda a: f"+{a:.2f}",
}
DAYS = {
    "iso": lambda d: d.isoformat(),
    "slashes": lambda d: f"{d:%Y/%m/%d}",
    "day first": lambda d: f"{d:%d/%m/%Y}",
    "dots": lambda d: f"{d.day}.{d.month}.{d.year}",
    "month first": lambda d: f"{d:%m/%d/%Y}",
    "minutes": lambda d: f"{d:%d/%m/%Y} 09:05",
    "half days": lambda d: f"{d.month}/{d.day}/{d.year} 11:59:59 PM",
    "named": lambda d: f"{d:%d-%b-%Y}",
    "zone": lambda d: f"{d.isoformat()}T12:00:00+02:00",
    "compact": lambda d: f"{d:%Y%m%d}",
    "seconds": lambda d: str(epoch(d)),
    "milliseconds": lambda d: str(epoch(d) * 1000),
    "microseconds": lambda d: str(epoch(d) * 10**6),
    "nanoseconds": lambda d: str(epoch(d) * 10**9),
}
ENCODINGS = {
    "UTF-8": str.encode,
    "UTF-8 with BOM": lambda t: codecs.BOM_UTF8 + t.encode(),
    "UTF-16": lambda t: t.encode("utf-16"),
    "UTF-16 LE": lambda t: codecs.BOM_UTF16_LE + t.encode("utf-16-le"),
    "UTF-16 BE": lambda t: codecs.BOM_UTF16_BE + t.encode("utf-16-be"),
    "Windows-1252": lambda t: t.encode("cp1252", errors="replace"),
}
ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r", "mixed": None}


def epoch(day: datetime.date) -> int:
    midnight = datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)
    return int(midnight.timestamp())


def table_of(orders, amount="plain", day="iso"):
    return [
        [order.user or "", DAYS[day](order.day), AMOUNTS[amount](order.amount)]
        for order in orders
    ]


def text_of(rows, delimiter=",", header=COLUMNS, ends="LF", random_=None) -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator="\n").writerows(
        [header, *rows] if header else rows
    )
    text = written.getvalue()
    if ENDS[ends] is None:
        return "".join(
            line.replace("\n", random_.choice(["\n", "\r\n"]))
            for line in text.splitlines(keepends=True)
        )
    return text.replace("\n", ENDS[ends])


def sheet_of(rows, header=COLUMNS) -> bytes:
    """A spreadsheet with numbers, dates and texts in the cells."""
    lines = []
    for row in [header, *rows]:
        cells = []
        for cell in row:
            if isinstance(cell, datetime.date):
                serial = (cell - datetime.date(1899, 12, 30)).days
                cells.append(f'<c s="1"><v>{serial}</v></c>')
            elif isinstance(cell, Decimal | int | float):
                cells.append(f"<c><v>{cell}</v></c>")
            else:
                text = escape(str(cell))
                cells.append(f'<c t="inlineStr"><is><t>{text}</t></is></c>')
        lines.append(f"<row>{''.join(cells)}</row>")
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{kind}.styles+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" '
        f'ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="a" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="Orders" sheetId="1" r:id="b"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="b" Type="{office}/worksheet" '
        'Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="c" Type="{office}/styles" Target="styles.xml"/>'
        "</Relationships>",
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><cellXfs><xf numFmtId="0"/>'
        '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>'
        f"{''.join(lines)}</sheetData></worksheet>",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{part}')
    return packed.getvalue()


def parquet_of(orders, user="user_id", ts="ts", amount="amount") -> bytes:
    """A Parquet file; each column by an SQL expression over its text."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create table o (user_id text, ts text, amount text)")
        connection.executemany("insert into o values (?, ?, ?)", table_of(orders))
        path = Path(folder) / "o.parquet"
        connection.execute(
            f"copy (select {user} as user_id, {ts} as ts, {amount} as amount from o) "
            f"to '{path}' (format parquet)"
        )
        return path.read_bytes()


# -- Cases


def ways(random_):
    """Files in order, written in every way that people write them."""
    combinations = itertools.product(",;\t|", AMOUNTS, DAYS, ENCODINGS, ENDS)
    for delimiter, amount, day, encoding, ends in combinations:
        if encoding == "Windows-1252" and amount == "french":
            continue  # it has no narrow space
        orders = orders_of(random_)
        rows = table_of(orders, amount, day)
        text = text_of(rows, delimiter, ends=ends, random_=random_)
        name = f"{amount}, {day}, {delimiter!r}, {encoding}, {ends}"
        data = {"transactions.csv": ENCODINGS[encoding](text)}
        yield Case(f"way: {name}", data, LOADS, orders)


def shapes(random_):
    """Other kinds of file, names and folders."""
    orders = orders_of(random_)
    text = text_of(table_of(orders)).encode()
    renamed = text_of(table_of(orders), header=("CustomerID", "InvoiceDate", "Total"))
    cells = [[o.user, o.day, o.amount] for o in orders]
    number = [Order(str(int(o.amount * 100)), o.day, o.amount) for o in orders]
    zoned = "cast(ts as timestamptz)"
    option = ["--columns", "user_id=CustomerID,ts=InvoiceDate,amount=Total"]
    good = {
        "gzip": {"transactions.csv.gz": gzip.compress(text)},
        "another name": {"orders.csv": text},
        "brackets": {"orders [1].csv": text},
        "tsv": {"transactions.tsv": text_of(table_of(orders), "\t").encode()},
        "sheet": {"transactions.xlsx": sheet_of(cells)},
        "sheet of texts": {"a.xlsx": sheet_of(table_of(orders, "german", "day first"))},
        "Parquet": {"transactions.parquet": parquet_of(orders)},
        "Parquet, zoned": {"transactions.parquet": parquet_of(orders, ts=zoned)},
        "Parquet, typed": {
            "transactions.parquet": parquet_of(
                orders, ts="cast(ts as date)", amount="cast(amount as double)"
            )
        },
        "Parquet, bytes": {
            "transactions.parquet": parquet_of(orders, user="encode(user_id)")
        },
        "titles": {"t.csv": b"Orders of 2023,,\n\n,exported in May,\n" + text},
        "titles, tab": {
            "t.csv": b"Orders, all\n" + text_of(table_of(orders), "\t").encode()
        },
        "titles of a sheet": {
            "a.xlsx": sheet_of([COLUMNS, *cells], ("Orders", "", ""))
        },
        "Excel's line": {
            "t.csv": b"sep=;\r\n" + text_of(table_of(orders), ";", ends="CRLF").encode()
        },
    }
    for name, files in good.items():
        yield Case(f"file: {name}", files, LOADS, orders)
    for kind in (
        "bigint",
        "hugeint",
        "double",
        "decimal(38, 0)",
        "uinteger",
        "varchar",
    ):
        user = f"cast(user_id as {kind})"
        files = {"transactions.parquet": parquet_of(number, user=user)}
        yield Case(f"file: Parquet, ids {kind}", files, LOADS, number)
    for unit, factor in (("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)):
        ts = f"cast(epoch(cast(ts as timestamp)) as bigint) * {factor}"
        files = {"transactions.parquet": parquet_of(orders, ts=ts)}
        yield Case(f"file: Parquet, epoch in {unit}", files, LOADS, orders)
    cut = {
        "transactions.xlsx": sheet_of([[10**16 + 7, o.day, o.amount] for o in orders])
    }
    yield Case("file: ids that a sheet cuts", cut, REFUSED, orders)
    yield Case("names told", {"t.csv": renamed.encode()}, LOADS, orders, option)
    yield Case("names not told", {"t.csv": renamed.encode()}, REFUSED, orders)
    packed = gzip.compress(text)
    sheet, parquet = sheet_of(cells), parquet_of(orders)
    bad = {
        "no bytes": {"transactions.csv": b""},
        "only blanks": {"transactions.csv": b" \n \n"},
        "only a header": {"transactions.csv": b"user_id,ts,amount\n"},
        "no header": {"transactions.csv": text.split(b"\n", 1)[1]},
        "a column twice": {"transactions.csv": text.replace(b"ts", b"user_id", 1)},
        "no files": {},
        "two unknown": {"a.csv": text, "b.csv": text},
        "twice": {"transactions.csv": text, "transactions.tsv": text},
        "a sheet called csv": {"transactions.csv": sheet},
        "csv called sheet": {"transactions.xlsx": text},
        "csv called Parquet": {"transactions.parquet": text},
        "csv called gzip": {"transactions.csv.gz": text},
        "an old sheet": {"transactions.xlsx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99},
        "another zip": {"transactions.xlsx": b"PK\x03\x04" + bytes(200)},
        "a picture": {"transactions.csv": bytes(range(256)) * 9},
        "a line above a title": {"t.csv": b"Kd-1,2023-01-01,9\nOrders\n" + text},
        "a sum without id": {
            "t.csv": text + f",2023-12-31,{sum(o.amount for o in orders)}\n".encode()
        },
        "html": {"transactions.csv": b"<html><table><tr><td>1</td></tr></table>"},
        "json": {"transactions.csv": b'[{"user_id": "Kd-1", "ts": 1, "amount": 2}]'},
    }
    for name, files in bad.items():
        yield Case(f"file: {name}", files, REFUSED, orders)
    for name, data in (
        ("transactions.csv.gz", packed),
        ("transactions.xlsx", sheet),
        ("transactions.parquet", parquet),
    ):
        for share in (0.1, 0.5, 0.9, 0.99):
            cut = data[: int(len(data) * share)]
            yield Case(f"file: {name} cut at {share}", {name: cut}, REFUSED, orders)


CELLS = {  # what stands in a cell → column → what is right
    "": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "   ": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "n/a": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "#N/A": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "NaN": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "inf": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "-inf": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "=1+1": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "-": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "1e400": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "1000000000000": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "-5000000000": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "99999999999999999999": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "1.23457E+12": {"user_id": REFUSED, "ts": REFUSED, "amount": REFUSED},
    "1_000": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "0x1A": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "12%": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "7.5.2": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "9,75": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "12.34,567": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "$77.10": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "٣٤٥": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "2203-11-01": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "0001-01-01": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "1970-01-01": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "9999-12-31": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "2023-02-30": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "2023-13-01": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "31/12/2023": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "03/04/2023": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "04-03-23": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "45123": {"user_id": LOADS, "ts": REFUSED, "amount": EITHER},
    "1688169600": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "infinity": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "epoch": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "yesterday": {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "Ünï-çødé 😀": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "petra.muster@example.org": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "x" * 5000: {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "x" * 3_000_000: {"user_id": EITHER, "ts": REFUSED, "amount": REFUSED},
    "a\nb": {"user_id": REFUSED, "ts": REFUSED, "amount": REFUSED},
    "zero\0byte": {"user_id": REFUSED, "ts": REFUSED, "amount": REFUSED},
    'with "quotes"': {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
    "a,b": {"user_id": LOADS, "ts": REFUSED, "amount": REFUSED},
}


def places(number):
    return {"first": 0, "middle": number // 2, "last": number - 1}.items()


def cells(random_):
    """A log in order but for one cell."""
    for value, rights in CELLS.items():
        for (column, right), (place, row) in itertools.product(
            rights.items(), places(12)
        ):
            orders = orders_of(random_)
            rows = table_of(orders)
            rows[row][COLUMNS.index(column)] = value
            if column == "user_id":
                orders[row].user = value or None
            elif right == EITHER:
                orders[row].amount = Decimal(value)
            secrets = [value] if len(value) > 5 else []
            name = f"cell: {value[:20]!r} as the {place} {column}"
            files = {"transactions.csv": text_of(rows).encode()}
            yield Case(name, files, right, orders, secrets=secrets)


def cut_quote(line, column):
    fields = line.split(",")
    fields[column] = '"' + fields[column]
    return ",".join(fields)


def closed_too_soon(line, column):
    fields = line.split(",")
    fields[column] = f'"{fields[column][:2]}"{fields[column][2:]}'
    return ",".join(fields)


def without(line, column):
    fields = line.split(",")
    del fields[column]
    return ",".join(fields)


def doubled(line, column):
    fields = line.split(",")
    return ",".join([*fields, fields[column]])


def with_blanks(line, column):
    fields = line.split(",")
    fields[column] = f" {fields[column]} "
    return ",".join(fields)


LINES = {
    "a quote left open": (cut_quote, REFUSED),
    "a quote closed too soon": (closed_too_soon, REFUSED),
    "a field missing": (without, REFUSED),
    "a field too many": (doubled, REFUSED),
    "blanks around": (with_blanks, EITHER),
    "a semicolon line": (lambda line, _: line.replace(",", ";"), REFUSED),
    "a line end inside": (
        lambda line, column: line.replace(",", "\n,", column + 1),
        REFUSED,
    ),
    "an empty line after": (lambda line, _: f"{line}\n", LOADS),
    "commas after": (lambda line, _: f"{line}\n,,", LOADS),
    "a sum after": (lambda line, _: f"{line}\nSum,,123456.78", REFUSED),
    "a dated sum": (lambda line, _: f"{line}\nTotal,2023-12-31,123456.78", REFUSED),
    "the header again": (lambda line, _: f"{line}\nuser_id,ts,amount", REFUSED),
    "a bad byte": (lambda line, _: f"{line}", EITHER),
}


def lines(random_):
    """A log in order but for one line, and two lines with a quote each."""
    for (name, (change, right)), column, (place, row) in itertools.product(
        LINES.items(), range(3), places(12)
    ):
        orders = orders_of(random_)
        written = text_of(table_of(orders)).rstrip("\n").split("\n")
        written[row + 1] = change(written[row + 1], column)
        data = ("\n".join(written) + "\n").encode()
        if name == "blanks around" and column == 0:
            orders[row].user = f" {orders[row].user} "
        if name == "a bad byte":
            data = data.replace(orders[row].user.encode(), b"K\xe9d")
            orders[row].user = "Kéd"
        files = {"transactions.csv": data}
        yield Case(f"line: {name}, {place}, {COLUMNS[column]}", files, right, orders)
    for column, note, gap in itertools.product(range(4), (True, False), (1, 2, 5)):
        orders = orders_of(random_)
        rows = [[*row, "said hello"] for row in table_of(orders)]
        header = [*COLUMNS, "note" if note else "sku"]
        written = text_of(rows, header=header).rstrip("\n").split("\n")
        for row, end in ((3, False), (3 + gap, True)):
            fields = written[row].split(",")
            fields[column] = fields[column] + '"' if end else '"' + fields[column]
            written[row] = ",".join(fields)
        files = {"transactions.csv": ("\n".join(written) + "\n").encode()}
        name = f"lines: a quote over {gap} lines in column {column}, {header[3]}"
        yield Case(name, files, REFUSED, orders)


def whole(random_):
    """Files of which everything is unclear, or nothing is a purchase."""
    orders = orders_of(random_)
    early = [
        Order(o.user, o.day.replace(day=min(o.day.day, 12)), o.amount) for o in orders
    ]
    for day, option in (("day first", "day-first"), ("month first", "month-first")):
        text = text_of(table_of(early, day=day)).encode()
        yield Case(f"whole: {day}, open", {"t.csv": text}, REFUSED, early)
        told = ["--dates", option]
        yield Case(f"whole: {day}, told", {"t.csv": text}, LOADS, early, told)
        text = text_of(table_of(orders, day=day)).encode()
        other = ["--dates", "month-first" if day == "day first" else "day-first"]
        yield Case(f"whole: {day}, told wrong", {"t.csv": text}, REFUSED, orders, other)
    thousands = [
        Order(o.user, o.day, Decimal(random_.randrange(1001, 999999))) for o in orders
    ]
    for group, decimal in ((".", "comma"), (",", "point")):
        rows = [
            [o.user, o.day.isoformat(), f"{o.amount:,}".replace(",", group)]
            for o in thousands
        ]
        text = text_of(rows).encode()
        yield Case(f"whole: thousands {group}", {"t.csv": text}, REFUSED, thousands)
        told = ["--decimal", decimal]
        name = f"whole: thousands {group}, told"
        yield Case(name, {"t.csv": text}, LOADS, thousands, told)
    negatives = {
        "minus": "-{}",
        "after": "{}-",
        "brackets": "({})",
        "sign": "\u2212{}",
        "euro": "-€{}",
    }
    for name, form in negatives.items():
        sign = "€" if name == "euro" else ""
        rows = table_of(orders)
        changed = [Order(o.user, o.day, o.amount) for o in orders]
        for i, order in enumerate(changed):
            amount = rows[i][2]
            if i % 3 == 1:
                order.amount, rows[i][2] = -order.amount, form.format(amount)
            else:
                rows[i][2] = sign + amount
        files = {"t.csv": text_of(rows).encode()}
        yield Case(f"whole: negative, {name}", files, LOADS, changed)
    useless = {
        "negative": ["-" + row[2] for row in table_of(orders)],
        "zero": ["0"] * len(orders),
        "days as numbers of a spreadsheet": None,
        "years of two digits": None,
        "two forms of days": None,
        "seconds and milliseconds": None,
        "decimal point and comma": None,
        "two currencies": None,
        "nobody": None,
    }
    for name, amounts in useless.items():
        rows = table_of(orders)
        for i, row in enumerate(rows):
            even, day = i % 2 == 0, orders[i].day
            if amounts:
                row[2] = amounts[i]
            elif name.startswith("days"):
                row[1] = str((day - datetime.date(1899, 12, 30)).days)
            elif name.startswith("years"):
                row[1] = f"{day:%d/%m/%y}"
            elif name.startswith("two forms"):
                row[1] = f"{day:%d/%m/%Y}" if day.day > 12 else day.isoformat()
            elif name.startswith("seconds"):
                row[1] = str(epoch(day) * (1 if even else 1000))
            elif name.startswith("decimal"):
                row[2] = row[2] if even else row[2].replace(".", ",")
            elif name.startswith("two currencies"):
                row[2] = f"€{row[2]}" if even else f"${row[2]}"
            else:
                row[0] = ""
        files = {"t.csv": text_of(rows).encode()}
        yield Case(f"whole: {name}", files, REFUSED, orders)


def campaign(seed: int, number: int | None = None) -> list[Case]:
    """The cases of a seed: of the ways to write a sample, of all else everything."""
    random_ = random.Random(seed)
    every_way = list(ways(random_))
    cases = [*shapes(random_), *cells(random_), *lines(random_), *whole(random_)]
    cases += random_.sample(every_way, 400)
    random_.shuffle(cases)
    return cases[:number]


# -- The trial


class Trial:
    """One database, into which case after case is loaded."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.database = folder / "warehouse.duckdb"
        (folder / "good").mkdir()
        good = folder / "good" / "transactions.csv"
        good.write_text("user_id,ts,amount\nnobody,2023-05-05,1\n")
        with contextlib.redirect_stdout(io.StringIO()):
            assert load_input.main(self.arguments(good)) == 0

    def arguments(self, path, *options):
        """How load_input.py is called."""
        return ["--input", str(path), "--database", str(self.database), *options]

    def loaded(self):
        """The orders that the database holds."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(
                "select user_id, cast(ts as date), amount from clv_raw.transactions "
                "order by all"
            ).fetchall()

    def faults(self, case: Case) -> list[str]:
        """What is wrong about how a case was met."""
        path = self.folder / "case"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        for name, data in case.files.items():
            (path / name).write_bytes(data)
        before = self.loaded()
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = load_input.main(self.arguments(path, *case.options))
            except SystemExit as error:
                return [f"stopped with {error}"]
            except Exception as error:
                return [f"raised {type(error).__name__}: {str(error)[:200]}"]
        after, said = self.loaded(), err.getvalue()
        if code == 0:
            return self.faults_of_load(case, after)
        found = [f"is refused: {said.strip()}"] if case.right == LOADS else []
        if code != 2:
            found.append(f"exit code {code}")
        if after != before:
            found.append("is refused, but the database is changed")
        if said.count("\n") != 1 or not said.endswith(".\n") or out.getvalue():
            found.append(f"does not say one sentence: {said[:400]!r}")
        if len(said.strip()) > LONGEST_MESSAGE:
            found.append(f"says {len(said.strip())} characters")
        rows = table_of(case.orders)
        secrets = {cell for row in rows for cell in row if len(cell) > 4}
        shown = [s for s in secrets | set(case.secrets) if s in said]
        return found + [f"shows {len(shown)} values: {said.strip()}"] * bool(shown)

    def faults_of_load(self, case: Case, after) -> list[str]:
        """What is wrong about what was loaded."""
        right = sorted(
            (
                (o.user, o.day, o.amount.quantize(Decimal("0.0001")))
                for o in case.orders
            ),
            key=str,
        )
        found = ["is loaded, and must not be"] if case.right == REFUSED else []
        if len(after) != len(right) or sum(r[2] for r in after) != sum(
            r[2] for r in right
        ):
            found.append("CHANGED TOTAL")
        elif sorted(after, key=str) != right:
            found.append("is loaded with other users or days")
        return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, metavar="N")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="of the name of a case"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    cases = campaign(options.seed, options.cases)
    cases = [c for c in cases if options.only in c.name]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder))
        for case in cases:
            for fault in trial.faults(case):
                failed += 1
                print(f"{case.name} ({case.right}): {fault}")
                if options.keep:
                    kept = options.keep / case.name.replace("/", "_")[:100]
                    shutil.copytree(trial.folder / "case", kept, dirs_exist_ok=True)
    print(f"{len(cases)} inputs, {failed} faults, seed {options.seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
