"""The two ways into Salesforce: Marketing Cloud by async rows, the CRM by Bulk API 2.0.

A transport encodes rows, sends a chunk of them and gives an outcome per row. It says ok
only of what the destination confirmed, and notes what the destination calls a request,
so that a later run can ask for it. What the destination writes in its errors may hold
customers' values: only codes and our own column names go on.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from string import capwords
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import Retry

Row = dict[str, Any]


class ExportError(Exception):
    """A sentence that may be printed, and the exit code it ends the run with."""

    exit_code = 70

    def __init_subclass__(cls, exit_code: int):
        cls.exit_code = exit_code


class ConfigError(ExportError, exit_code=2):
    """Something is set or built wrongly, here or there."""


class LoginError(ExportError, exit_code=3):
    """The destination knows us not, or does not let us."""


class UnavailableError(ExportError, exit_code=4):
    """The destination did not answer in the end; what it did not confirm goes again."""


class GuardError(ExportError, exit_code=5):
    """What would happen is more than what is allowed to."""


class BusyError(ExportError, exit_code=6):
    """Another run is at work."""


class RefusedError(Exception):
    """A request was refused as a whole; the code of why is its only argument."""


@dataclass(frozen=True)
class Column:
    """A column as it is synced; its type and length as Marketing Cloud names them."""

    name: str
    kind: str = "Text"
    length: int = 50

    @cached_property
    def sfmc(self) -> str:
        return capwords(self.name, "_").replace("_", "")

    @cached_property
    def crm(self) -> str:
        return capwords(self.name, "_") + "__c"


# All that may leave: columns of the delta that are not here, or missing, stop the run.
# A later run than the ledger knows says that the ledger is an older copy.
KEY, RUN = Column("customer_key", length=64), Column("run_number", "Number")
CONTENT = (
    Column("clv_segment"),
    Column("rfm_segment"),
    Column("segment_since", length=10),
    Column("clv_365d", length=20),
    Column("probability_purchase_90d_pct", "Number"),
    Column("offer_cap", "Number"),
    Column("campaigns", length=255),
)
DAY, ACTIVE = Column("as_of_date", length=10), Column("is_active", "Boolean")
COLUMNS = (KEY, *CONTENT, RUN, DAY, ACTIVE)
# A removed customer's row.
GONE = {column.name: "" if column.kind == "Text" else 0 for column in CONTENT}
GONE |= {ACTIVE.name: False, "op": "remove", "row_hash": "removed"}


class Outcome(NamedTuple):
    """What became of a row; a transient one may go through when it is sent again."""

    ok: bool
    code: str = "ok"
    transient: bool = False


TRIES, ATTEMPTS = 5, 3  # of a call; to get a job of the CRM done
LONG_PAUSES = 30  # a block without a Retry-After is waited out, 15 pauses long
MAXIMUM_WAIT = 120  # less than a lease
# Noted instead of an id: one more request may come to be; one that failed; and when
# nothing of a chunk is under way any more.
RESENT, REFUSED, SETTLED = "resent", "refused", "settled"
NOT_IN_TIME = "the rows were accepted, and not worked off in time"
UNFORESEEN = (requests.RequestException, LookupError, TypeError, AttributeError)
UNFORESEEN += (ValueError, OverflowError)


def setting(name: str, default: str | None = None, form: str = ".*") -> str:
    """Return a variable of the environment, or what it names in Secret Manager."""
    value = os.environ.get(name) or default
    if value is None:
        raise ConfigError(f"environment variable {name} is not set")
    if value.startswith("sm://"):
        try:
            from google.cloud.secretmanager import SecretManagerServiceClient

            project, _, key = value.removeprefix("sm://").partition("/")
            path = f"projects/{project}/secrets/{key}/versions/latest"
            found = SecretManagerServiceClient().access_secret_version(name=path)
            value = found.payload.data.decode().strip()
        except Exception as error:
            text = f"google-cloud-secret-manager does not read {name}"
            raise ConfigError(f"{text}: {type(error).__name__}") from None
    if not re.fullmatch(form, value, re.DOTALL):
        raise ConfigError(f"environment variable {name} is not of the form {form}")
    return value


def word(text: object) -> str:
    """Return a code as it may be printed: a word, or nothing of it."""
    found = re.match(r"[A-Za-z0-9_]{1,60}(?![A-Za-z0-9_])", str(text))
    return found.group() if found else "unknown"


def trusted(pattern: str, host: str) -> str:
    """Return a host that may be told a token: one of Salesforce's."""
    if not re.fullmatch(pattern, host):
        raise LoginError("the token's answer names a host not Salesforce's")
    return host


def content(row: Row) -> str:
    """Return the row_hash of a row as it was read back, however it is worded.

    A blank row is 'removed', another inactive one 'odd'.
    """
    words = []
    for column in CONTENT:
        text = str(row[column.name] or "")
        if column.kind == "Number":
            with contextlib.suppress(ValueError):
                text = f"{float(text or 0):.15g}"
        words.append(text)
    if str(row[ACTIVE.name]).lower() in ("true", "1"):
        return hashlib.md5("|".join(words).encode()).hexdigest()
    return "removed" if {*words} <= {"", "0"} else "odd"


def code_of(answer: requests.Response) -> str:
    """Return the code of an error, of whatever shape; nothing where there is none."""
    with contextlib.suppress(*UNFORESEEN):
        found = answer.json()
        found = found[0] if isinstance(found, list) else found
        for message in found.get("resultMessages") or ():
            if message.get("resultClass") == "Error":
                return word(message.get("resultCode"))
        for name in ("errorcode", "error"):
            if name in found:
                return word(found[name])
    return f"HTTP_{answer.status_code}" if answer.status_code >= 300 else ""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn exceptions over an answer of another shape, which show values, into ours."""
    try:
        yield
    except Exception as error:
        # By name, for it takes memory to import: only the CRM needs simple-salesforce.
        name, module = type(error).__name__, type(error).__module__
        if not module.startswith("simple_sales") and not isinstance(error, UNFORESEEN):
            raise
        if name == "SalesforceAuthenticationFailed":
            raise LoginError(f"the login was refused: {word(error.code)}") from None
        if name == "SalesforceResourceNotFound":
            raise ConfigError("there is no such object (SF_OBJECT)") from None
        status = f", HTTP {error.status}" if hasattr(error, "status") else ""
        text = f"no answer as it should be: {name}{status}"
        raise UnavailableError(text) from None


class Tries(Retry):
    """Patience as the services ask for it, and a sign of life after every pause."""

    beat: Callable[[], None]

    def get_retry_after(self, response: Any) -> float | None:
        """Wait as long as the body says where no header does; else long, if blocked."""
        told = super().get_retry_after(response)
        if told is not None or response.status != 429:
            return told
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return min(abs(int(json.loads(response.data)["retryAfter"])), MAXIMUM_WAIT)
        return self.backoff_factor * LONG_PAUSES

    def sleep(self, response: Any = None) -> None:
        super().sleep(response)
        self.beat()


class Session(requests.Session):
    """A session of one host: it waits, but not for ever, and follows no redirect."""

    def __init__(self, settings: Any, beat: Callable[[], None]):
        super().__init__()
        self.timeout, self.beat = settings.timeout, beat
        # Every method: a job or a token too many does no harm, nor do rows sent twice.
        retries = type("Bound", (Tries,), {"beat": staticmethod(beat)})(
            total=TRIES - 1,
            backoff_factor=settings.pause / 2,
            backoff_jitter=settings.pause / 5,
            backoff_max=MAXIMUM_WAIT,
            retry_after_max=MAXIMUM_WAIT,
            status_forcelist=(429, *range(500, 600)),
            allowed_methods=None,
        )
        self.mount("https://", HTTPAdapter(max_retries=retries))

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send, after a sign of life; every try of it may fail."""
        self.beat()
        options |= {"timeout": self.timeout, "allow_redirects": False}
        try:
            answer = super().request(*arguments, **options)
        except requests.RequestException as error:
            text = f"no answer after {TRIES} tries: {type(error).__name__}"
            raise UnavailableError(text) from None
        # Without a charset it would be read as Latin-1.
        if answer.headers.get("Content-Type", "").startswith("text/csv"):
            answer.encoding = "utf-8"
        return answer


class Transport:
    """What the ways out have in common.

    Each has `login`; `check`, what does not fit there; `held`, the number of rows there
    and of the latest run that wrote one; `read`, all of them in pages; `encode`, a row
    as it is sent; `send`, the outcomes of rows; `state`, what is known of a request
    that is over; and `delete`, which keys are still there after it.

    Attributes:
        is_keyed: results name the key of each row; else `holds` says what is there.
        is_read_back: what is there can be asked for; else a run shows all its rows at
            once, by `finish`, and nobody knows what becomes of them.
        beat: called whenever time has passed; it may stop the run.
    """

    is_keyed: bool
    is_read_back = True
    key_flag: tuple[str, str]

    def __init__(self, settings: Any, key_length: int = KEY.length):
        self.settings, self.key_length = settings, key_length
        self.beat: Callable[[], None] = lambda: None
        self.session = Session(settings, lambda: self.beat())

    def wait(self, ask: Callable[[], Any], seconds: float) -> Any:
        """Return the first answer that is something, or nothing in the end."""
        until = time.monotonic() + seconds
        # Soon at first, for a chunk may be done at once, then less and less often.
        pause = self.settings.pause / 80
        while not (found := ask()) and time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 2, 10)
        return found or None

    def settle(self, request: str, seconds: float) -> Any:
        """Return what is known of a request once it is over, or nothing in the end."""
        return self.wait(lambda: self.state(request), seconds)

    def named(self, request: str, note: Callable[[str], None]) -> str:
        """Note what a request is called, if that is a name, and return it."""
        if not re.fullmatch(r"[\w-]+", request):
            raise UnavailableError("a request was accepted under no valid id")
        note(request)
        return request

    def fit(self, body: bytes, note: Callable[[str], None]) -> None:
        """Refuse what is larger than a request may be: it is sent in halves."""
        if len(body) > self.max_bytes:
            note(REFUSED)
            raise RefusedError("TooLarge")

    def misfits(self, fields: list[Row]) -> Iterator[str]:
        """Say what does not fit of a table's columns, one sentence each."""
        there = {field["name"].lower(): field for field in fields}
        flag, meaning = self.key_flag
        for column in COLUMNS:
            name = column.crm if self.is_keyed else column.sfmc
            field = there.pop(name.lower(), None)
            if field is None:
                yield f"column {name} is missing, or not visible to this user"
                continue
            length = self.key_length if column is KEY else column.length
            if field.get("type") != column.kind and not self.is_keyed:
                yield f"column {name} is not of type {column.kind}"
            if not field.get("updateable", not self.is_keyed):
                yield f"column {name} may not be written"
            if column.kind == "Text" and int(field.get("length") or 0) < length:
                yield f"column {name} holds less than {length} characters"
            if column is KEY and not field.get(flag):
                yield f"column {name} is not {meaning}"
        for name, field in there.items():
            if field.get("isPrimaryKey") or field.get("isNullable") is False:
                yield f"column {name} is required and unknown to the export"


DELETE = """<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Header>
<fueloauth xmlns="http://exacttarget.com">{token}</fueloauth></s:Header><s:Body>
<DeleteRequest xmlns="http://exacttarget.com/wsdl/partnerAPI"><Options/>{rows}
</DeleteRequest></s:Body></s:Envelope>"""
DELETED = """<Objects xsi:type="DataExtensionObject"><CustomerKey>{table}</CustomerKey>
<Keys><Key><Name>{name}</Name><Value>{key}</Value></Key></Keys></Objects>"""
TABLES = "/data/v1/customobjects"
# Of a column of a new table; tenants ask for each.
FLAGS = ("isTemplateField", "isHidden", "isReadOnly", "isInheritable", "isOverridable")
FLAGS += ("mustOverride",)
JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class MarketingCloud(Transport):
    """Rows of a data extension, upserted by the asynchronous REST API."""

    max_rows = 3_000  # at once, to save memory; the service takes 30,000
    max_bytes = 5_000_000
    is_keyed, key_flag = False, ("isPrimaryKey", "the primary key")

    def __init__(self, settings: Any, key_length: int = KEY.length):
        super().__init__(settings, key_length)
        self.is_sendable = key_length != KEY.length  # a key that subscribers have
        self.key = setting("SFMC_DATA_EXTENSION", "clv_segments")
        self.name = quote(self.key, safe="")
        self.rowset = f"/data/v1/customobjectdata/key/{self.name}/rowset"
        # It becomes part of an address: else a secret could go anywhere.
        self.subdomain = setting("SFMC_SUBDOMAIN", form="[A-Za-z0-9-]+")

    @translated()
    def login(self) -> None:
        """Get a token; its answer says where to go with it."""
        body = {"grant_type": "client_credentials"}
        body["client_id"] = setting("SFMC_CLIENT_ID")
        body["client_secret"] = setting("SFMC_CLIENT_SECRET")
        if account := setting("SFMC_ACCOUNT_ID", ""):
            body["account_id"] = account
        url = f"https://{self.subdomain}.auth.marketingcloudapis.com/v2/token"
        answer = self.session.request("POST", url, json=body)
        if answer.status_code >= 300:
            raise LoginError(f"the login was refused: {code_of(answer)}")
        found = answer.json()
        pattern = r"https://[\w-]+\.rest\.marketingcloudapis\.com"
        self.host = trusted(pattern, found["rest_instance_url"].rstrip("/"))
        self.token = found["access_token"]

    def call(
        self, method: str, path: str, is_renewed: bool = False, **options: Any
    ) -> requests.Response:
        """Make a call with a token that holds, renewed once when it does not."""
        headers = {"Authorization": f"Bearer {self.token}"}
        headers["Content-Type"] = "application/json"
        url = self.host + path
        answer = self.session.request(method, url, headers=headers, **options)
        if (status := answer.status_code) not in (401, 403):
            return answer
        if is_renewed:
            text = f"the call was refused: HTTP {status}, code {code_of(answer)}"
            raise LoginError(text)
        self.login()
        return self.call(method, path, is_renewed=True, **options)

    def get(self, path: str) -> dict[str, Any]:
        return self.call("GET", path).json()

    def find(self) -> dict[str, Any] | None:
        """Return the data extension as the search shows it."""
        items = self.get(f"{TABLES}?$search={self.name}")["items"]
        return next((each for each in items if each["key"] == self.key), None)

    @translated()
    def check(self, create: bool = False) -> list[str]:
        found = self.find()
        if found is None and create:
            self.create()
            found = self.wait(self.find, self.settings.deadline)
        if found is None:
            hint = "not found yet" if create else "missing: --check --create makes it"
            return [f"data extension {self.key} is {hint}"]
        path = f"{TABLES}/{quote(found['id'], safe='')}"
        misfits = [*self.misfits(self.get(f"{path}/fields")["fields"])]
        if self.is_sendable and not self.get(path).get("isSendable"):
            misfits.append("its rows are not sendable, though subscribers have its key")
        return misfits

    def create(self) -> None:
        """Make the data extension as a tenant takes it."""
        folder = int(setting("SFMC_FOLDER_ID", form="[0-9]+"))
        fields = [
            {"name": column.sfmc, "type": column.kind, "ordinal": ordinal}
            | {"isNullable": column is not KEY, "isPrimaryKey": column is KEY}
            | dict.fromkeys(FLAGS, False)
            | ({"length": column.length} if column.kind == "Text" else {})
            for ordinal, column in enumerate(COLUMNS)
        ]
        fields[0]["length"] = self.key_length
        body = {"name": self.key, "key": self.key, "categoryId": folder}
        body |= {"isSendable": False, "fields": fields}
        answer = self.call("POST", TABLES, json=body)
        if answer.status_code < 300 and self.is_sendable:
            # In one call with the rest, tenants refuse it.
            path = f"{TABLES}/{quote(answer.json()['id'])}"
            body = {"isSendable": True, "sendableCustomObjectField": KEY.sfmc}
            body["sendableSubscriberField"] = "Subscriber Key"
            answer = self.call("PATCH", path, json=body)
        if answer.status_code >= 300:
            text = f"data extension {self.key} could not be created"
            raise ConfigError(f"{text}: code {code_of(answer)}")

    def pages(self, path: str) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Yield how many objects there are, and those of a page, page by page."""
        number, read, count = 1, 0, 1
        while read < count:
            found = self.get(f"{path}&$page={number}")
            count, items = found["count"], found["items"]
            read += len(items)
            if found.get("page", number) != number or (not items and read < count):
                raise UnavailableError("what is there cannot be read in pages")
            yield count, items
            number += 1

    @staticmethod
    def row(item: dict[str, Any]) -> Row:
        """Return a row by our names; the service's regard no case."""
        found = (item.get("keys") or {}) | (item.get("values") or {})
        found = {name.lower(): value for name, value in found.items()}
        return {column.name: found.get(column.sfmc.lower()) for column in COLUMNS}

    @translated()
    def held(self) -> tuple[int, int]:
        query = f"$pagesize=1&$orderBy={RUN.sfmc}%20desc"
        count, items = next(self.pages(f"{self.rowset}?{query}"))
        return count, int(float(self.row(items[0])[RUN.name] or 0)) if items else 0

    def read(self) -> Iterator[list[Row]]:
        with translated():
            for _, items in self.pages(f"{self.rowset}?$pagesize=2500"):
                yield [self.row(item) for item in items]

    def look(self, key: str) -> list[Row]:
        """Return the row of a key, or none."""
        quoted = key.replace("'", "''")
        wanted = quote(f"{KEY.sfmc} eq '{quoted}'", safe="")
        pages = self.pages(f"{self.rowset}?$pagesize=1&$filter={wanted}")
        return [self.row(item) for _, items in pages for item in items]

    @translated()
    def holds(self, row: Row) -> bool:
        """Return whether the table holds what was sent of a row."""
        return [*map(content, self.look(row[KEY.name]))] == [content(row)]

    @translated()
    def delete(self, keys: list[str]) -> list[str]:
        if there := [key for key in keys if self.look(key)]:
            headers = {"SOAPAction": "Delete", "Content-Type": "text/xml"}
            url = self.host.replace(".rest.", ".soap.") + "/Service.asmx"
            rows = "".join(
                DELETED.format(table=escape(self.key), name=KEY.sfmc, key=escape(key))
                for key in there
            )
            body = DELETE.format(token=escape(self.token), rows=rows)
            self.session.request("POST", url, headers=headers, data=body.encode())
        return [key for key in there if self.look(key)]

    @staticmethod
    def encode(row: Row) -> bytes:
        return JSON.encode({c.sfmc: row[c.name] for c in COLUMNS}).encode()

    @translated()
    def send(self, rows: list[Row], note: Callable[[str], None]) -> list[Outcome]:
        path = f"/data/v1/async/dataextensions/key:{self.name}/rows"
        body = b'{"items":[' + b",".join(row["line"] for row in rows) + b"]}"
        self.fit(body, note)
        try:
            answer = self.call("PUT", path, data=body)
        except LoginError:
            note(REFUSED)
            raise
        # Whether an earlier try may have been taken too; of a proxy nobody knows.
        never = (NewConnectionError, ConnectTimeoutError)
        history = answer.raw.retries.history
        if any(t.status != 429 and not isinstance(t.error, never) for t in history):
            note(RESENT)
        if code := code_of(answer):
            note(REFUSED)
            if answer.status_code in (400, 413) and code != "CustomObjectNotFound":
                raise RefusedError(code)
            raise ConfigError(f"the rows were refused: {code}")
        request = self.named(answer.json()["requestId"], note)
        status = self.settle(request, self.settings.deadline)
        if status is None:
            raise UnavailableError(NOT_IN_TIME)
        if status["requestStatus"] != "Error" and status["hasErrors"] is False:
            return [Outcome(True)] * len(rows)
        pages = self.pages(f"/data/v1/async/{request}/results?$pageSize=2500")
        items = [item for _, items in pages for item in items]
        if len(items) != len(rows):
            counts = f"{len(items)} results for {len(rows)} rows"
            raise UnavailableError(f"{counts}: outcomes unknown")
        return [self.outcome(item) for item in items]

    @translated()
    def state(self, request: str) -> dict[str, Any] | None:
        # There is none at first.
        found = self.get(f"/data/v1/async/{request}/status").get("status") or {}
        is_over = found.get("requestStatus") in ("Complete", "Completed", "Error")
        return found if is_over and "hasErrors" in found else None

    @staticmethod
    def outcome(item: dict[str, Any]) -> Outcome:
        """Judge a result by its codes; its messages hold values."""
        if item.get("status") == "OK":
            return Outcome(True)
        if "Rerun the transaction." in str(item):
            return Outcome(False, "deadlock", transient=True)
        ours = {column.sfmc.lower(): column.sfmc for column in COLUMNS}
        codes = []
        for each in item.get("errors") or ():
            column = ours.get(str(each.get("name")).lower(), "unknown")
            codes.append(f"{word(each.get('errorCode', 'unknown'))}:{column}")
        code = word(item.get("errorCode", "unknown"))
        return Outcome(False, ";".join(dict.fromkeys(codes)) or code)


# Returns a line as bytes, for that is what "writing" it returns.
CSV = csv.writer(SimpleNamespace(write=str.encode), lineterminator="\n")


class Crm(Transport):
    """Rows of a custom object, upserted by external id through Bulk API 2.0."""

    max_rows = 5_000  # at once, to save memory; a batch of the service is 10,000
    max_bytes = 10_000_000  # simple-salesforce holds them several times
    is_keyed, key_flag = True, ("externalId", "an external id")

    def __init__(self, settings: Any, key_length: int = KEY.length):
        super().__init__(settings, key_length)
        self.object = setting("SF_OBJECT", "Customer_Segment__c", r"\w+")
        self.rows = f"FROM {self.object} WHERE {KEY.crm}"
        # Such as acme.my, without https://.
        self.domain = setting("SF_DOMAIN", form=r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

    @translated()
    def login(self) -> None:
        """Get a session, with a client's secret or a key."""
        from jwt import PyJWTError
        from simple_salesforce import Salesforce

        options = {"consumer_key": setting("SF_CONSUMER_KEY"), "domain": self.domain}
        if found := setting("SF_CONSUMER_SECRET", ""):
            options["consumer_secret"] = found
        else:
            is_test = "sandbox" in self.domain or self.domain == "test"
            options |= {
                "username": setting("SF_USERNAME"),
                "privatekey_file": setting("SF_PRIVATE_KEY_FILE"),
                "domain": "test" if is_test else "login",
                "instance_url": self.domain,
            }
        with warnings.catch_warnings(action="ignore"):  # they show the consumer key
            try:
                self.salesforce = Salesforce(session=self.session, **options)
            except requests.RequestException:
                raise
            except (OSError, ValueError, PyJWTError):
                raise ConfigError("SF_PRIVATE_KEY_FILE cannot be read") from None
        trusted(r"[\w.-]+\.salesforce\.com", str(self.salesforce.sf_instance))
        self.bulk = getattr(self.salesforce.bulk2, self.object)
        self.client = self.bulk._client
        self.client.DEFAULT_WAIT_TIMEOUT_SECONDS = self.settings.deadline

    @translated()
    def check(self, create: bool = False) -> list[str]:
        described = getattr(self.salesforce, self.object).describe()
        return [*self.misfits(described["fields"])]

    @translated()
    def held(self) -> tuple[int, int]:
        wanted = f"SELECT COUNT(Id) held, MAX({RUN.crm}) newest {self.rows} != null"
        (found,) = self.salesforce.query(wanted)["records"]
        return found["held"], int(found["newest"] or 0)

    def read(self) -> Iterator[list[Row]]:
        names = {column.name: column.crm for column in COLUMNS}
        query = f"SELECT {', '.join(names.values())} {self.rows} != null"
        with translated():
            for page in self.bulk.query(query, 10_000, wait=self.settings.pause):
                yield [
                    {ours: row[theirs] for ours, theirs in names.items()}
                    for row in self.parse(page)
                ]

    @staticmethod
    def encode(row: Row) -> bytes:
        # An empty cell leaves a field as it is; this clears it.
        cells = ["#N/A" if (v := row[c.name]) == "" else v for c in COLUMNS]
        cells[-1] = str(row[ACTIVE.name]).lower()
        return CSV.writerow(cells)

    def send(self, rows: list[Row], note: Callable[[str], None]) -> list[Outcome]:
        """Run a job for the rows, anew when it is lost: an upsert bears repeating."""
        header = CSV.writerow(column.crm for column in COLUMNS)
        body = header + b"".join(row["line"] for row in rows)
        self.fit(body, note)
        data, deadline, job = body.decode(), self.settings.deadline, ""
        for attempt in range(ATTEMPTS):
            try:
                if attempt:
                    time.sleep(self.settings.pause * 2**attempt)
                    self.login()
                if job and not self.settle(job, deadline):
                    raise UnavailableError("a job cannot be stopped")
                with translated():
                    made = self.client.create_job("upsert", external_id_field=KEY.crm)
                    job = self.named(made["id"], note)
                    self.client.upload_job_data(job, data)
                    self.client.close_job(job)
                info = super().settle(job, deadline)
                if info and info["state"] == "JobComplete":
                    return self.outcomes(job, [row[KEY.name] for row in rows])
            except UnavailableError as error:
                failure = error
                continue
            if info is None:
                raise UnavailableError(NOT_IN_TIME)
            if "InvalidBatch" in str(info.get("errorMessage")):
                raise ConfigError("the job was refused: InvalidBatch")
            failure = UnavailableError(f"the job ended as {word(info['state'])}")
        raise failure

    @translated()
    def state(self, job: str) -> dict[str, Any] | None:
        found = self.client.get_job(job, False)
        return found if found["state"] in ("JobComplete", "Aborted", "Failed") else None

    def settle(self, request: str, seconds: float) -> Any:
        """Abort a job that is not over, and wait until it is."""
        try:
            if self.state(request) is None:
                with translated():
                    self.client.abort_job(request, False)
            return super().settle(request, seconds)
        except ConfigError:
            return True  # it is gone

    @translated()
    def outcomes(self, job: str, keys: list[str]) -> list[Outcome]:
        """Return what became of rows; results come in any order, matched by key."""
        found = dict.fromkeys(keys, Outcome(False, "unprocessed", transient=True))
        for row in self.parse(self.bulk.get_failed_records(job)):
            found[row[KEY.crm]] = self.outcome(row["sf__Error"])
        for row in self.parse(self.bulk.get_successful_records(job)):
            found[row[KEY.crm]] = Outcome(True)
        return [found[key] for key in keys]

    @staticmethod
    def parse(text: str) -> Iterator[dict[str, str]]:
        # newline='': a line break within a value stays in it.
        return csv.DictReader(io.StringIO(text, newline=""))

    @staticmethod
    def outcome(error: str) -> Outcome:
        """Judge CODE:text:FIELDS -- by its code and fields; its text holds values."""
        code = word(error.partition(":")[0])
        fields = [c.crm for c in COLUMNS if c.crm in error.rpartition(":")[2]]
        transient = code == "UNABLE_TO_LOCK_ROW"
        return Outcome(False, ":".join([code, *fields]), transient)

    @translated()
    def delete(self, keys: list[str]) -> list[str]:
        from simple_salesforce import format_soql

        query = format_soql(f"SELECT Id, {KEY.crm} {self.rows} IN {{}}", keys)
        if there := self.salesforce.query(query)["records"]:
            rows = [{"Id": row["Id"]} for row in there]
            self.bulk.delete(records=rows, wait=self.settings.pause)
            there = self.salesforce.query(query)["records"]
        return [row[KEY.crm] for row in there]
