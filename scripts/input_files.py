"""Open one input file, in whatever form people keep it, as SQL that DuckDB reads.

A text file is read with every field as text, so that load_input.py judges the values.
What DuckDB would stumble over (another encoding, mixed line ends, gzip) is read from a
copy that is deleted after the load. Every reader's error becomes one sentence without a
value of the file.
"""

import codecs
import contextlib
import csv
import datetime
import gzip
import io
import itertools
import re
import shutil
import unicodedata
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

TEXT_ENDINGS = (".csv", ".tsv", ".txt")
ENDINGS = (".parquet", *TEXT_ENDINGS, *(f"{end}.gz" for end in TEXT_ENDINGS), ".xlsx")
# How files begin: what they are, whatever they are called.
MARKS = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "xlsx",
    b"\x1f\x8b": "gzip",
    b"\xd0\xcf\x11\xe0": "xls",
}
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What Windows and Asian systems write where they do not write UTF-8.
LATIN = ("cp1252", "cp1250", "cp1254", "cp1257")
ENCODINGS = (
    *LATIN,
    *("cp1251", "cp1253", "cp1255", "cp1256"),
    *("cp932", "gb18030", "big5", "cp949", "euc_jp"),
)
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
CHUNK = 1 << 22
SAMPLE = 1 << 20  # of a text file, for its header and its encoding
MOST_TITLES = 20  # lines above a header
WIDEST_DECIMAL = 38  # digits; DuckDB reads wider ones as other numbers


class InputFaultError(Exception):
    """A fault of the input, in one sentence for the person who can mend it."""


@dataclass(frozen=True)
class Opened:
    """SQL that reads a file, the type of each column, and what was unusual about it."""

    sql: str
    types: dict[str, str]
    how: list[str] = field(default_factory=list)
    delimiter: str = ""  # of a text file


def quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def shorten(text: object, limit: int = 60) -> str:
    """A name for a message: on one line, the end of it if it is long."""
    line = re.sub(
        r"\s+", " ", "".join(c if c.isprintable() else " " for c in str(text))
    )
    return line if len(line) <= limit else "…" + line[1 - limit :]


def masked(value: object, limit: int = 24) -> str:
    """What a value looks like, for a message: x for a letter, # for a digit.

    Blanks, signs of ASCII and of currencies stay: they tell numbers and times apart.
    Anything else may be part of a name.
    """
    signs = (
        "#"
        if sign.isdigit()
        else "x"
        if sign.isalpha()
        else sign
        if (sign.isascii() and sign.isprintable()) or unicodedata.category(sign) == "Sc"
        else " "
        if sign.isspace()
        else "?"
        for sign in str(value)
    )
    return shorten("".join(signs), limit)


def shown_code(value: object) -> str:
    """A short code, such as a currency, as it is; anything longer masked."""
    text = str(value)
    return text if len(text) <= 3 and text.isalnum() else masked(text)


def ending_of(path: Path) -> str:
    name = path.name.lower()
    return next((end for end in ENDINGS if name.endswith(end)), "")


def open_file(
    connection, path: Path, scratch: Path, wanted: set[str], least: int = 1
) -> Opened:
    """Open a file; wanted are the names of its header, least how many cells it has."""
    file, ending = shorten(path.name), ending_of(path)
    try:
        if path.is_dir():
            raise InputFaultError(f"{file} is a folder, not a file")
        with path.open("rb") as opened:
            head = opened.read(4)
        found = next(
            (kind for mark, kind in MARKS.items() if head.startswith(mark)), ""
        )
        if not head:
            raise InputFaultError(f"{file} is empty: it has no header line")
        if found == "xls":
            raise InputFaultError(
                f"{file} is an .xls or a protected spreadsheet: save it as .xlsx "
                "without a password, or as .csv"
            )
        needed = {".parquet": "Parquet", ".xlsx": "xlsx"}.get(ending, "")
        needed = "gzip" if ending.endswith(".gz") else needed
        if found != needed:
            raise InputFaultError(
                f"{file} is {f'no {needed} file' if needed else f'a {found} file'}: "
                "write it again, or give it the ending of what it is"
            )
        if ending == ".parquet":
            return open_parquet(connection, path, scratch, wanted)
        if ending == ".xlsx":
            return open_sheet(connection, path, wanted, least)
        return open_text(connection, path, scratch, wanted, least)
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise InputFaultError(f"{file} cannot be read: {reason}") from None
    except duckdb.Error as error:
        raise reader_fault(path, error) from None


def reader_fault(path: Path, error: Exception) -> InputFaultError:
    """DuckDB's message, which shows lines of the file, as a sentence that does not."""
    text, file = str(error), shorten(path.name)
    line = re.search(r"CSV Error on Line: (\d+)", text)
    place = f"line {int(line[1]):,} of {file}" if line else file
    fields = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if fields:
        return InputFaultError(
            f"{place} has {fields[2]} fields, and the header {fields[1]}: mend the "
            "line, and quote fields that hold the separator or a line break"
        )
    if "quote" in text:
        return InputFaultError(
            f"{place} has a quotation mark that is not closed, or text after one: "
            "close "
            'it, or write a quotation mark inside a field twice, as in "a ""b"""'
        )
    if "Maximum line size" in text:
        return InputFaultError(
            f"{place} is longer than 2 MB: look for a missing line end"
        )
    if ending_of(path) == ".parquet":
        return InputFaultError(f"{file} is damaged or no Parquet file: write it again")
    return InputFaultError(
        f"{place} cannot be read as CSV: save it again as CSV, UTF-8"
    )


def plain_name(path: Path, scratch: Path) -> Path:
    """The file, under a name that DuckDB does not take for a pattern of names."""
    if not set("*?[") & set(str(path)):
        return path
    link = scratch / f"{len(list(scratch.iterdir()))}{ending_of(path)}"
    link.symlink_to(path.resolve())
    return link


def described(connection, sql: str) -> dict[str, str]:
    rows = connection.execute(f"describe select * from {sql}").fetchall()
    return {row[0]: row[1].upper() for row in rows}


def titles_above(rows, wanted: set[str], least: int) -> int:
    """How many rows stand above the header: each with too few cells to be a row."""
    for place, row in enumerate(itertools.islice(rows, MOST_TITLES)):
        cells = [str(cell).strip().lower() for cell in row]
        filled = [cell for cell in cells if cell]
        if len(filled) >= max(least, 2) or wanted.intersection(filled):
            return place
        if any("\n" in cell or "\r" in cell for cell in cells):
            return 0
    return 0


# -- Parquet and spreadsheets


def open_parquet(connection, path: Path, scratch: Path, wanted: set[str]) -> Opened:
    file = quoted(plain_name(path, scratch))
    for name, digits in connection.execute(
        f"select name, precision from parquet_schema({file})"
    ).fetchall():
        if (digits or 0) > WIDEST_DECIMAL and name.lower() in wanted:
            raise InputFaultError(
                f"{shorten(name, 40)} of {shorten(path.name)} is a decimal of {digits} "
                f"digits, and {WIDEST_DECIMAL} can be read: write it as decimal(18, 4)"
            )
    sql = f"read_parquet({file}, binary_as_string = true, hive_partitioning = false)"
    return Opened(sql, described(connection, sql))


def open_sheet(connection, path: Path, wanted: set[str], least: int) -> Opened:
    """The first sheet seen: a column all of numbers, times or flags keeps its type."""
    import pyarrow
    from python_calamine import (
        CalamineError,
        CalamineWorkbook,
        SheetTypeEnum,
        SheetVisibleEnum,
    )

    file = shorten(path.name)
    try:
        book = CalamineWorkbook.from_path(str(path))
        name, *others = [
            sheet.name
            for sheet in book.sheets_metadata
            if sheet.visible == SheetVisibleEnum.Visible
            and sheet.typ == SheetTypeEnum.WorkSheet
        ]
        rows = book.get_sheet_by_name(name).to_python()
    except (CalamineError, ValueError, zlib.error):
        raise InputFaultError(
            f"{file} is damaged, protected or no spreadsheet: save it again as .xlsx "
            "or .csv"
        ) from None
    while rows and all(cell == "" for cell in rows[-1]):
        rows.pop()
    how = f"sheet {shorten(name, 30)}"
    if others:
        how += f", the first of {len(others) + 1}"
    if not rows:
        raise InputFaultError(
            f"{file} has nothing in its first sheet, the only one that is read ({how})"
        )
    titles = titles_above(rows, wanted, least)
    header, *rows = rows[titles:]
    ours = {str(cell) for cell in header} - {""}
    for other in others:
        for row in book.get_sheet_by_name(other).to_python(nrows=titles + 1):
            theirs = {str(cell) for cell in row} - {""}
            if len(theirs & ours) == min(len(theirs), len(ours)) >= least:
                raise InputFaultError(
                    f"{file} has the columns of its first sheet, {shorten(name, 30)}, "
                    f"in the sheet {shorten(other, 30)} too, and one sheet is read: "
                    "put all rows into one"
                )
    names = checked_names(file, [str(cell) for cell in header])
    cells = zip(*rows, strict=True) if rows else [()] * len(names)
    table = pyarrow.table(dict(zip(names, map(column_of, cells), strict=True)))
    view = f"sheet_{id(table)}"
    connection.register(view, table)
    return Opened(view, described(connection, view), [how, *said_of(titles)])


def said_of(titles: int) -> list[str]:
    return [f"header in row {titles + 1}"] if titles else []


def column_of(cells):
    """Cells of one column as an array, as text where they are of several kinds."""
    import pyarrow

    values = [None if cell == "" else cell for cell in cells]
    kinds = {type(value) for value in values} - {type(None)}
    if kinds and kinds <= {int, float}:
        return pyarrow.array([None if v is None else float(v) for v in values])
    if kinds == {bool}:
        return pyarrow.array(values)
    if kinds and kinds <= {datetime.date, datetime.datetime}:
        return pyarrow.array([None if v is None else str(v) for v in values])
    return pyarrow.array([as_text(value) for value in values], pyarrow.string())


def as_text(value) -> str | None:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return None if value is None else str(value)


# -- Text files


def open_text(
    connection, path: Path, scratch: Path, wanted: set[str], least: int
) -> Opened:
    file = shorten(path.name)
    readable, how = utf8_copy(path, scratch)
    with readable.open("rb") as opened:
        head = opened.read(SAMPLE).decode("utf-8-sig", errors="ignore")
    # Excel's own line about the separator, before the header.
    told = re.match(r"\"?sep=(.)\"?\r?\n", head, re.IGNORECASE)
    if told:
        head = head[told.end() :]
    delimiter, header, titles = find_header(
        file, head, wanted, least, told[1] if told else ""
    )
    how += said_of(titles)
    if delimiter != ",":
        how.insert(0, f"{DELIMITERS.get(delimiter, 'otherwise')}-separated")
    names = checked_names(file, header)
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
    sql = (
        f"read_csv({quoted(plain_name(readable, scratch))}, auto_detect = false, "
        f"header = true, skip = {titles + bool(told)}, delim = {quoted(delimiter)}, "
        f"quote = '\"', escape = '\"', compression = 'none', columns = {{{columns}}})"
    )
    return Opened(sql, dict.fromkeys(names, "VARCHAR"), how, delimiter)


def find_header(file: str, head: str, wanted: set[str], least: int, told: str):
    """The delimiter that finds most wanted columns, its header and what is above."""
    best: tuple[tuple[int, int], str, list[str], int] = ((-1, -1), "", [], 0)
    for delimiter in told or DELIMITERS:
        rows = list(first_rows(head, delimiter))
        titles = titles_above(rows, wanted, least)
        names = rows[titles] if rows else []
        known = {name.strip().lower() for name in names} & wanted
        if (len(known), len(names)) > best[0]:
            best = ((len(known), len(names)), delimiter, names, titles)
    if not any(name.strip() for name in best[2]):
        raise InputFaultError(f"{file} is empty: it has no header line")
    return best[1:]


def first_rows(head: str, delimiter: str):
    """The rows a header may be among, as far as they are CSV."""
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    with contextlib.suppress(csv.Error):
        yield from itertools.islice(reader, MOST_TITLES)


def checked_names(file: str, header: list[str]) -> list[str]:
    """The names of a header, each once and none empty."""
    names = [name.strip() or f"column {i}" for i, name in enumerate(header, start=1)]
    lower = [name.lower() for name in names]
    for i, name in enumerate(lower):
        if name in lower[:i]:
            raise InputFaultError(
                f"{file} has the same name over columns {lower.index(name) + 1} and "
                f"{i + 1}: give every column a name of its own in the first line"
            )
    return names


def utf8_copy(path: Path, scratch: Path) -> tuple[Path, list[str]]:
    """The file where it is UTF-8 with one kind of line end, else a copy that is."""
    how = []
    if path.name.lower().endswith(".gz"):
        unpacked = scratch / f"{path.name}.unpacked"
        try:
            with gzip.open(path) as packed, unpacked.open("wb") as copy:
                shutil.copyfileobj(packed, copy, CHUNK)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise InputFaultError(
                f"{shorten(path.name)} is damaged: pack it again with gzip"
            ) from None
        path, name = unpacked, path.name
    else:
        name = path.name
    encoding, ends = look_through(path)
    if encoding is None:
        encoding = guess_encoding(path, shorten(name))
    if encoding == "utf-8" and len(ends) <= 1:
        return path, how
    if encoding != "utf-8":
        how.append(encoding.upper().replace("_", "-").replace("CP125", "Windows-125"))
    elif len(ends) > 1:
        how.append("mixed line ends")
    copy = scratch / f"{name}.utf8"
    try:
        with (
            path.open(
                encoding="utf-8-sig" if encoding == "utf-8" else encoding
            ) as read,
            copy.open("w", encoding="utf-8", newline="\n") as written,
        ):
            shutil.copyfileobj(read, written, CHUNK)
    except UnicodeError:
        raise InputFaultError(
            f"{shorten(name)} is not {encoding.upper()} throughout: save it as UTF-8"
        ) from None
    with copy.open("rb") as opened:
        refuse_zero_bytes(opened, name)
    return copy, how


def look_through(path: Path) -> tuple[str | None, set[str]]:
    """The encoding, if it is told or is UTF-8, and the kinds of line ends there are."""
    with path.open("rb") as opened:
        start = opened.read(4)
        opened.seek(0)
        for mark, encoding in BYTE_ORDER_MARKS.items():
            if start.startswith(mark) and encoding != "utf-8":
                return encoding, set()
        decoder = codecs.getincrementaldecoder("utf-8")()
        both = line_feeds = returns = 0
        last = b""
        while chunk := opened.read(CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return None, set()
            if b"\0" in chunk:
                return None, set()
            both += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            line_feeds += chunk.count(b"\n")
            returns += chunk.count(b"\r")
            last = chunk[-1:]
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return None, set()
    ends = {"crlf": both, "lf": line_feeds - both, "cr": returns - both}
    return "utf-8", {end for end, count in ends.items() if count}


def guess_encoding(path: Path, file: str) -> str:
    """The encoding of a text that is not UTF-8, by its lines that are not ASCII."""
    from charset_normalizer import from_bytes

    with path.open("rb") as opened:
        if b"\0" in opened.read(SAMPLE):
            opened.seek(0)
            best = from_bytes(opened.read(1 << 16)).best()
            if best and best.encoding.startswith(("utf_16", "utf_32")):
                return best.encoding
        opened.seek(0)
        refuse_zero_bytes(opened, path.name)
        opened.seek(0)
        others: dict[bool, list[tuple[int, bytes]]] = {True: [], False: []}
        for number, line in enumerate(opened, start=1):
            if not line.isascii():
                others[is_utf8(line)].append((number, line))
            if others[True] and others[False]:
                raise InputFaultError(
                    f"{file} is UTF-8, but not in line {others[False][0][0]:,}: save "
                    "all of it as UTF-8"
                )
            if len(others[False]) == 1000:
                break
    sample = b"".join(line for _, line in others[False])
    matches = from_bytes(sample, cp_isolation=list(ENCODINGS))
    likely = {name for match in matches for name in match.could_be_from_charset}
    best = matches.best().encoding if matches else "cp1252"
    # Other scripts and two bytes for one sign never stand alone among ASCII.
    alone = not re.search(rb"[\x80-\xff]{2}", sample)
    western = "cp1252" in likely or (alone and best not in LATIN)
    return "cp1252" if western else best


def is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def refuse_zero_bytes(opened, name: str) -> None:
    lines = 1
    while chunk := opened.read(CHUNK):
        if b"\0" in chunk:
            line = lines + chunk[: chunk.index(b"\0")].count(b"\n")
            raise InputFaultError(
                f"{shorten(name)} has zero bytes in line {line:,}: save it again as "
                "UTF-8"
            )
        lines += chunk.count(b"\n")
