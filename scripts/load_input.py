"""Load input files into schema `clv_raw` of the DuckDB file, or say what is loaded.

usage: load_input.py [--input PATH | --demo [NAME]] [--withdrawals] [--database PATH]
                     [--value KIND] [--columns MAPPING] [--dates ORDER]
                     [--decimal SEPARATOR]

PATH is a folder, or one file with transactions. A folder holds transactions and, if you
have them, customers (or users), identities, events, ad_spend, campaign_assignments,
consents, customer_status, text_signals, each as .parquet, .csv, .tsv, .txt (also .gz)
or .xlsx; a single file of another name is taken as the transactions. Without PATH the
tables stay as they are; where nothing is loaded yet, the demo is. NAME is retail, real
orders of a CD shop, or airline, a simulated frequent-flyer programme.

Every table ends up with exactly the columns of CONTRACT: an absent optional column is
null, an absent optional file an empty table. Times none of which has a clock time are
kept as dates: days of the shop's time zone (var clv_time_zone); others are in UTC. All
files are checked before anything is kept: a fault leaves the database as it was, says
so in one sentence and exits with 2.
Rows are numbered from the first one after the header.
"""

import argparse
import csv
import difflib
import os
import re
import shlex
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
from input_files import (
    ENDINGS,
    InputFaultError,
    Opened,
    ending_of,
    masked,
    open_file,
    reader_fault,
    shorten,
    shown_code,
)
from input_values import (
    BLANKS,
    COUNT,
    DATE,
    FLAG,
    MONEY,
    NUMBERS,
    SCORE,
    TEXT,
    TIMES,
    TIMESTAMP,
    Column,
    identifier,
    is_open,
    literal,
    refuse_another_currency,
    settle_numbers,
    settle_times,
    shape,
)

PROJECT = Path(__file__).resolve().parent.parent
SCHEMA = "clv_raw"
DEMO = PROJECT / "seeds" / "demo"
DEMO_NAMES = {
    "retail": "the demo, orders of the CD shop CDNOW",
    "airline": "the airline demo, a simulated frequent-flyer programme",
}
LONGEST_MESSAGE = 300
# As in profiles.yml. The order of rows is kept, so that faults have row numbers.
SETTINGS = (
    "TimeZone = 'UTC'",
    "disabled_compression_methods = 'fsst,dictionary,alp,alprd'",
    f"memory_limit = '{os.environ.get('CLV_DUCKDB_MEMORY_LIMIT', '2GB')}'",
)
ALIASES = {"users": "customers"}
# Of files that may hold rows, whether or not they can be read.
DATA_ENDINGS = (*ENDINGS, ".xls", ".xlsb", ".ods", ".json", ".jsonl", ".ndjson", ".zip")
# What says who may be contacted; loaded alone with --withdrawals.
WITHDRAWALS = ("consents", "customer_status", "identities")

# Input → column → type, in the order of the tables.
CONTRACT = {
    "transactions": {
        "user_id": TEXT,
        "ts": TIMESTAMP,
        "amount": MONEY,
        "currency": TEXT,
        "channel": TEXT,
        "sku": TEXT,
        "country": TEXT,
        "is_refund": FLAG,
        "variable_cost": MONEY,
        "order_id": TEXT,
        "category": TEXT,
        "discount_amount": MONEY,
    },
    "customers": {
        "user_id": TEXT,
        "signup_ts": TIMESTAMP,
        "country": TEXT,
        "device": TEXT,
        "acquisition_source": TEXT,
        "account_id": TEXT,
        "subscriber_key": TEXT,
        "tier": TEXT,
        "plan": TEXT,
        "billing_period_days": COUNT,
    },
    "identities": {"user_id": TEXT, "other_id": TEXT, "linked_at": TIMESTAMP},
    "events": {
        "user_id": TEXT,
        "ts": TIMESTAMP,
        "event_name": TEXT,
        "metadata_json": TEXT,
    },
    "ad_spend": {
        "channel": TEXT,
        "spend_date": DATE,
        "spend": MONEY,
        "new_customers": COUNT,
        "currency": TEXT,
    },
    "campaign_assignments": {
        "campaign_id": TEXT,
        "user_id": TEXT,
        "arm": TEXT,
        "assigned_at": TIMESTAMP,
        "cost": MONEY,
        "redeemed_at": TIMESTAMP,
    },
    "consents": {
        "user_id": TEXT,
        "channel": TEXT,
        "is_granted": FLAG,
        "updated_at": TIMESTAMP,
        "objects_to_profiling": FLAG,
    },
    "customer_status": {"user_id": TEXT, "status": TEXT, "effective_at": TIMESTAMP},
    "text_signals": {
        "user_id": TEXT,
        "ts": TIMESTAMP,
        "source": TEXT,
        "sentiment": SCORE,
        "topic": TEXT,
    },
}

# Columns a file must have; every other column may be absent.
REQUIRED = {
    "transactions": ("user_id", "ts", "amount"),
    "customers": ("user_id",),
    "identities": ("user_id", "other_id"),
    "events": ("user_id", "ts", "event_name"),
    "ad_spend": ("channel", "spend_date", "spend"),
    "campaign_assignments": ("campaign_id", "user_id", "arm", "assigned_at"),
    "consents": ("user_id", "channel", "is_granted"),
    "customer_status": ("user_id", "status"),
    "text_signals": ("user_id", "ts", "sentiment"),
}

# Columns whose every value must be present. A transaction without a user is set aside
# and counted downstream, so it is not a fault here.
FILLED = {"transactions": ("ts", "amount")}

# Amounts from here on are faults: no line of a log is worth as much in any currency,
# and decimal(18, 4), the type of the sums, would not hold many.
LIMITS = {"transactions": 10**9}
LIMIT = 10**12
# Ids that tell people apart: they must not have lost digits on the way, as floats and
# spreadsheets lose them.
IDS = ("user_id", "other_id", "subscriber_key")
WHOLE_UP_TO = {"FLOAT": 2**24, "DOUBLE": 10**15}
SUMS = (
    *("total", "totals", "grand total", "subtotal", "sub total", "sum", "summe"),
    *("gesamt", "gesamtsumme", "zwischensumme", "totale", "somme", "suma", "totaal"),
    *("all", "gesamtergebnis", "ergebnis", "insgesamt", "total general", "eindtotaal"),
    *("total général", "totale complessivo", "sous-total"),
)
# A word for a sum beside one id or number: 17850 Total, Gesamt 2023, Total (17850).
# Blanks, colons and brackets part the two; a hyphen is of ids such as sum-1. An id of
# several words, as Total Wine 24, is a name, and so is one without a digit.
SUMMED = "|".join(word for word in SUMS if word != "all")
PARTED = r"[\s:()=]+"
SUM_BEFORE = rf"^(?:{SUMMED}){PARTED}([^\s:()=]*[0-9][^\s:()=]*)[\s:()=]*$"
SUM_BEHIND = rf"^([^\s:()=]*[0-9][^\s:()=]*){PARTED}(?:{SUMMED})[\s:()=]*$"
LEAST_SUMS = 3  # periods with a row that is as large as all others
MOST_SUMS = 3  # of so many ids one may be such a sum; more are how a shop names people
# Ids that stand for nobody, or for no order; one of PERHAPS only where many lines have
# it, for a first id may be 0.
NOBODY = (
    *("nan", "null", "(null)", "none", "(none)", "nil", "n/a", "#n/a", "na", "-"),
    *("undefined", "unknown", "guest", "anonymous", "<na>", "--", "?", "guest user"),
    *("guest checkout", "guest_user", "walk-in", "walk-in customer", "gast"),
    *("laufkunde", "barverkauf", "anonym", "unbekannt", "inconnu", "anonyme"),
    *("invité", "invitado", "desconocido", "ospite", "sconosciuto", "onbekend"),
    "00000000-0000-0000-0000-000000000000",
)
PERHAPS = ("0", "0.0", "-1", "-1.0")
# Ids alike but for case, blanks, form of accents, leading zeros or a decimal zero; the
# few of which that may be are looked at.
FOLDED = (
    "case when strlen(user_id) = length(user_id) and not starts_with(user_id, '0') and "
    "not ends_with(user_id, '.0') then lower(trim(user_id)) else regexp_replace("
    "regexp_replace(lower(nfc_normalize(user_id)), "
    r"'[\s\x{200b}-\x{200d}\x{2060}\x{feff}]', '', 'g'), '^0+|[.]0+$', '', 'g') end"
)
MANY_LINES = 5  # times as many as people have on average
MOST_OF_NOBODY = 0.05  # of lines or revenue
FEWEST_REFUNDS = 20  # that tell whether flagged lines are refunds
OFTEN = 20  # times as many lines as people have, and as large a share: told
FREE_TEXT = ("metadata_json",)  # may run over several lines

EXPECTED = {
    MONEY: "a plain number such as 1234.50",
    SCORE: "a number such as -0.75",
    COUNT: "a whole number",
    FLAG: "true or false (yes or no, 1 or 0)",
    DATE: "a date such as 2024-01-31",
    TIMESTAMP: "a date or time such as 2024-01-31 18:30:00",
}
FUTURE, ZERO = "lies in the future", "is the zero of a clock, in 1970, or before"
CUT = "is a number that has lost digits, such as 1.2E+15,"
SUM = "is a word for a sum, such as Total,"
FINE = "is finer than the four decimals that are kept"
BROKEN = "has a line break"
NO_PERSON = "stands for nobody, such as guest, null or 0,"
NO_ORDER = "stands for no order, such as null or 0,"
ZONE = "has letters for its zone that may mean several, such as EST,"
SUM_OF_MONTH = "is the sum of the others of its month"
SUM_OF_DAY = "is the sum of the others of its day"
REMEDY = {
    ZONE: "write UTC, an offset such as +01:00, or a place such as Europe/Paris",
    ("amount", "has no value"): "give it one; if no visit has a price, say --value "
    "none",
    ("amount", FINE): "give amounts in a smaller unit",
    NO_PERSON: "make these ids empty: lines without a user are set aside",
    ("other_id", NO_PERSON): "leave these links out",
    NO_ORDER: "make these ids empty: identical lines of an order are taken for copies",
    ("user_id", SUM): "leave out rows that sum up others, and give a customer of that "
    "name another id",
    SUM_OF_MONTH: "leave out rows that sum up others",
    SUM_OF_DAY: "leave out rows that sum up others",
    ("user_id", CUT): "format the column as text where it comes from",
    ("other_id", CUT): "format the column as text where it comes from",
}

# Names that other systems give to columns of ours, without blanks and signs.
PEOPLE = """
    userid user customerid customer customerno customernumber customernr customerkey
    customercode custid custno clientid client clientno clientnumber memberid member
    memberno membernumber buyerid buyer shopperid shopper accountid contactid
    contactkey subscriberkey profileid guestid passengerid loyaltyid loyaltyno
    kundennummer kundennr kundenid idclient clienteid email emailaddress
"""
LIKELY = {
    "user_id": PEOPLE,
    "ts": """
        timestamp datetime invoicedate orderdate ordereddate orderedat orderedon
        ordertime orderdatetime ordertimestamp transactiondate transactiontime
        transactiondatetime transactionts purchasedate purchasetime purchasedat
        purchasetimestamp createdat createdon createddate creationdate created
        paidat paymentdate bookingdate saledate salesdate eventtime eventtimestamp
        eventdate date time datum bestelldatum rechnungsdatum fecha
    """,
    "amount": """
        total totalamount totalprice totalvalue totalsales ordertotal ordervalue
        orderamount invoicetotal invoiceamount grandtotal netamount nettotal
        netvalue netsales netrevenue netprice net revenue sales salesamount
        salesvalue transactionamount transactionvalue purchaseamount purchasevalue
        linetotal lineamount amountpaid paidamount paid payment paymentvalue spend
        spent value price sum subtotal gross grossamount betrag umsatz gesamtbetrag
        importe montant fare
    """,
    "other_id": "otheruserid linkedid linkeduserid anonymousid mergedid",
    "spend_date": "spenddate date day",
    "spend": "cost costs amount spent adspend",
    "channel": "channelname source medium platform utmsource",
    "event_name": "event eventname eventtype type action name",
    "campaign_id": "campaignid campaign campaignname campaigncode",
    "arm": "group variant treatment testgroup",
    "assigned_at": "assignedat assigneddate assignmentdate date timestamp",
    "is_granted": "isgranted granted consent optin optedin",
    "status": "state customerstatus accountstatus",
    "sentiment": "score sentimentscore",
}
# Where there is a number of pieces, these are names of the price of one, no amounts.
PRICES = ("price", "netprice")
PIECES = (
    ".*quantity.*|.*qty|units?|unitssold|pieces|pcs|itemcount|numberofitems|"
    "(?:bestell)?menge|anzahl|stck|stueck(?:zahl)?|stckzahl|quantite?|quantita|cantidad"
)
# Names of is_refund that say that they are a flag.
FLAGGED = ("isrefund", "isrefunded", "isreturn", "isreturned", "refund", "refunded")
FLAGGED += ("return", "returned")


@dataclass(frozen=True)
class Options:
    """How a person says their files are to be read."""

    value: str = ""
    columns: str = ""
    dates: str = ""
    decimal: str = ""


@dataclass(frozen=True)
class Source:
    """One input file: how it is read, and which of its columns is which of ours."""

    table: str
    path: Path
    opened: Opened
    columns: dict[str, Column] = field(default_factory=dict)
    currency: str = ""  # of its amounts, by their sign
    left_out: str = ""  # SQL that is true for rows that are left out, if there are any

    @property
    def kept(self) -> str:
        """The rows that are read, as the end of a statement; all keep their numbers."""
        return f"from {self.opened.sql}" + (
            f" where not ({self.left_out})" if self.left_out else ""
        )

    @property
    def file(self) -> str:
        """Its name, for messages."""
        return shorten(self.path.name)

    def text_columns(self, wanted) -> dict[str, Column]:
        """The columns of some types whose values are yet to be understood."""
        return {
            name: column
            for name, column in self.columns.items()
            if column.wanted in wanted and not column.is_typed
        }


def english(names) -> str:
    return ", ".join(names) if names else "none"


def current_database(connection) -> str:
    return connection.execute("select current_database()").fetchone()[0]


def enter_schema(connection) -> None:
    """Make the schema the current one: the file may bear the same name as it."""
    connection.execute(f"use {identifier(current_database(connection))}.{SCHEMA}")


def find_withdrawals(path: Path) -> tuple[dict[str, Path], list[str]]:
    """Find a folder's files of who may be contacted; the others are left alone."""
    if not path.is_dir():
        raise InputFaultError(
            f"--withdrawals needs a folder, and {shorten(path)} is none"
        )
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        table = file.name.lower().removesuffix(ending_of(file))
        if ending_of(file) and table in WITHDRAWALS:
            if table in found:
                raise InputFaultError(f"{shorten(path)} holds the input {table} twice")
            found[table] = file
        else:
            refuse_near_name(file, WITHDRAWALS)
    if not found:
        raise InputFaultError(f"{shorten(path)} holds none of {english(WITHDRAWALS)}")
    return found, []


def find_files(path: Path) -> tuple[dict[str, Path], list[str]]:
    """Find the file of each input, and what is to be said of the others."""
    name = shorten(path)
    if path.is_file():
        if not ending_of(path):
            raise InputFaultError(
                f"{name} is none of the files that can be read: {english(ENDINGS)}"
            )
        return {"transactions": path}, []
    if not path.is_dir():
        raise InputFaultError(f"there is no folder or file {name}")
    found: dict[str, Path] = {}
    others = []
    for file in sorted(path.iterdir()):
        if file.name.lower().startswith(("readme", ".", "~$")):
            continue
        ending = ending_of(file)
        table = file.name.lower().removesuffix(ending)
        table = ALIASES.get(table, table)
        if not ending or table not in CONTRACT:
            others.append(file)
        elif table in found:
            raise InputFaultError(
                f"{name} holds the input {table} twice "
                f"({shorten(found[table].name)} and {shorten(file.name)}): keep one of "
                "them"
            )
        else:
            found[table] = file
    notes = []
    if "transactions" not in found:
        data = [file for file in others if ending_of(file) and file.is_file()]
        if len(data) != 1:
            raise InputFaultError(
                f"{name} holds no transactions file and "
                f"{f'{len(data)} others' if data else 'no other'} that could be it: "
                "name it transactions.csv (.parquet, .xlsx, ...) or give its path to "
                "--input"
            )
        found["transactions"] = data[0]
        others.remove(data[0])
        notes = [f"{shorten(data[0].name)}: the only data file, taken as transactions"]
    for file in others:
        refuse_near_name(file, (*CONTRACT, *ALIASES))
    notes += [f"note: {shorten(o.name)} is none of the inputs, ignored" for o in others]
    return found, notes


def refuse_near_name(file: Path, names: tuple[str, ...]) -> None:
    """Refuse a file that is named almost as an input: its rows would be missing."""
    letters = re.sub("kopie|copy|[^a-z]", "", file.name.lower().partition(".")[0])
    inputs = {re.sub("[^a-z]", "", name): name for name in names}
    inputs |= {letters.removesuffix("s"): name for letters, name in inputs.items()}
    if file.name.lower().endswith(DATA_ENDINGS) and letters in inputs:
        name = inputs[letters]
        raise InputFaultError(
            f"{shorten(file.name)} is named almost as the input {name}, and is none: "
            f"put all of {name} into one file {name}.csv (.parquet, .xlsx, ...), or "
            "take this one out of the folder"
        )


def parse_columns(text: str) -> dict[str, dict[str, str]]:
    """The mapping of --columns: input → standard column → name in the file."""
    mapping: dict[str, dict[str, str]] = {}
    for part in next(csv.reader([text], skipinitialspace=True), []):
        standard, sign, name = (piece.strip() for piece in part.partition("="))
        table, _, column = standard.lower().rpartition(".")
        table = table or "transactions"
        if not sign or not name or table not in CONTRACT:
            raise InputFaultError(
                "--columns must be pairs such as user_id=CustomerID,ts=InvoiceDate "
                "or, for another input, customers.user_id=CustomerID"
            )
        if column not in CONTRACT[table]:
            near = difflib.get_close_matches(column, CONTRACT[table], 3, 0.5)
            raise InputFaultError(
                f"--columns names {shorten(column)}, which is no column of {table}: "
                f"its columns are {english(near or CONTRACT[table])}"
            )
        if column in mapping.setdefault(table, {}):
            raise InputFaultError(f"--columns names {column} of {table} twice")
        if name in mapping[table].values():
            raise InputFaultError(
                f"--columns takes {shorten(name, 40)} of {table} for two columns"
            )
        mapping[table][column] = name
    return mapping


def columns_of(
    table: str, opened: Opened, mapping: dict[str, str], file: str
) -> dict[str, Column]:
    """The columns of the contract that a file has, by its own names or by --columns."""
    names = {bare(name): name for name in opened.types}
    taken = {bare(told) for told in mapping.values()}
    found = {}
    for column, wanted in CONTRACT[table].items():
        told = mapping.get(column)
        if not told and column in taken:  # it was told to be another one
            continue
        if told and wanted in TIMES and re.match(r"\d+[-/.]\d+[-/.]\d", told):
            raise InputFaultError(
                f"{file} has no header, or --columns takes a date for the name of "
                f"{column}: its first line must name the columns"
            )
        name = names.get(bare(told or column))
        if name is not None:
            found[column] = Column(name, opened.types[name], wanted)
        elif told and not is_data(opened.types):
            near = difflib.get_close_matches(told.lower(), names, 3)
            raise InputFaultError(
                f"{file} has no column {shorten(told, 40)}, which --columns takes for "
                f"{column}"
                + (
                    f": did you mean {english(shorten(names[n], 30) for n in near)}"
                    * bool(near)
                )
            )
    return found


def bare(name: str) -> str:
    """A name without its case, an accent and its letter as one: files have both."""
    return unicodedata.normalize("NFC", name.strip().lower())


def is_data(names) -> bool:
    """Whether a header looks like values: a number, a date or an address is no name."""
    return any(
        re.fullmatch(r"[^A-Za-z]*\d[^A-Za-z]*", name) or "@" in name for name in names
    )


def require_columns(
    source: Source, mapping: dict[str, str], optional: set[str]
) -> None:
    """Refuse a file without a required column, with the option that names them."""
    table, names = source.table, list(source.opened.types)
    missing = [
        column
        for column in REQUIRED[table]
        if column not in source.columns and column not in optional
    ]
    if not missing:
        return
    taken = {column.name for column in source.columns.values()}
    bare = bare_names(n for n in names if n not in taken)
    has_pieces = any(re.fullmatch(PIECES, name) for name in bare)
    pairs = [f"{column}={name}" for column, name in mapping.items()]
    for column in missing:
        likely = [column.replace("_", ""), *LIKELY.get(column, "").split()]
        if column == "amount" and has_pieces:
            likely = [name for name in likely if name not in PRICES]
        name = next((bare.pop(name) for name in likely if name in bare), "?")
        pairs.append(f"{column}={shorten(name, 40)}")
    guessed = [pair for pair in pairs[len(mapping) :] if not pair.endswith("=?")]
    has_price = has_pieces and "amount=?" in pairs and any("price" in n for n in bare)
    if table == "transactions" and "is_refund" not in {*source.columns, *mapping}:
        flags = [bare[name] for name in FLAGGED if name in bare]
        pairs += [f"is_refund={shorten(name, 40)}" for name in flags[:1]]
    if is_data(names) and not guessed:
        raise InputFaultError(
            f"{source.file} has no header: its first line must name the columns "
            f"({english(REQUIRED[table])})"
        )
    if len(names) == 1 < len(REQUIRED[table]) and source.opened.delimiter:
        raise InputFaultError(
            f"{source.file} has one column only, and {table} needs "
            f"{english(REQUIRED[table])}: part them by comma, semicolon, tab or |"
        )
    prefix = "" if table == "transactions" else f"{table}."
    pairs = [f'"{prefix}{p}"' if "," in p else prefix + p for p in pairs]
    several = len(missing) > 1
    sheet = f" ({source.opened.how[0]})" if ending_of(source.path) == ".xlsx" else ""
    raise InputFaultError(
        f"{table} has no column{'s' * several} {english(missing)}, which "
        f"{'are' if several else 'is'} required; if {source.file}{sheet} names "
        f"{'them' if several else 'it'} otherwise, say --columns "
        f"{shlex.quote(','.join(pairs))}"
        + "; amount is price times quantity: add it to the file as a column"
        * has_price
    )


def bare_names(names) -> dict[str, str]:
    """Names by their letters and digits alone."""
    return {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in names}


# -- Faults of values


def faults_of(source: Source, optional: set[str]) -> dict[tuple[str, str], str]:
    """(Column, what is wrong) → SQL that is true for a bad row."""
    table = source.table
    faults = {}
    for name, column in source.columns.items():
        if name in FILLED.get(table, ()) and name not in optional:
            faults[name, "has no value"] = column.is_empty
        if column.wanted == MONEY:
            # Not what sums of floats leave where they should be zero.
            faults[name, FINE] = (
                f"abs({column.as_double} - {column.value}) > "
                f"greatest(1e-9, 0.01 * abs({column.as_double}))"
            )
            limit = LIMITS.get(table, LIMIT)
            faults[name, f"is {limit:,} or more"] = (
                f"case when {column.value} is null then abs({column.as_double}) "
                f"else abs({column.value}) end >= {limit}"
            )
        bad = f"not {column.is_empty} and {column.value} is null"
        is_text = column.wanted in TIMES and column.kind == "VARCHAR"
        if is_text and column.form in ("", "iso"):
            faults[name, ZONE] = column.is_unzoned
            bad += f" and not {column.is_unzoned}"
        if column.wanted != TEXT:
            faults[name, f"is not {EXPECTED[column.wanted]}"] = bad
        elif name in IDS and column.kind in WHOLE_UP_TO:
            faults[name, CUT] = (
                f"not isnan({column.sql}) and abs({column.sql}) > "
                f"{WHOLE_UP_TO[column.kind]}"
            )
        elif column.kind == "VARCHAR":
            if name in IDS:
                faults[name, CUT] = (
                    f"regexp_full_match(trim({column.sql}, {BLANKS}), "
                    "'[0-9][.,]?[0-9]*[eE]\\+[0-9]+|[0-9][.,][0-9]+[eE][0-9]+')"
                )
            if (table, name) == ("transactions", "user_id"):
                faults[name, SUM] = (
                    f"rtrim(lower(trim({column.sql}, {BLANKS})), ' :') in {SUMS}"
                )
            if source.opened.delimiter and name not in FREE_TEXT:
                faults[name, BROKEN] = f"contains({column.sql}, chr(10))"
    for name, column in source.columns.items():
        # A consent or a status may begin later: when it is known is what counts.
        if column.wanted == TIMESTAMP and name not in ("updated_at", "effective_at"):
            faults[name, FUTURE] = (
                f"{column.value} > cast(now() as timestamp) + interval 1 day"
            )
    if table == "transactions" and "ts" in source.columns:
        faults["ts", ZERO] = f"{source.columns['ts'].value} < timestamp '1970-01-02'"
    return faults


def swallowed(source: Source) -> dict[tuple[str, str], str]:
    """Text over several lines that holds the rest of a row: a quote was left open."""
    named = {column.name: name for name, column in source.columns.items()}
    width, delimiter = len(source.opened.types), source.opened.delimiter
    cuts, cell = (
        f"[{re.escape(delimiter)}\n]",
        r"\s*[-0-9./,: TZ+]*[0-9][-0-9./,: TZ+]*",
    )
    faults = {}
    for place, name in enumerate(source.opened.types, start=1):
        column = identifier(name)
        if named.get(name, FREE_TEXT[0]) in FREE_TEXT:
            pieces = f"string_split_regex({column}, {literal(cuts)})"
            faults[f"column {place}", "holds several lines that look like rows"] = (
                f"case when contains({column}, chr(10)) then len({pieces}) > {width} "
                f"and len(list_filter({pieces}, lambda piece: regexp_full_match(piece, "
                f"{literal(cell)}))) >= 2 end"
            )
    return faults


def query(connection, source: Source, expressions: dict) -> dict:
    """Aggregates over a file, in one pass."""
    listed = ", ".join(expressions.values())
    try:
        row = connection.execute(f"select {listed} {source.kept}").fetchone()
    except duckdb.Error as error:
        raise reader_fault(source.path, error) from None
    return dict(zip(expressions, row, strict=True))


def counted(faults: dict) -> dict:
    return {key: f"count(*) filter ({bad})" for key, bad in faults.items()}


def understand(connection, source: Source, options: Options, result: dict) -> Source:
    """Where values are not plain, settle what they mean, by column."""
    sql, columns, how = source.opened.sql, dict(source.columns), []
    currency = ""
    numbers, times = source.text_columns(NUMBERS), source.text_columns(TIMES)
    if options.decimal or any(not_plain(result, name) for name in numbers):
        form, currency, said = settle_numbers(
            connection, sql, numbers, options.decimal, source.file
        )
        if "currency" in columns:
            refuse_another_currency(
                connection, sql, numbers, columns["currency"], source.file
            )
        columns |= {name: replace(c, form=form) for name, c in numbers.items()}
        how += said
    if any(not_plain(result, name) for name in times):
        times, said = settle_times(connection, sql, times, options.dates, source.file)
        columns |= times
        how += said
    return replace(
        source,
        columns=columns,
        currency=currency,
        opened=replace(source.opened, how=source.opened.how + how),
    )


def not_plain(result: dict, name: str) -> bool:
    return bool(result.get((name, "open"))) or any(
        number and key[0] == name and key[1].startswith("is not ")
        for key, number in result.items()
    )


def check(connection, source: Source, options: Options) -> tuple[Source, dict]:
    """Raise on the first fault; return how the file is read and what was counted."""
    optional = {"amount"} if options.value == "none" else set()
    opens = {
        (name, "open"): is_open(column)
        for name, column in source.text_columns(NUMBERS).items()
    }
    faults = faults_of(source, optional)
    odd = swallowed(source) if source.opened.delimiter else {}
    result = query(
        connection, source, judged_whole(source) | opens | counted(faults | odd)
    )
    blank = result["blank"]
    if blank:
        source = replace(source, left_out=blank_row(source))
        result = query(
            connection, source, judged_whole(source) | opens | counted(faults | odd)
        )
    settled = understand(connection, source, options, result)
    if settled.columns != source.columns:
        source, faults = settled, faults_of(settled, optional)
        result = query(connection, source, judged_whole(source) | counted(faults | odd))
    if result["rows"] == 0 and source.table == "transactions":
        raise InputFaultError(f"transactions is empty: {source.file} has no rows")
    refuse_faults(connection, source, faults | odd, result)
    if source.table == "transactions":
        refuse_useless(source, options, result)
    days = {
        name: replace(column, is_day=True)
        for name, column in source.columns.items()
        if result.get((name, "times")) and not result[name, "clocks"]
    }
    return replace(source, columns=source.columns | days), result | {"blank": blank}


def blank_row(source: Source) -> str:
    """SQL of whether nothing is in a row, as spreadsheets leave them."""
    if not source.opened.delimiter and ending_of(source.path) != ".xlsx":
        return "false"
    # Ours first: a row in order needs no look at the others.
    ours = [column.name for column in source.columns.values()]
    return " and ".join(
        f"coalesce(trim(cast({identifier(name)} as varchar), {BLANKS}), '') = ''"
        for name in dict.fromkeys([*ours, *source.opened.types])
    )


def judged_whole(source: Source) -> dict:
    """What is asked of a file as a whole."""
    asked, columns = {"rows": "count(*)"}, source.columns
    asked["blank"] = f"count(*) filter ({blank_row(source)})"
    for name, column in columns.items():
        if column.wanted == TIMESTAMP:
            asked[name, "times"] = f"count({column.value})"
            asked[name, "clocks"] = f"count(*) filter ({column.has_clock})"
    if source.table != "transactions":
        return asked
    user = columns["user_id"].text
    refund = columns["is_refund"].value if "is_refund" in columns else "false"
    amount = columns["amount"].value if "amount" in columns else "null"
    asked |= {
        "users": f"count({user})",
        "purchases": f"count(*) filter ({amount} > 0 "
        f"and {refund} is distinct from true)",
        "negative": f"count(*) filter ({amount} < 0)",
        "zero": f"count(*) filter ({amount} = 0)",
        "refunds": f"count(*) filter ({refund})",
    }
    ts = columns["ts"]
    if ts.kind == "VARCHAR" and not ts.form:
        asked["zoned"] = f"count(*) filter ({ts.has_zone})"
    return asked


def refuse_faults(connection, source: Source, faults: dict, result: dict) -> None:
    found = [(*key, result[key]) for key in faults if result[key]]
    if not found:
        return
    name, wrong, number = found[0]
    column = source.columns.get(name)
    form = shape(column.text) if column and wrong.startswith("is not ") else "null"
    rows = connection.execute(
        f"select row, form from (select row_number() over () as row, {form} as form, "
        f"({faults[name, wrong]}) and not ({source.left_out or 'false'}) as bad "
        f"from {source.opened.sql}) where bad order by row limit 3"
    ).fetchall()
    places = english(f"{row:,}" for row, _ in rows)
    sentence = (
        f"{source.table}.{name} {wrong} in {number:,} of {result['rows']:,} rows of "
        f"{source.file} (row{'s' * (len(rows) > 1)} "
        f"{places}{', ...' * (number > len(rows))}"
    )
    if rows[0][1] is not None:
        sentence += f"; the first is like {masked(rows[0][1])}"
    mend = (
        "correct them or leave them out" if number > 1 else "correct it or leave it out"
    )
    if source.table in WITHDRAWALS:  # who is left out has not refused
        mend = mend.partition(" or ")[0]
    sentence += f"); {REMEDY.get((name, wrong)) or REMEDY.get(wrong, mend)}"
    others = f"; also at fault: {english(f'{n} ({k:,})' for n, _, k in found[1:])}"
    if len(found) > 1 and len(sentence + others) < LONGEST_MESSAGE - 30:
        sentence += others
    raise InputFaultError(sentence)


def refuse_useless(source: Source, options: Options, result: dict) -> None:
    """Refuse a log of which nothing could be built."""
    if not result["users"]:
        raise InputFaultError(f"no row of {source.file} has a user_id")
    if options.value == "none":
        return
    if result["purchases"]:
        refuse_turned_signs(source, result)
        return
    kinds = {
        "an amount below zero": result["negative"],
        "an amount of zero": result["zero"],
        "is_refund true": result["refunds"],
    }
    reasons = english(
        f"{number:,} have {kind}" for kind, number in kinds.items() if number
    )
    raise InputFaultError(
        f"no row of {source.file} is a purchase, with an amount above zero: of "
        f"{result['rows']:,} rows {reasons}; mend the sign, or say --value none if "
        "visits have no price"
    )


def refuse_turned_signs(source: Source, result: dict) -> None:
    """Refuse a log most of which is below zero, as ledgers write sales."""
    negative, rows = result["negative"], result["rows"]
    if 3 * negative > 2 * rows:
        raise InputFaultError(
            f"most rows of {source.file} have an amount below zero, {negative:,} of "
            f"{rows:,}, and would count as refunds; mend the sign, or say --value none "
            "if visits have no price"
        )


def refuse_sum(connection, source: Source) -> None:
    """Refuse a first or last row that sums up the others, as reports have."""
    rows, total = connection.execute(
        "select count(*), sum(amount) from transactions"
    ).fetchone()
    for place, order in (("last", "desc"), ("first", "asc")):
        user, amount = connection.execute(
            f"select user_id, amount from transactions order by rowid {order} limit 1"
        ).fetchone()
        is_sum = amount is not None and amount > 0 and 2 * amount == total
        if is_sum and rows > (19 if user else 2):
            (number,) = connection.execute(
                f"select {'max' if place == 'last' else 'min'}(row) from (select "
                f"row_number() over () as row, {source.left_out or 'false'} as is_out "
                f"from {source.opened.sql}) where not is_out"
            ).fetchone()
            raise InputFaultError(
                f"the {place} row of {source.file}, {number:,}, is the sum of all "
                "others: leave it out"
            )


def refuse_sums_by_period(connection, source: Source) -> None:
    """Refuse rows that are the sum of the others of their month, or of their day.

    By chance one may be; where it is so in half of the periods, a report sums them up.
    """
    for period, wrong in (("month", SUM_OF_MONTH), ("day", SUM_OF_DAY)):
        sums = connection.execute(
            f"with totals as (select date_trunc('{period}', ts) as period, sum(amount) "
            "as total from transactions group by all having total > 0 and count(*) "
            "filter (amount > 0) > 3), large as (from transactions where 2 * amount >= "
            "(select min(total) from totals)), sums as (select distinct "
            "totals.period, ts, user_id, amount from totals join "
            f"large on date_trunc('{period}', ts) = totals.period and "
            "2 * amount = total), judged as (select count(distinct period) as n from "
            "sums) select ts, user_id, amount from sums, judged where "
            f"n >= {LEAST_SUMS} and 2 * n >= (select count(*) from totals)"
        ).fetchall()
        if sums:
            user, amount = (source.columns[name] for name in ("user_id", "amount"))
            people = {literal(user) for _, user, _ in sums if user is not None}
            values = ", ".join({str(amount) for *_, amount in sums})
            is_one = f"{user.text} in ({', '.join(people)})" if people else "true"
            bad = f"{is_one} and {amount.value} in ({values})"
            refuse_rows(connection, source, ("amount", wrong), bad)


def refuse_sums_by_id(connection, source: Source) -> None:
    """Refuse rows whose id is a word for a sum beside an id or a number.

    They are sums if that id is one of the file, too; of others, if they are few.
    """
    sums = connection.execute(
        f"with ids as (select user_id, lower(trim(user_id, {BLANKS})) as id from "
        "(select distinct user_id from transactions where user_id is not null)), "
        "read as (select user_id, coalesce("
        f"nullif(regexp_extract(id, {literal(SUM_BEFORE)}, 1), ''), "
        f"nullif(regexp_extract(id, {literal(SUM_BEHIND)}, 1), '')) as summed from ids "
        f"where regexp_matches(id, {literal(SUMMED)})) "
        "select user_id from read where summed in (select id from ids) or summed is "
        "not null and (select count(summed) from read where summed not in "
        f"(select id from ids)) * {MOST_SUMS} <= (select count(*) from ids)"
    ).fetchall()
    if sums:
        ids = ", ".join(literal(user) for (user,) in sums)
        bad = f"{source.columns['user_id'].text} in ({ids})"
        refuse_rows(connection, source, ("user_id", SUM), bad)


def nobody_among(connection, source: Source) -> list[str]:
    """Refuse a log much of which is of nobody; say of how many lines it is."""
    nobody, lines, share, many, mean = connection.execute(
        "with people as (select user_id, count(*) as n, coalesce(sum(amount) filter "
        "(amount > 0 and is_refund is distinct from true), 0) as revenue "
        "from transactions group by user_id), whole as (select avg(n) filter "
        "(user_id is not null) as mean, sum(n) as total from people), judged as "
        f"(select *, lower(trim(user_id, {BLANKS})) as id, coalesce(id in {NOBODY} or "
        f"id in {PERHAPS} and n > {MANY_LINES} * mean, false) as bad from people, whole"
        ") select list(user_id) filter (bad), sum(n) filter (bad), greatest(sum(n) "
        "filter (bad) / sum(n), coalesce(sum(revenue) filter (bad) / "
        f"nullif(sum(revenue), 0), 0)), max(n) filter (not bad and id is not null and "
        f"n > {OFTEN} * mean and n >= {MOST_OF_NOBODY} * total), any_value(mean) "
        "from judged"
    ).fetchone()
    orders = connection.execute(
        f"select order_id, lower(trim(order_id, {BLANKS})) as number, count(*) as n, "
        "count(distinct user_id) as people from transactions where "
        f"length(order_id) <= 40 and number in {NOBODY + PERHAPS} group by all "
        f"having n > 1 and (number in {NOBODY} or people > 1)"
    ).fetchall()
    for name, wrong, ids in (
        ("user_id", NO_PERSON, nobody if nobody and share > MOST_OF_NOBODY else []),
        ("order_id", NO_ORDER, [order for order, *_ in orders]),
    ):
        if ids:
            listed = ", ".join(map(literal, ids))
            bad = f"{source.columns[name].text} in ({listed})"
            refuse_rows(connection, source, (name, wrong), bad)
    notes = []
    if many:
        notes.append(
            f"note: one user id has {many:,} lines of {source.file} "
            f"({share_of(connection, many)}), {many / mean:,.0f} times as many as "
            "others on average: if it is a till, a guest or a sum, leave the id empty "
            "or the rows out"
        )
    if not nobody:
        return notes
    return [
        *notes,
        f"note: {lines:,} lines of {source.file} ({share_of(connection, lines)}) have "
        "a user id that stands for nobody, such as guest, null or 0, and counts as a "
        "customer: leave the id empty where it is not known",
    ]


def refuse_links_to_nobody(connection, source: Source) -> None:
    """Refuse links that would make one person of all who have no other id."""
    links = connection.execute(
        f"select other_id, lower(trim(other_id, {BLANKS})) as id from identities group "
        f"by all having id in {NOBODY} or id in {PERHAPS} and count(distinct user_id) "
        "> 1"
    ).fetchall()
    if links:
        listed = ", ".join(literal(other) for other, _ in links)
        bad = f"{source.columns['other_id'].text} in ({listed})"
        refuse_rows(connection, source, ("other_id", NO_PERSON), bad)


def refunds_of_sales_not_there(connection, source: Source) -> list[str]:
    """Say where flagged lines look like sales that were refunded later.

    As refunds they would take from other orders: theirs has no purchase, and the person
    none of the amount before.
    """
    refunds, alone = connection.execute(
        "with refunds as (select user_id, order_id, ts, amount from transactions where "
        "is_refund and amount > 0 and order_id is not null), sales as (select user_id, "
        "order_id, ts, amount from transactions where is_refund is distinct from true "
        "and user_id in (select user_id from refunds)) select count(*), count(*) "
        "filter (not exists (from sales where sales.order_id = refunds.order_id) and "
        "not exists (from sales where sales.user_id = refunds.user_id and sales.amount "
        "= refunds.amount and sales.ts <= refunds.ts)) from refunds"
    ).fetchone()
    if refunds < FEWEST_REFUNDS or alone < 0.9 * refunds:
        return []
    return [
        f"note: is_refund is true in {alone:,} lines of {source.file} whose order has "
        "no other line and whose amount nobody paid before: if they are sales that "
        "were refunded later, they reduce other orders of these people; leave them "
        "out, or give the refunds as rows of their own"
    ]


def share_of(connection, lines: int) -> str:
    (rows,) = connection.execute("select count(*) from transactions").fetchone()
    return f"{lines / rows:.1%}" if lines * 1000 >= rows else "less than 0.1%"


def refuse_rows(connection, source: Source, fault: tuple[str, str], bad: str) -> None:
    """Refuse a file for rows that only the whole of it shows to be wrong."""
    asked = {"rows": "count(*)"} | counted({fault: bad})
    result = query(connection, source, asked)
    refuse_faults(connection, source, {fault: bad}, result)


# -- Loading


def create(connection, table: str, source: Source | None) -> None:
    """Write one table of the contract, from its file or empty."""
    columns = source.columns if source else {}
    values = {name: column.value for name, column in columns.items()}
    if source and source.currency and "currency" in CONTRACT[table]:
        named = values.get("currency", "null")
        values["currency"] = f"coalesce({named}, {literal(source.currency)})"
    days = {name for name, column in columns.items() if column.is_day}
    selected = ", ".join(
        f"cast({values.get(column, 'null')} as "
        f"{DATE if column in days else wanted}) as {column}"
        for column, wanted in CONTRACT[table].items()
    )
    origin = source.kept if source else "where false"
    try:
        connection.execute(
            f"create or replace table {table} as select {selected} {origin}"
        )
    except duckdb.Error as error:
        raise reader_fault(source.path, error) if source else error from None


def refuse_forgotten(connection, table: str) -> None:
    """Refuse a load without what the last one said of its people.

    Where the input says nothing on consent, status and links, nobody has ever refused,
    and nobody has two ids.
    """
    is_there = "select count(*) from information_schema.columns where table_catalog = "
    is_there += "current_database() and table_schema = ? and table_name = ? and "
    is_there += "column_name = 'user_id'"
    if (
        table not in WITHDRAWALS
        or not connection.execute(is_there, [SCHEMA, table]).fetchone()[0]
    ):
        return
    (people,) = connection.execute(
        f"select count(distinct user_id) from {table} where user_id in "
        "(select user_id from transactions)"
    ).fetchone()
    if people:
        raise forgotten(table, f"{people:,} of the people of this one")


def forgotten(table: str, what: str) -> InputFaultError:
    return InputFaultError(
        f"the last load had a file {table} with {what}, and now there is none: put it "
        "there, or one with its header alone if nothing of it holds any more"
    )


def read_source(
    connection, table, path, scratch, options, mapping
) -> tuple[Source, dict]:
    """Open one file, find its columns and check its values."""
    wanted = {mapping.get(column, column).lower() for column in CONTRACT[table]}
    optional = {"amount"} if options.value == "none" else set()
    least = len(set(REQUIRED[table]) - optional)
    opened = open_file(connection, path, scratch, wanted, least)
    file = shorten(path.name)
    source = Source(table, path, opened, columns_of(table, opened, mapping, file))
    require_columns(source, mapping, optional)
    return check(connection, source, options)


def notes_on(connection, source: Source, result: dict) -> list[str]:
    """What a person should know of how a file was read."""
    notes = []
    if source.table == "transactions":
        refuse_sum(connection, source)
        refuse_sums_by_period(connection, source)
        refuse_sums_by_id(connection, source)
        notes += nobody_among(connection, source)
        if result["refunds"] and "order_id" in source.columns:
            notes += refunds_of_sales_not_there(connection, source)
    if source.table == "identities":
        refuse_links_to_nobody(connection, source)
    if source.opened.how:
        notes.append(
            f"{source.table}: read {source.file} as {english(source.opened.how)}"
        )
    if result["blank"]:
        notes.append(
            f"note: {result['blank']:,} of the rows of {source.file}, blank "
            "throughout, left out"
        )
    used = {column.name for column in source.columns.values()}
    extra = [name for name in source.opened.types if name not in used]
    if extra:
        # Where columns have no name, the first line may be one of values.
        is_told = any(re.fullmatch(r"column \d+", name) for name in used)
        write = masked if is_told or is_data(source.opened.types) else shorten
        named = english(write(name) for name in extra)
        notes.append(
            f"note: {source.file} has columns outside the contract, ignored: {named}"
        )
    flags = [bare for bare in bare_names(extra) if bare in FLAGGED]
    if flags and source.table == "transactions" and "is_refund" not in source.columns:
        notes.append(
            f"note: {source.file} has no column is_refund; if "
            f"{shorten(bare_names(extra)[flags[0]], 40)} says which rows are refunds, "
            "say so with --columns; if it marks sales that were refunded later, give "
            "the refunds as rows of their own or leave these sales out"
        )
    without = result["rows"] - result.get("users", result["rows"])
    if without >= MOST_OF_NOBODY * result["rows"] > 0:
        notes.append(
            f"note: {without:,} lines of {source.file} ({share_of(connection, without)}"
            ") have no user id: they are counted in revenue, and set aside from all "
            "customers; where an id stands in the first line of a group alone, fill it "
            "down"
        )
    zoned = result.get("zoned", 0)
    if 0 < zoned < result["rows"]:
        notes.append(
            f"note: {zoned:,} times of {source.file} have a zone, the others are taken "
            "as UTC"
        )
    if source.table == "transactions" and source.columns["user_id"].kind == "VARCHAR":
        (alike,) = connection.execute(
            "select coalesce(sum(ids) filter (ids > 1), 0) from "
            f"(select {FOLDED} as id, count(*) as ids from "
            "(select distinct user_id from transactions where user_id is not null) "
            "group by id)"
        ).fetchone()
        if alike:
            notes.append(
                f"note: {alike:,} user ids differ from another one only in upper and "
                "lower case, blanks, the form of accents, leading zeros or a trailing "
                ".0; they are loaded as they are, as customers of their own"
            )
    return notes


@contextmanager
def opened_database(path: Path, read_only: bool = False) -> Iterator:
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error:
        raise InputFaultError(
            f"{shorten(path)} cannot be opened: it is in use by another program, or no "
            "DuckDB file"
        ) from None
    with connection:
        for setting in SETTINGS:
            connection.execute(f"set {setting}")
        yield connection


def load(
    path: Path,
    database: Path,
    options: Options = Options(),  # noqa: B008 - it cannot be changed
    origin: str = "",
    is_part: bool = False,
) -> list[str]:
    """Load a folder or a file in one transaction; return the lines to print.

    With is_part only the inputs that say who may be contacted, of those in the folder.
    """
    mapping = parse_columns(options.columns)
    files, notes = find_withdrawals(path) if is_part else find_files(path)
    for table in mapping:
        if table not in files:
            raise InputFaultError(f"--columns names {table}, of which there is no file")
    is_new = not database.exists()
    lines = []
    try:
        with (
            tempfile.TemporaryDirectory() as scratch,
            opened_database(database) as connection,
        ):
            connection.execute("begin")
            connection.execute(f"create schema if not exists {SCHEMA}")
            enter_schema(connection)
            for table in CONTRACT:
                if table not in files:
                    if not is_part:
                        refuse_forgotten(connection, table)
                        create(connection, table, None)
                    continue
                source, result = read_source(
                    *(connection, table, files[table], Path(scratch), options),
                    mapping.get(table, {}),
                )
                create(connection, table, source)
                lines.append(f"{table:<21}{result['rows']:>12,} rows")
                lines += notes_on(connection, source, result)
            if is_part:
                connection.execute("commit")
                return lines
            name = files["transactions"].resolve()
            origin = origin or f"{name.parent.name}/{name.name}"
            connection.execute(
                f"comment on table transactions is {literal(shorten(origin, 80))}"
            )
            reads = describe_loaded(connection, origin)
            connection.execute("commit")
    except BaseException:
        if is_new:
            database.unlink(missing_ok=True)
        raise
    absent = [table for table in CONTRACT if table not in files]
    if absent:
        lines.append(f"not given, left empty: {english(absent)}")
    return [reads, *notes, *lines]


def load_demo(name: str, database: Path, options: Options) -> list[str]:
    """Load a demo; the airline's is simulated first, which takes a second."""
    if name == "retail":
        return load(DEMO, database, options, DEMO_NAMES[name])
    import simulate_airline  # imports pandas, which no other input needs

    with tempfile.TemporaryDirectory() as folder:
        simulate_airline.write(simulate_airline.simulate(), Path(folder))
        return load(Path(folder), database, options, DEMO_NAMES[name])


# -- What is loaded


def describe_loaded(connection, origin: str) -> str:
    """What a build reads: its source, lines, first and last day, currency."""
    table = f"{identifier(current_database(connection))}.{SCHEMA}.transactions"
    line = f"Reads {origin or f'table {SCHEMA}.transactions'}: "
    try:
        rows, first, last = connection.execute(
            "select count(*), cast(min(ts) as date), cast(max(ts) as date) from "
            f"{table}"
        ).fetchone()
        currencies = connection.execute(
            f"select distinct currency from {table}"
        ).fetchall()
    except duckdb.BinderException:  # a table of somebody else's: its own names
        rows = connection.execute(f"select count(*) from {table}").fetchone()[0]
        return f"{line}{rows:,} lines"
    codes = {(name or "").strip().upper() for (name,) in currencies} - {""}
    named = sorted({shown_code(code) for code in codes})
    said = "no currency named"
    if named:
        said = f"currency {english(named[:5])}"
        said += f" and {len(named) - 5} more" if len(named) > 5 else ""
        said += " or none" if (None,) in currencies else ""
    return f"{line}{rows:,} lines, {first} to {last}, {said}"


def what_is_loaded(database: Path) -> str:
    """The line about what is loaded; nothing where nothing is."""
    if not database.exists():
        return ""
    with opened_database(database, read_only=True) as connection:
        there = connection.execute(
            "select count(*) from information_schema.tables where table_schema = ? and "
            "table_name = 'transactions' and table_catalog = current_database()",
            [SCHEMA],
        ).fetchone()[0]
        if not there:
            return ""
        name = f"{identifier(current_database(connection))}.{SCHEMA}.transactions"
        if not connection.execute(f"from {name} limit 1").fetchone():
            return ""
        comment = connection.execute(
            "select comment from duckdb_tables() where schema_name = ? and "
            "table_name = 'transactions' and database_name = current_database()",
            [SCHEMA],
        ).fetchone()
        return describe_loaded(connection, (comment or [None])[0])


def refusal(error: Exception) -> str:
    """One sentence about why nothing was loaded: of other errors only what and where.

    Their messages quote values, and so does what Python prints of them.
    """
    sentence = str(error)
    if not isinstance(error, InputFaultError):
        trace = error.__traceback__
        while trace.tb_next:
            trace = trace.tb_next
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        who = "the database" if isinstance(error, duckdb.Error) else "the reader"
        sentence = f"{who} refused it ({type(error).__name__} at {where})"
    return shorten_end(f"Input not loaded: {sentence}")


def shorten_end(sentence: str) -> str:
    return sentence[: LONGEST_MESSAGE - 2].rstrip(".… ") + "."


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how files are read, alike for every warehouse."""
    for option, choices, meaning in (
        ("--value", ["margin", "revenue", "none"], "none: no amounts"),
        ("--columns", None, "such as user_id=CustomerID,ts=InvoiceDate"),
        (
            "--dates",
            ["day-first", "month-first"],
            "the order, if the file leaves it open",
        ),
        ("--decimal", ["comma", "point"], "the sign, if the file leaves it open"),
    ):
        parser.add_argument(option, choices=choices, default="", help=meaning)


def reading_options(parsed: argparse.Namespace) -> Options:
    return Options(parsed.value, parsed.columns, parsed.dates, parsed.decimal)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--input", type=Path, metavar="PATH", help="a file, or a folder of them"
    )
    what.add_argument(
        "--demo",
        nargs="?",
        const="retail",
        choices=list(DEMO_NAMES),
        help="load a demo: retail, the default, or airline",
    )
    parser.add_argument(
        "--database",
        type=Path,
        metavar="PATH",
        default=Path(os.environ.get("CLV_DUCKDB_PATH") or PROJECT / "warehouse.duckdb"),
        help="the DuckDB file",
    )
    parser.add_argument(
        "--withdrawals",
        action="store_true",
        help="of the folder --input only consents, customer_status and identities; "
        "everything else stays",
    )
    add_reading_options(parser)
    parsed = parser.parse_args(arguments)
    options, database = reading_options(parsed), parsed.database
    try:
        if parsed.withdrawals:
            if not parsed.input or not database.exists():
                raise InputFaultError(
                    "--withdrawals needs --input FOLDER and a database that was built"
                )
            lines = load(parsed.input, database, options, is_part=True)
        elif parsed.input:
            lines = load(parsed.input, database, options)
        elif parsed.demo:
            lines = load_demo(parsed.demo, database, Options(parsed.value))
        else:
            lines = [what_is_loaded(database)]
            if not lines[0]:
                lines = load_demo("retail", database, Options(parsed.value))
                lines.insert(
                    1, "Nothing was loaded yet, hence the demo; yours: --input PATH"
                )
    except Exception as error:
        print(refusal(error), file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
