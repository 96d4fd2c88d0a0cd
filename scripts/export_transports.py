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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from string import capwords
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import Retry


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


TRIES = 5
LONG_PAUSES = 15  # a block without a Retry-After is waited out this many pauses long
MAXIMUM_WAIT = 120  # less than a lease
ATTEMPTS = 3  # to get a job of the CRM done
# Noted instead of an id: one more request may come to be; one that failed.
RESENT, REFUSED = "resent", "refused"
SETTLED = "settled"  # noted when nothing of a chunk is under way any more


def secret(name: str, required: bool = True) -> str:
    """Return an environment variable, or what it names in Google's Secret Manager."""
    value = os.environ.get(name, "")
    if required and not value:
        raise ConfigError(f"environment variable {name} is not set")
    if not value.startswith("sm://"):
        return value
    try:
        from google.cloud.secretmanager import SecretManagerServiceClient

        project, _, key = value.removeprefix("sm://").partition("/")
        path = f"projects/{project}/secrets/{key}/versions/latest"
        found = SecretManagerServiceClient().access_secret_version(name=path)
        return found.payload.data.decode().strip()
    except Exception as error:
        text = f"google-cloud-secret-manager does not read {name}"
        raise ConfigError(f"{text}: {type(error).__name__}") from None


def word(text: object) -> str:
    """Return a code as it may be printed: a word, or nothing of it."""
    found = re.match(r"[A-Za-z0-9_]{1,60}(?![A-Za-z0-9_])", str(text))
    return found.group() if found else "unknown"


def trusted(pattern: str, host: str) -> str:
    """Return a host that may be told a token: one of Salesforce's."""
    if not re.fullmatch(pattern, host):
        raise LoginError("the token's answer names a host not Salesforce's")
    return host


def content(row: dict[str, Any]) -> str:
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


def latest(numbers: Iterable[Any]) -> int:
    """Return the largest of some numbers of runs as they were read back, 0 of none."""
    with contextlib.suppress(ValueError, OverflowError):
        return max((int(float(number or 0)) for number in numbers), default=0)
    return 0


def fields_of(answer: requests.Response) -> dict[str, Any]:
    """Return the answer's object, the first of a list, or an empty one."""
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        return {}
    found = found[0] if isinstance(found, list) and found else found
    return found if isinstance(found, dict) else {}


def code_of(answer: requests.Response) -> str:
    """Return the code of an error."""
    return word(fields_of(answer).get("errorcode", "unknown"))


def listed(found: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, whatever it is."""
    every = found if isinstance(found, list) else []
    return [each if isinstance(each, dict) else {} for each in every]


class Tries(Retry):
    """Patience as the services ask for it, and a sign of life after every pause."""

    pause: float
    beat: Callable[[], None]

    def get_retry_after(self, response: Any) -> float | None:
        """Wait as long as the body says where no header does; else long, if blocked."""
        told = super().get_retry_after(response)
        if told is not None or response.status != 429:
            return told
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return min(abs(int(json.loads(response.data)["retryAfter"])), MAXIMUM_WAIT)
        return self.pause * LONG_PAUSES

    def sleep(self, response: Any = None) -> None:
        super().sleep(response)
        self.beat()


class Session(requests.Session):
    """A session of one host: it waits, but not for ever, and follows no redirect."""

    def __init__(self, settings: Any, beat: Callable[[], None]):
        super().__init__()
        self.timeout, self.beat = settings.timeout, beat
        # Every method: a job or a token too many does no harm, nor do rows sent twice.
        hooks = {"pause": settings.pause, "beat": lambda _: beat()}
        retries = type("Bound", (Tries,), hooks)(
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
    """What the two ways have in common.

    Attributes:
        is_keyed: results name the key of each row.
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
        pause = self.settings.pause / 40
        while not (found := ask()) and time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 2, 10)
        return found or None

    def settle(self, request: str, seconds: float) -> Any:
        """Return what is known of a request once it is over, or nothing in the end."""
        return self.wait(lambda: self.state(request), seconds)

    def named(self, request: Any, note: Callable[[str], None]) -> str:
        """Note what a request is called, if that is a name, and return it."""
        if not re.fullmatch(r"[\w-]+", str(request)):
            raise UnavailableError("a request was accepted under no valid id")
        note(request)
        return request

    def misfits(self, fields: dict[str, dict]) -> Iterator[str]:
        """Say what does not fit of a table's columns, one sentence each."""
        flag, meaning = self.key_flag
        for column in COLUMNS:
            name = column.crm if self.is_keyed else column.sfmc
            field = fields.pop(name.lower(), None)
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


class MarketingCloud(Transport):
    """Rows of a data extension, upserted by the asynchronous REST API."""

    max_rows = 3_000  # at once, to save memory; the service takes 30,000
    max_bytes = 5_000_000
    is_keyed, key_flag = False, ("isPrimaryKey", "the primary key")

    def __init__(self, settings: Any, key_length: int = KEY.length):
        super().__init__(settings, key_length)
        self.is_sendable = key_length != KEY.length  # a key that subscribers have
        self.key = os.environ.get("SFMC_DATA_EXTENSION", "clv_segments")
        self.name = quote(self.key, safe="")
        self.rowset = f"/data/v1/customobjectdata/key/{self.name}/rowset"
        self.subdomain = secret("SFMC_SUBDOMAIN")
        # Before it becomes part of an address: else a secret could go anywhere.
        if not re.fullmatch(r"[A-Za-z0-9-]+", self.subdomain):
            raise ConfigError("SFMC_SUBDOMAIN may hold letters, digits and - only")

    def login(self) -> None:
        """Get a token; its answer says where to go with it."""
        body = {"grant_type": "client_credentials"}
        for name in ("client_id", "client_secret"):
            body[name] = secret(f"SFMC_{name.upper()}")
        if account := secret("SFMC_ACCOUNT_ID", required=False):
            body["account_id"] = account
        host = f"https://{self.subdomain}.auth.marketingcloudapis.com"
        answer = self.session.request("POST", f"{host}/v2/token", json=body)
        found = fields_of(answer)
        if answer.status_code >= 300:
            code = word(found.get("error", f"HTTP_{answer.status_code}"))
            raise LoginError(f"the login was refused: {code}")
        self.token = found.get("access_token")
        if not isinstance(self.token, str):
            raise UnavailableError("the login gave no token")
        pattern = r"https://[\w-]+\.rest\.marketingcloudapis\.com"
        self.host = trusted(pattern, str(found.get("rest_instance_url")).rstrip("/"))

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Make a call with a token that holds, renewed once when it does not."""
        for renewed in (False, True):
            if renewed:
                self.login()
            headers = {"Authorization": f"Bearer {self.token}"}
            headers["Content-Type"] = "application/json"
            url = self.host + path
            answer = self.session.request(method, url, headers=headers, **options)
            if answer.status_code not in (401, 403):
                return answer
        status = answer.status_code
        raise LoginError(f"the call was refused: HTTP {status}, code {code_of(answer)}")

    def get(self, path: str) -> dict[str, Any]:
        return fields_of(self.call("GET", path))

    def find(self) -> dict[str, Any] | None:
        """Return the data extension as the search shows it."""
        items = listed(self.get(f"{TABLES}?$search={self.name}").get("items"))
        return next((each for each in items if each.get("key") == self.key), None)

    def check(self, create: bool = False) -> list[str]:
        """Compare the data extension with the template, or create it."""
        found = self.find()
        if found is None and create:
            self.create()
            found = self.wait(self.find, self.settings.deadline)
        if found is None:
            hint = "not found yet" if create else "missing: --check --create makes it"
            return [f"data extension {self.key} is {hint}"]
        path = f"{TABLES}/{quote(str(found.get('id')), safe='')}"
        fields = {
            str(field.get("name")).lower(): field
            for field in listed(self.get(f"{path}/fields").get("fields"))
        }
        misfits = list(self.misfits(fields))
        for name, field in fields.items():
            if field.get("isPrimaryKey") or field.get("isNullable") is False:
                misfits.append(f"column {name} is required and unknown to the export")
        if self.is_sendable and not self.get(path).get("isSendable"):
            misfits.append(
                "its rows are not sendable, though their key is subscribers'"
            )
        return misfits

    def create(self) -> None:
        """Make the data extension as a tenant takes it."""
        folder = os.environ.get("SFMC_FOLDER_ID", "")
        if not folder.isdigit():
            raise ConfigError("SFMC_FOLDER_ID is not set: the number of the folder")
        fields = [
            {
                **{"name": column.sfmc, "type": column.kind, "ordinal": ordinal},
                **{"isNullable": column is not KEY, "isPrimaryKey": column is KEY},
                **dict.fromkeys(FLAGS, False),
                **({"length": column.length} if column.kind == "Text" else {}),
            }
            for ordinal, column in enumerate(COLUMNS)
        ]
        fields[0]["length"] = self.key_length
        body = {"name": self.key, "key": self.key, "categoryId": int(folder)}
        body |= {"isSendable": False, "fields": fields}
        answer = self.call("POST", TABLES, json=body)
        if answer.status_code < 300 and self.is_sendable:
            # In one call with the rest, tenants refuse it.
            path = f"{TABLES}/{quote(str(fields_of(answer).get('id')))}"
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
            count, items = found.get("count"), listed(found.get("items"))
            is_page = isinstance(count, int) and found.get("page", number) == number
            number, read = number + 1, read + len(items)
            if not is_page or (not items and read < count):
                raise UnavailableError("what is there cannot be read in pages")
            yield count, items

    @staticmethod
    def row(item: dict[str, Any]) -> dict[str, Any]:
        """Return a row by our names; the service's regard no case."""
        found = (item.get("keys") or {}) | (item.get("values") or {})
        found = {str(name).lower(): value for name, value in found.items()}
        return {column.name: found.get(column.sfmc.lower()) for column in COLUMNS}

    def held(self) -> tuple[int, int]:
        """Return the number of rows, and of the latest run that wrote one."""
        query = f"$pagesize=1&$orderBy={RUN.sfmc}%20desc"
        count, items = next(self.pages(f"{self.rowset}?{query}"))
        return count, latest(self.row(item)[RUN.name] for item in items)

    def read(self) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows, in pages."""
        for _, items in self.pages(f"{self.rowset}?$pagesize=2500"):
            yield [self.row(item) for item in items]

    def look(self, key: str) -> list[Any]:
        """Return the row of a key, or none."""
        quoted = key.replace("'", "''")
        wanted = quote(f"{KEY.sfmc} eq '{quoted}'", safe="")
        pages = self.pages(f"{self.rowset}?$pagesize=1&$filter={wanted}")
        return [self.row(item) for _, items in pages for item in items]

    def holds(self, row: dict[str, Any]) -> bool:
        """Return whether the table holds what was sent of a row."""
        found = self.look(row[KEY.name])
        return [content(each) for each in found] == [content(row)]

    def delete(self, keys: list[str]) -> list[str]:
        """Delete rows for good, by SOAP; return the keys that are still there."""
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
    def encode(row: dict[str, Any]) -> bytes:
        body = {column.sfmc: row[column.name] for column in COLUMNS}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    def send(self, rows: list[dict], note: Callable[[str], None]) -> list[Outcome]:
        """Submit, wait until it is done, and read the outcome of every row."""
        path = f"/data/v1/async/dataextensions/key:{self.name}/rows"
        body = b'{"items":[' + b",".join(row["line"] for row in rows) + b"]}"
        try:
            answer = self.call("PUT", path, data=body)
        except LoginError:
            note(REFUSED)
            raise
        # Whether an earlier try may have been taken too; of a proxy nobody knows.
        never = (NewConnectionError, ConnectTimeoutError)
        if any(
            each.status != 429 and not isinstance(each.error, never)
            for each in answer.raw.retries.history
        ):
            note(RESENT)
        found = fields_of(answer)
        faults = [
            word(message.get("resultCode"))
            for message in listed(found.get("resultMessages"))
            if message.get("resultClass") == "Error"
        ]
        if answer.status_code >= 300 or faults:
            note(REFUSED)
            code = faults[0] if faults else code_of(answer)
            if answer.status_code in (400, 413) and code != "CustomObjectNotFound":
                raise RefusedError(code)
            raise ConfigError(f"the rows were refused: {code}")
        request = self.named(found.get("requestId"), note)
        status = self.settle(request, self.settings.deadline)
        if status is None:
            raise UnavailableError("the rows were accepted and not worked off in time")
        is_done = str(status.get("requestStatus")).startswith("Complete")
        if is_done and status["hasErrors"] is False:
            return [Outcome(True)] * len(rows)
        pages = self.pages(f"/data/v1/async/{request}/results?$pageSize=2500")
        items = [item for _, items in pages for item in items]
        if len(items) != len(rows):
            counts = f"{len(items)} results for {len(rows)} rows"
            raise UnavailableError(f"{counts}: outcomes unknown")
        return [self.outcome(item) for item in items]

    def state(self, request: str) -> dict[str, Any] | None:
        """Return the status of a request that is over; there is none at first."""
        found = self.get(f"/data/v1/async/{request}/status").get("status")
        is_told = isinstance(found, dict) and "hasErrors" in found
        done = ("Complete", "Completed", "Error")
        return found if is_told and found.get("requestStatus") in done else None

    @staticmethod
    def outcome(item: dict[str, Any]) -> Outcome:
        """Judge a result by its codes; its messages hold values."""
        if item.get("status") == "OK":
            return Outcome(True)
        if "Rerun the transaction." in str(item):
            return Outcome(False, "deadlock", transient=True)
        ours = {column.sfmc.lower(): column.sfmc for column in COLUMNS}
        codes = [
            f"{word(each.get('errorCode', 'unknown'))}:"
            f"{ours.get(str(each.get('name', '')).lower(), 'unknown')}"
            for each in listed(item.get("errors"))
        ]
        code = word(item.get("errorCode", "unknown"))
        return Outcome(False, ";".join(dict.fromkeys(codes)) or code)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn simple-salesforce's exceptions, which show values, into ours."""
    from simple_salesforce import exceptions as sf

    unforeseen = (sf.SalesforceError, sf.SalesforceOperationError, TypeError)
    unforeseen += (requests.RequestException, AttributeError, KeyError)
    try:
        yield
    except sf.SalesforceAuthenticationFailed as error:
        raise LoginError(f"the login was refused: {word(error.code)}") from None
    except sf.SalesforceResourceNotFound:
        raise ConfigError("there is no such object (SF_OBJECT)") from None
    except unforeseen as error:
        status = f", HTTP {error.status}" if hasattr(error, "status") else ""
        text = f"no answer as it should be: {type(error).__name__}{status}"
        raise UnavailableError(text) from None


class Crm(Transport):
    """Rows of a custom object, upserted by external id through Bulk API 2.0."""

    max_rows = 5_000  # at once, to save memory; a batch of the service is 10,000
    max_bytes = 10_000_000  # simple-salesforce holds them several times
    is_keyed, key_flag = True, ("externalId", "an external id")

    def __init__(self, settings: Any, key_length: int = KEY.length):
        super().__init__(settings, key_length)
        self.object = os.environ.get("SF_OBJECT", "Customer_Segment__c")
        self.rows = f"FROM {self.object} WHERE {KEY.crm}"
        self.domain = secret("SF_DOMAIN")
        if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", self.domain):
            raise ConfigError("SF_DOMAIN is a name such as acme.my, without https://")
        if not re.fullmatch(r"\w+", self.object):
            raise ConfigError("SF_OBJECT is a name such as Customer_Segment__c")

    def login(self) -> None:
        """Get a session, with a client's secret or a key."""
        from jwt import PyJWTError
        from simple_salesforce import Salesforce

        options = {"consumer_key": secret("SF_CONSUMER_KEY"), "domain": self.domain}
        if found := secret("SF_CONSUMER_SECRET", required=False):
            options["consumer_secret"] = found
        else:
            is_test = "sandbox" in self.domain or self.domain == "test"
            options |= {
                "username": secret("SF_USERNAME"),
                "privatekey_file": secret("SF_PRIVATE_KEY_FILE"),
                "domain": "test" if is_test else "login",
                "instance_url": self.domain,
            }
        with warnings.catch_warnings(), translated():
            warnings.simplefilter("ignore")  # they show the consumer key
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
        """Compare the object with the columns; objects are created in Setup."""
        described = getattr(self.salesforce, self.object).describe()
        fields = {field["name"].lower(): field for field in described["fields"]}
        return list(self.misfits(fields))

    @translated()
    def held(self) -> tuple[int, int]:
        """Return the number of rows, and of the latest run that wrote one."""
        ask, rows = self.salesforce.query, f"{self.rows} != null"
        count = int(ask(f"SELECT COUNT() {rows}")["totalSize"])
        order = f"ORDER BY {RUN.crm} DESC NULLS LAST LIMIT 1"
        records = ask(f"SELECT {RUN.crm} {rows} {order}")["records"]
        return count, latest(record[RUN.crm] for record in records)

    def read(self) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows that have a key, through a query job."""
        names = ", ".join(column.crm for column in COLUMNS)
        query = f"SELECT {names} {self.rows} != null"
        with translated():
            for page in self.bulk.query(query, 10_000, wait=self.settings.pause):
                yield [
                    {column.name: row.get(column.crm) for column in COLUMNS}
                    for row in self.parse(page)
                ]

    @staticmethod
    def encode(row: dict[str, Any]) -> bytes:
        # An empty cell leaves a field as it is; this clears it.
        words = {"": "#N/A", True: "true", False: "false"}
        values = (row[column.name] for column in COLUMNS)
        cells = [words[v] if v == "" or isinstance(v, bool) else v for v in values]
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        return line.getvalue().encode()

    def send(self, rows: list[dict], note: Callable[[str], None]) -> list[Outcome]:
        """Run a job for the rows, anew when it is lost: an upsert bears repeating."""
        header = ",".join(column.crm for column in COLUMNS) + "\n"
        data = header + b"".join(row["line"] for row in rows).decode()
        deadline, job = self.settings.deadline, ""
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
                raise UnavailableError("the rows were accepted, not worked off in time")
            if "InvalidBatch" in str(info.get("errorMessage")):
                raise ConfigError("the job was refused: InvalidBatch")
            failure = UnavailableError(f"the job ended as {word(info['state'])}")
        raise failure

    @translated()
    def state(self, job: str) -> dict[str, Any] | None:
        """Return what is known of a job that is over."""
        found = self.client.get_job(job, False)
        return found if found["state"] in ("JobComplete", "Aborted", "Failed") else None

    def settle(self, job: str, seconds: float) -> Any:
        """Abort a job that is not over, and wait until it is."""
        try:
            if self.state(job) is None:
                with translated():
                    self.client.abort_job(job, False)
            return super().settle(job, seconds)
        except ConfigError:
            return True  # it is gone

    @translated()
    def outcomes(self, job: str, keys: list[str]) -> list[Outcome]:
        """Read what became of rows; results come in any order, matched by key."""
        found = dict.fromkeys(keys, Outcome(False, "unprocessed", transient=True))
        for row in self.parse(self.bulk.get_failed_records(job)):
            found[row.get(KEY.crm)] = self.outcome(str(row.get("sf__Error")))
        for row in self.parse(self.bulk.get_successful_records(job)):
            found[row.get(KEY.crm)] = Outcome(True)
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
        """Delete records for good, by their ids; return the keys still there."""
        from simple_salesforce import format_soql

        query = format_soql(f"SELECT Id, {KEY.crm} {self.rows} IN {{}}", keys)
        if there := self.salesforce.query(query)["records"]:
            rows = [{"Id": row["Id"]} for row in there]
            self.bulk.delete(records=rows, wait=self.settings.pause)
            there = self.salesforce.query(query)["records"]
        return [row[KEY.crm] for row in there]
