"""Numbers and times as people write them, as SQL that reads them.

A column of plain numbers and of dates such as 2024-01-31 is read as it is. Any other is
looked at by the shapes of its values (1.234,50 is #.###,##): they settle what the
decimal separator is, whether the day or the month comes first, what an epoch counts.
What they leave open is refused, with the option that settles it; nothing is guessed.
"""

import re
import string
from dataclasses import dataclass, replace

from input_files import InputFaultError, masked, shorten

TEXT, COUNT, FLAG = "varchar", "bigint", "boolean"
MONEY, SCORE, DATE, TIMESTAMP = "decimal(18, 4)", "double", "date", "timestamp"
NUMBERS, TIMES = (MONEY, SCORE, COUNT), (DATE, TIMESTAMP)
TYPED = ("INT", "INTEGER", "FLOAT", "DOUBLE")  # how DuckDB's numeric types end
FLAGS = {
    "true": (
        *("true", "t", "yes", "y", "1", "1.0", "on", "ja", "wahr", "oui", "vrai"),
        *("si", "sí", "sim", "verdadero", "verdadeiro", "vero"),
    ),
    "false": (
        *("false", "f", "no", "n", "0", "0.0", "off", "nein", "falsch", "non", "faux"),
        *("não", "nao", "falso", "nee"),
    ),
}
EARLIEST, LATEST = "1900-01-01", "9999-01-01"  # a year of two digits is before

# Shapes: a digit is #, a letter x, an e stays. In numbers 0 before a separator is §.
MANY_SHAPES = 1000

SPACE = r"[ \x{a0}\x{2007}\x{2009}\x{202f}]"
MINUS = r"[-\x{2212}]"
SIGN = r"(?:[$€£¥₹₩₽₺₫₪₴฿]|[A-Za-z]{3})"
SIGN_SHAPE = r"[$€£¥₹₩₽₺₫₪₴฿]|[xe]{3}"
# Of which one currency alone has the sign; many are called dollar.
CODES = {"€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₽": "RUB", "₺": "TRY"}

# Behind a clock time: letters, and those that say one zone everywhere. BST and CET name
# several or a season's, and DuckDB takes one of them.
LETTERS = r":[0-9.]+ *[A-Za-z]"
ZONE = r"(?i):[0-9.]+ *(?:[ap]m|z|(?:utc|gmt)(?:[-+][0-9:]+)?|[a-z_]+/[-a-z0-9_+/]+)$"
CLOCK = r"(?:,?[ x]##?:##(?::##(?:\.#+)?)?(?: ?xx)?)?"
WORD = r"[xe]{3,9}\.?"
# What a value of such a shape is.
TIME_SHAPES = {
    "iso": r"####([-/. \\])##?\1##?(?:[ x].*)?",
    "numeric": r"##?([-/.])##?\1####" + CLOCK,
    "short": r"##?([-/.])##?\1##" + CLOCK,
    "named": rf"(?:##?[-/ ]{WORD}[-/ ,]+####|{WORD} ##?,? ####){CLOCK}",
    "compact": r"#{8}(?:#{6})?(?:\.0*)?",
    "seconds": r"#{9,10}(?:\.#*)?",
    "milliseconds": r"#{12,13}(?:\.#*)?",
    "microseconds": r"#{15,16}(?:\.#*)?",
    "nanoseconds": r"#{18,19}(?:\.#*)?",
    "serial": r"#{5}(?:\.#*)?",
}
MICROSECONDS = {
    "seconds": "1000000",
    "milliseconds": "1000",
    "microseconds": "1",
    "nanoseconds": "0.001",
}
CLOCKS = (
    *("", "%H:%M", "%H:%M:%S", "%H:%M:%S.%f"),
    *("%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p"),
)
PATTERNS = {
    "iso": ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"),
    "day-first": ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y"),
    "month-first": ("%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y"),
    "named": tuple(
        form.replace("%b", month)
        for month in ("%b", "%B")
        for form in ("%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%b %d %Y", "%b %d, %Y")
    ),
}


@dataclass(frozen=True)
class Column:
    """A standard column as a file has it: its own name and type, the type wanted."""

    name: str
    kind: str
    wanted: str
    form: str = ""  # of numbers: point, comma; of times: see TIME_SHAPES; plain: empty
    patterns: tuple[str, ...] = ()  # of times with names, or the day or month first
    is_day: bool = False  # of times: none has a clock time

    @property
    def sql(self) -> str:
        """SQL of the column itself."""
        return identifier(self.name)

    @property
    def is_number(self) -> bool:
        """Whether the file gives it as a number."""
        return self.kind.startswith("DECIMAL") or self.kind.endswith(TYPED)

    @property
    def is_typed(self) -> bool:
        """Whether its type says already what its values mean."""
        if self.wanted in NUMBERS:
            return self.is_number
        return self.wanted in TIMES and self.kind.startswith(("DATE", "TIMESTAMP"))

    @property
    def text(self) -> str:
        """SQL of a value as the file gives it; an empty text counts as no value."""
        column, floats = self.sql, self.kind in ("FLOAT", "DOUBLE")
        if self.wanted in TIMES and floats:  # an epoch, all of its digits
            return f"cast(try_cast({column} as decimal(30, 3)) as varchar)"
        if self.wanted != TEXT:
            return f"nullif(trim(cast({column} as varchar), {BLANKS}), '')"
        if floats:  # ids that pandas turned to floats: 17.0 is '17'
            return (
                f"case when isfinite({column}) and {column} = trunc({column}) and "
                f"abs({column}) < 1e15 then cast(cast({column} as bigint) as varchar) "
                f"when not isnan({column}) then cast({column} as varchar) end"
            )
        if self.kind.startswith("DECIMAL"):
            return rf"regexp_replace(cast({column} as varchar), '\.0+$', '')"
        if self.kind.startswith(("STRUCT", "MAP")) or self.kind.endswith("]"):
            return f"cast(to_json({column}) as varchar)"
        return f"nullif(cast({column} as varchar), '')"

    @property
    def is_empty(self) -> str:
        """SQL of whether there is no value; of typed ones without their text."""
        return f"{self.sql if self.is_typed or self.is_number else self.text} is null"

    @property
    def number(self) -> str:
        """SQL of the value as the text of a plain number; null where it is none."""
        text = self.text
        if not self.form:  # DuckDB reads 1_000 as a number
            return f"case when not contains({text}, '_') then {text} end"
        point, other = (",", ".") if self.form == "comma" else (".", ",")
        groups = "|".join(
            rf"(?:{sep}\d{{3}})+" for sep in (f"[{other}]", SPACE, "['’]")
        )
        whole = rf"(?:\d+|\d{{1,3}}(?:{groups}))"
        body = rf"(?:{whole}(?:[{point}]\d*)?|[{point}]\d+)"
        # 12,- is twelve, not less: a minus stands behind a number that has ended.
        ended = rf"(?:{whole}(?:[{point}]\d+)?|[{point}]\d+)"
        signed = (
            rf"[-+\x{{2212}}]?{SPACE}?(?:{SIGN}{SPACE}?)?{body}(?:{SPACE}?{SIGN})?"
            rf"|{SIGN}{SPACE}?{MINUS}{SPACE}?{body}|{ended}{SPACE}?{MINUS}"
            rf"|\((?:{SIGN}{SPACE}?)?{body}(?:{SPACE}?{SIGN})?\)"
        )
        exponent = rf"[-+]?\d*[{point}]?\d+[eE][-+]?\d+"
        digits = rf"regexp_replace({text}, '[^0-9{point}]', '', 'g')"
        return (
            f"case when regexp_full_match({text}, {literal(signed)}) "
            f"then if(regexp_matches({text}, '{MINUS}|[(]'), '-', '') "
            f"|| replace({digits}, '{point}', '.') "
            f"when regexp_full_match({text}, {literal(exponent)}) "
            f"then replace({text}, '{point}', '.') end"
        )

    @property
    def as_double(self) -> str:
        """SQL of a number, however large; null where it is none."""
        source = self.sql if self.is_typed else self.number
        number = f"try_cast({source} as double)"
        return f"case when isfinite({number}) then {number} end"

    @property
    def value(self) -> str:
        """SQL of the value in its standard type; null where it cannot be read."""
        wanted, text = self.wanted, self.text
        if wanted == TEXT:
            return text
        if wanted == FLAG:
            cases = (
                f"when lower({text}) in ({', '.join(map(literal, words))}) then {flag}"
                for flag, words in FLAGS.items()
            )
            return f"case {' '.join(cases)} end"
        if wanted == SCORE:
            return self.as_double
        if wanted == COUNT:
            source = self.sql if self.is_typed else self.number
            number = f"try_cast({source} as decimal(38, 4))"
            return (
                f"case when {number} = trunc({number}) "
                f"then try_cast({number} as bigint) end"
            )
        if wanted == MONEY:
            if self.is_typed:
                return f"try_cast({self.sql} as {MONEY})"
            # DuckDB reads '5e-17' as 0.0001 of a decimal, but rightly as a double.
            return (
                f"case when contains(lower({text}), 'e') "
                f"then try_cast({self.as_double} as {MONEY}) "
                f"else try_cast({self.number} as {MONEY}) end"
            )
        earliest = "1990-01-01" if self.form in MICROSECONDS else EARLIEST
        inside = (
            f"({self.time}) between timestamp '{earliest}' and timestamp '{LATEST}'"
        )
        return f"case when {inside} then cast({self.time} as {wanted}) end"

    @property
    def has_clock(self) -> str:
        """SQL of whether a time is more than a day: it has a clock time, or a zone."""
        if self.kind.startswith("TIMESTAMP WITH"):
            return f"{self.sql} is not null"
        clock = f"{self.value} != date_trunc('day', {self.value})"
        if self.kind == "VARCHAR" and self.form in ("", "iso"):
            clock += f" or {self.has_zone}"
        return clock

    @property
    def has_zone(self) -> str:
        """SQL of whether a time in text says its zone."""
        zone = r"[0-9] ?(?:[A-Za-z].*|[-+][0-9:]{2,8})$"
        return (
            f"case when length({self.text}) > 16 "
            f"then regexp_matches(substr({self.text}, 12), {literal(zone)}) end"
        )

    @property
    def is_unzoned(self) -> str:
        """SQL of whether letters behind a time are no zone that can be known."""
        return (
            f"(regexp_matches({self.text}, {literal(LETTERS)}) "
            f"and not regexp_matches({self.text}, {literal(ZONE)}))"
        )

    @property
    def time(self) -> str:
        """SQL of a time; a zone, where there is one, is honoured: it is in UTC."""
        column, text = self.sql, self.text
        if self.kind.startswith("TIMESTAMP WITH"):
            return f"{column} at time zone 'UTC'"
        if self.kind.startswith(("DATE", "TIMESTAMP")):
            return f"cast({column} as timestamp)"
        if self.form == "iso":  # DuckDB knows a zone only right behind the time
            text = rf"regexp_replace({text}, ' (Z|[-+]\d\d:?\d\d)$', '\1')"
        iso = f"try_cast({text} as timestamptz) at time zone 'UTC'"
        if self.kind == "VARCHAR":
            iso = f"case when not {self.is_unzoned} then {iso} end"
        if not self.form:
            return iso
        if self.form in MICROSECONDS:
            count = f"try_cast({text} as decimal(30, 6)) * {MICROSECONDS[self.form]}"
            return f"make_timestamp(try_cast(trunc({count}) as bigint))"
        if self.form == "compact":
            digits = f"regexp_replace({text}, '[.]0*$', '')"
            return f"try_strptime({digits}, ['%Y%m%d', '%Y%m%d%H%M%S'])"
        if not self.patterns:
            return iso
        parsed = f"try_strptime({text}, [{', '.join(map(literal, self.patterns))}])"
        return f"coalesce({iso}, {parsed})" if self.form == "iso" else parsed


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


BLANKS = literal(" \t\u00a0")


def shape(text: str) -> str:
    """SQL of a text with # for every digit."""
    return f"translate({text}, '{string.digits}', '{'#' * 10}')"


def shapes_of(connection, sql: str, text: str, form: str) -> dict[str, tuple[int, int]]:
    """Shape → number of values and the first row of them, the most frequent first."""
    rows = connection.execute(
        f"select form, count(*) as n, min(row) as first from (select {form} as form, "
        f"{text} is not null as is_given, row_number() over () as row from {sql}) "
        f"where is_given group by form order by n desc, first limit {MANY_SHAPES}"
    ).fetchall()
    found: dict[str, tuple[int, int]] = {}
    for form, number, row in rows:
        letters = "".join(
            ("e" if c in "eE" else "x") if c.isalpha() else c for c in form
        )
        before, first = found.get(letters, (0, row))
        found[letters] = (before + number, min(first, row))
    return found


# -- Numbers


def is_open(column: Column) -> str:
    """SQL of whether points may part thousands: each stands before three digits."""
    text = column.text
    return (
        f"coalesce(bool_or(contains({text}, '.')) and not "
        f"bool_or(contains({text}, '.') and length({text}) - strpos({text}, '.') != "
        "3), false)"
    )


def evidence(form: str) -> str:
    """What a shape says of the decimal separator: point, comma, either or nothing."""
    body = (
        re.sub(r"e.*", "", form) if re.fullmatch(r"[-+#§.,]+e[-+]?#+", form) else form
    )
    body = re.sub(r"[^#§.,]", "", body)
    last = max(body.rfind("."), body.rfind(","))
    if last < 0:
        return ""
    before, separator, after = body[:last], body[last], body[last + 1 :]
    names = {".": "point", ",": "comma"}
    others = {".": "comma", ",": "point"}
    parts_thousands = re.fullmatch(r"[#§]{1,3}(?:([.,])[#§]{3})*", before)
    if separator in before:  # 1.234.567
        return others[separator] if parts_thousands and len(after) == 3 else ""
    if others[separator] in {names[sign] for sign in before if sign in names}:
        return names[separator] if parts_thousands else ""  # 1,234.5
    if len(after) == 3 and 1 <= len(before) <= 3 and before != "§":
        return "either"
    return names[separator]


def settle_numbers(connection, sql, columns: dict[str, Column], told: str, file: str):
    """The form of the numbers of a file, their currency, and what was unusual."""
    signs = {}
    found: dict[str, tuple[int, str, str, int]] = {}  # what is said → by which
    forms = []
    for name, column in columns.items():
        zero = rf"regexp_replace({column.text}, '(^|[^0-9])0([.,])', '\1§\2')"
        seen = shapes_of(connection, sql, column.text, shape(zero))
        for form, (number, row) in seen.items():
            if re.search("[#§]", form):
                forms.append(form)
                found.setdefault(evidence(form), (number, name, form, row))
        if sign := sign_of(connection, sql, name, column, file):
            signs[sign] = name
    if len(signs) > 1:
        first, second, *_ = signs.values()
        raise InputFaultError(
            f"{first} and {second} of {file} have different currency signs: write "
            "plain numbers, all in the currency of the row"
        )
    if "point" in found and "comma" in found:
        rare = min(found["point"], found["comma"])
        raise InputFaultError(
            f"{file} mixes decimal points and decimal commas: {rare[1]} is like "
            f"{masked(rare[2])} in row {rare[3]:,}, others otherwise; write all alike"
        )
    form = told or next((f for f in ("point", "comma") if f in found), "")
    if not form and "either" in found:
        _, name, example, row = found["either"]
        raise InputFaultError(
            f"{name} of {file} may have thousands or decimals: every separator stands "
            f"before three digits, as {masked(example)} in row {row:,}; say --decimal "
            "comma or --decimal point"
        )
    form = form or "point"
    how = ["decimal comma"] if form == "comma" else []
    separators = rf"#[{'.' if form == 'comma' else ','} \u00a0\u2007\u2009\u202f'’]#"
    if any(re.search(separators, form) for form in forms):
        how.append("thousands separators")
    currency = code_of(next(iter(signs), ""))
    if any(re.search(SIGN_SHAPE, form) for form in forms):
        how.append(f"amounts in {currency}" if currency else "currency signs left out")
    return form, currency, how


def refuse_another_currency(
    connection, sql, columns: dict[str, Column], currency: Column, file: str
) -> None:
    """Refuse a sign in amounts that contradicts the column that names the currency."""
    named = f"upper(trim({currency.text}))"
    signs = " ".join(f"when {literal(s)} then {literal(c)}" for s, c in CODES.items())
    for name, column in columns.items():
        sign = sign_of(connection, sql, name, column, file)
        code = code_of(sign)
        others = connection.execute(
            f"select count(*) from {sql} where case {named} {signs} else {named} end "
            f"{'!= ' + literal(code) if code else f'in {tuple(CODES.values())}'}"
        ).fetchone()[0]
        if sign and others:
            raise InputFaultError(
                f"{name} of {file} has the sign of another currency than the column "
                f"{shorten(currency.name, 30)} names in {others:,} rows: write plain "
                "numbers, or mend that column"
            )


def code_of(sign: str) -> str:
    """The currency that a sign is of; none where several have it."""
    return CODES.get(sign, sign.upper() if len(sign) == 3 else "")


def sign_of(connection, sql, name, column: Column, file: str) -> str:
    """The one currency sign that the numbers of a column have, or none."""
    text = column.text
    signs = connection.execute(
        "select sign, count(*) as n, min(row) as first from (select row_number() over "
        f"() as row, {text} as value, regexp_extract({text}, {literal(SIGN)}) as sign "
        f"from {sql}) where regexp_matches(value, '[0-9]') and not "
        "regexp_full_match(value, '[-+]?[0-9.,]+[eE][-+]?[0-9]+') group by sign order "
        "by n, first desc"
    ).fetchall()
    if len(signs) > 1:
        raise InputFaultError(
            f"{name} of {file} has several currency signs, or one in some rows only "
            f"(row {signs[0][2]:,} is unlike others): write plain numbers, and the "
            "currency of each in a column currency"
        )
    return signs[0][0] if signs else ""


# -- Times


def kind_of_time(form: str) -> str:
    return next((k for k, p in TIME_SHAPES.items() if re.fullmatch(p, form)), "")


def patterns_of(form: str, shapes) -> tuple[str, ...]:
    """Which patterns read the shapes that a column has."""
    parts = {"%d": "##?", "%m": "##?", "%Y": "####", "%H": "##?", "%I": "##?"}
    parts |= {"%M": "##", "%S": "##", "%f": "#+", "%p": "[xe]{2}"}
    parts |= {"%b": "[xe]{3}", "%B": "[xe]{3,9}"}
    patterns = [
        date + (f"{comma} {clock}" if clock else "")
        for date in PATTERNS.get(form, ())
        for clock in CLOCKS
        for comma in ("", ",")[: 2 if clock else 1]
    ]

    def reads(pattern: str, form: str) -> bool:
        wanted = re.sub("%.", lambda part: parts[part[0]], pattern.replace(".", "[.]"))
        return bool(re.fullmatch(wanted, form))

    return tuple(p for p in patterns if any(reads(p, form) for form in shapes))


def settle_times(connection, sql, columns: dict[str, Column], told: str, file: str):
    """The time columns of a file with their forms, and what was unusual about them."""
    forms, shapes, how = {}, {}, []
    for name, column in columns.items():
        kinds: dict[str, list] = {}  # kind → number of values, first row, shape
        seen = shapes_of(connection, sql, column.text, shape(column.text))
        shapes[name] = list(seen)
        for form, (number, row) in seen.items():
            known = kinds.setdefault(kind_of_time(form), [0, row, form])
            known[0] += number
        kinds.pop("", None)  # not a time: these rows are named by the check
        often, *rare = sorted(kinds, key=lambda kind: -kinds[kind][0]) or [""]
        _, row, form = kinds.get(often, (0, 0, ""))
        if rare:
            _, row, other = kinds[rare[0]]
            raise InputFaultError(
                f"{name} of {file} mixes times like {masked(form)} with "
                f"{masked(other)} in row {row:,}: write all of them alike, best as "
                "2024-01-31 18:30:00"
            )
        if often == "short":
            raise InputFaultError(
                f"{name} of {file} has years of two digits, as {masked(form)} in row "
                f"{row:,}: write all four, best as 2024-01-31"
            )
        if often == "serial":
            raise InputFaultError(
                f"{name} of {file} has day numbers of a spreadsheet, as {masked(form)} "
                f"in row {row:,}: format the column as a date there and save it again"
            )
        kind = often
        forms[name] = kind
        if kind in MICROSECONDS:
            how.append(f"{name} in {kind} since 1970")
        elif kind == "compact":
            how.append(f"{name} as YYYYMMDD")
        elif kind == "named":
            how.append(f"{name} with names of months")
    unsettled = [name for name, form in forms.items() if form == "numeric"]
    if unsettled:
        order = day_order(connection, sql, unsettled, columns, told, file)
        forms |= dict.fromkeys(unsettled, order)
        how.append(f"{order} dates")
    settled = {
        name: replace(column, form=form, patterns=patterns_of(form, shapes[name]))
        for (name, column), form in zip(columns.items(), forms.values(), strict=True)
    }
    return settled, how


def day_order(connection, sql, names, columns, told: str, file: str) -> str:
    """Which of day and month comes first: a number above 12 is a day."""
    above, rows = [0, 0], [0, 0]
    for name in names:
        text = columns[name].text
        parts = (r"^(\d+)", r"^\d+\D(\d+)")
        big = [
            f"try_cast(regexp_extract({text}, '{part}', 1) as integer) > 12"
            for part in parts
        ]
        found = connection.execute(
            "select count(*) filter (a), count(*) filter (b), min(row) filter (a), "
            f"min(row) filter (b) from (select {big[0]} as a, {big[1]} as b, "
            f"row_number() over () as row from {sql})"
        ).fetchone()
        above = [a + b for a, b in zip(above, found[:2], strict=True)]
        rows = [a or b for a, b in zip(rows, found[2:], strict=True)]
    name = names[0]
    if all(above):
        raise InputFaultError(
            f"{name} of {file} mixes orders: first a number above 12 in {above[0]:,} "
            f"rows (row {rows[0]:,}), in the middle in {above[1]:,} (row {rows[1]:,}); "
            "write all of them alike, best as 2024-01-31"
        )
    settled = "day-first" if above[0] else "month-first" if above[1] else ""
    if settled and told and told != settled:
        raise InputFaultError(
            f"{name} of {file} has {settled} dates, as row {rows[0] or rows[1]:,} "
            f"shows, which has a day above 12: leave out --dates {told}"
        )
    if not settled and not told:
        raise InputFaultError(
            f"{name} of {file} may have the day or the month first: no day is above "
            "12; say --dates day-first or --dates month-first"
        )
    return settled or told
