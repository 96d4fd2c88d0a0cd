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
import math
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError
from urllib3.util import Retry


class ExportError(Exception):
    """A sentence that may be printed, and the exit code it ends the run with."""

    exit_code = 70


class ConfigError(ExportError):
    """Something is set or built wrongly, here or there."""

    exit_code = 2


class LoginError(ExportError):
    """The destination knows us not, or does not let us."""

    exit_code = 3


class UnavailableError(ExportError):
    """The destination did not answer in the end; what it did not confirm goes again."""

    exit_code = 4


class GuardError(ExportError):
    """What would happen is more than what is allowed to."""

    exit_code = 5


class BusyError(ExportError):
    """Another run is at work."""

    exit_code = 6


class RefusedError(Exception):
    """A request was refused as a whole; the code of why is its only argument."""


class Column(NamedTuple):
    """A column as it is shipped; its type and length as Marketing Cloud names them."""

    name: str
    kind: str = "Text"
    length: int = 50

    @property
    def sfmc(self) -> str:
        """Its name in Marketing Cloud."""
        return "".join(word.capitalize() for word in self.name.split("_"))

    @property
    def crm(self) -> str:
        """Its name in Salesforce."""
        return "_".join(word.capitalize() for word in self.name.split("_")) + "__c"


# All that may leave: columns of the delta that are not here, or missing, stop the run.
KEY = Column("customer_key", length=64)
COLUMNS = (
    KEY,
    Column("clv_segment"),
    Column("rfm_segment"),
    Column("segment_since", length=10),
    Column("clv_365d", length=20),
    Column("probability_purchase_90d_pct", "Number"),
    Column("offer_cap", "Number"),
    Column("campaigns", length=255),
    Column("as_of_date", length=10),
    Column("is_active", "Boolean"),
)


class Outcome(NamedTuple):
    """What became of a row; a transient one may go through when it is sent again."""

    ok: bool
    code: str = "ok"
    transient: bool = False


class Patience(NamedTuple):
    """Seconds to wait: before the third try, for an answer, for a chunk."""

    pause: float
    timeout: float
    deadline: float


TRIES = 5
LONG_PAUSES = 15  # a block without a Retry-After is waited out this many pauses long
MAXIMUM_WAIT = 120  # less than a lease
ATTEMPTS = 3  # to get a job of the CRM done
# Noted instead of an id: one more request may come to be; one came to nothing.
RESENT, REFUSED = "resent", "refused"


def secret(name: str, required: bool = True) -> str:
    """Return an environment variable, or what it names in Google's Secret Manager."""
    value = os.environ.get(name, "")
    if required and not value:
        raise ConfigError(f"environment variable {name} is not set")
    if value.startswith("sm://"):
        try:
            from google.cloud import secretmanager

            project, _, key = value.removeprefix("sm://").partition("/")
            client = secretmanager.SecretManagerServiceClient()
            path = f"projects/{project}/secrets/{key}/versions/latest"
            payload = client.access_secret_version(name=path).payload
        except ImportError:
            text = f"{name} names a secret: install google-cloud-secret-manager"
            raise ConfigError(text) from None
        except Exception as error:
            text = f"the secret of {name} cannot be read: {type(error).__name__}"
            raise ConfigError(text) from None
        value = payload.data.decode().strip()
    return value


def word(text: object) -> str:
    """Return a code as it may be printed: a word, or nothing of it."""
    found = re.match(r"[A-Za-z0-9_]{1,60}(?![A-Za-z0-9_])", str(text))
    return found.group() if found else "unknown"


def canonical(values: dict[str, Any]) -> str:
    """Return a digest of a row's values but its key, however they are worded."""
    words = []
    for column in COLUMNS[1:]:
        value = values.get(column.name)
        text = "" if value is None else str(value)
        if column.kind == "Boolean":
            text = str(text.lower() in ("true", "1"))
        elif column.kind == "Number":
            try:
                text = f"{float(text or 0):g}"
            except ValueError:
                text = "not a number"
        words.append(text)
    return hashlib.md5(json.dumps(words).encode()).hexdigest()


def fields_of(answer: requests.Response) -> dict[str, Any]:
    """Return the answer's object, the first of a list, or an empty one."""
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        return {}
    found = found[0] if isinstance(found, list) and found else found
    return found if isinstance(found, dict) else {}


def listed(found: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, whatever it is."""
    every = found if isinstance(found, list) else []
    return [each if isinstance(each, dict) else {} for each in every]


class Tries(Retry):
    """Patience as the services ask for it, and a sign of life after every pause."""

    pause: float
    beat: Callable[[], None]

    def increment(self, *arguments: Any, response: Any = None, **options: Any) -> Retry:
        """Wait as long as the body says where no header does; else long, if blocked."""
        is_busy = response is not None and response.status == 429
        if is_busy and "Retry-After" not in response.headers:
            try:
                told = int(json.loads(response.data)["retryAfter"])
            except (ValueError, KeyError, TypeError):
                told = math.ceil(self.pause * LONG_PAUSES)
            response.headers["Retry-After"] = str(told)
        return super().increment(*arguments, response=response, **options)

    def sleep(self, response: Any = None) -> None:
        """Sleep, and show it."""
        super().sleep(response)
        self.beat()


class Patient(HTTPAdapter):
    """Time limits, which simple-salesforce does not set, and UTF-8 for CSV."""

    def __init__(self, timeout: float, **options: Any):
        self.timeout = timeout
        super().__init__(**options)

    def send(self, request: Any, **options: Any) -> requests.Response:
        """Send with a limit; text/csv without a charset would be read as Latin-1."""
        options["timeout"] = options.get("timeout") or self.timeout
        answer = super().send(request, **options)
        if answer.headers.get("Content-Type", "").startswith("text/csv"):
            answer.encoding = "utf-8"
        return answer


class Session(requests.Session):
    """A session that follows no redirect: what we send is meant for one host."""

    def get_redirect_target(self, _: requests.Response) -> None:
        """Say that there is none."""


def may_be_twice(answer: requests.Response) -> bool:
    """Return whether an earlier try of this request may have been taken as well."""
    never = (NewConnectionError, ConnectTimeoutError, ProxyError)
    return any(
        each.status != 429 and not isinstance(each.error, never)
        for each in answer.raw.retries.history
    )


class Transport:
    """What the two ways have in common.

    Attributes:
        is_keyed: results name the key of each row.
        beat: called whenever time has passed; it may stop the run.
    """

    is_keyed: bool
    key_flag: tuple[str, str]

    def __init__(self, patience: Patience, key_length: int = KEY.length):
        self.patience, self.key_length = patience, key_length
        self.beat: Callable[[], None] = lambda: None
        # Every method: a job or a token too many does no harm, nor do rows sent twice.
        hooks = {"pause": patience.pause, "beat": lambda _: self.beat()}
        retries = type("Bound", (Tries,), hooks)(
            total=TRIES - 1,
            backoff_factor=patience.pause / 2,
            backoff_jitter=patience.pause / 5,
            backoff_max=MAXIMUM_WAIT,
            retry_after_max=MAXIMUM_WAIT,
            status_forcelist=(429, 500, 502, 503, 504, 596),
            allowed_methods=None,
            raise_on_status=False,
        )
        self.session = Session()
        self.session.mount("https://", Patient(patience.timeout, max_retries=retries))

    def wait(self, ask: Callable[[], Any], seconds: float) -> Any:
        """Return the first answer that is something, or nothing in the end."""
        until = time.monotonic() + seconds
        # Soon at first, for a chunk may be done at once, then less and less often.
        pause = self.patience.pause / 40
        while not (found := ask()) and time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 2, 10)
        return found or None

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


class MarketingCloud(Transport):
    """Rows of a data extension, upserted by the asynchronous REST API."""

    max_rows = 8_000  # at once, to save memory; the service takes 30,000
    max_bytes = 5_000_000
    is_keyed, key_flag = False, ("isPrimaryKey", "the primary key")

    def __init__(self, patience: Patience, key_length: int = KEY.length):
        super().__init__(patience, key_length)
        self.is_sendable = key_length != KEY.length  # a key that subscribers have
        self.key = os.environ.get("SFMC_DATA_EXTENSION", "clv_segments")
        name = quote(self.key, safe="")
        self.path = f"/data/v1/async/dataextensions/key:{name}/rows"
        self.rowset = f"/data/v1/customobjectdata/key/{name}/rowset"
        self.subdomain = secret("SFMC_SUBDOMAIN")
        # Before it becomes part of an address: else a secret could go anywhere.
        if not re.fullmatch(r"[A-Za-z0-9-]+", self.subdomain):
            raise ConfigError("SFMC_SUBDOMAIN may hold letters, digits and - only")
        self.token, self.expires = "", 0.0

    # Calls.

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Return an answer below 500 that is not 429, or raise UnavailableError."""
        self.beat()
        try:
            answer = self.session.request(method, url, **options)
            if answer.status_code < 500 and answer.status_code != 429:
                return answer
            code = f"HTTP {answer.status_code}"
        except requests.RequestException as error:
            code = type(error).__name__
        raise UnavailableError(f"no answer after {TRIES} tries: {code}")

    def login(self) -> None:
        """Get a token; its answer says where to go with it."""
        body = {"grant_type": "client_credentials"}
        for name in ("client_id", "client_secret"):
            body[name] = secret(f"SFMC_{name.upper()}")
        if account := secret("SFMC_ACCOUNT_ID", required=False):
            body["account_id"] = account
        host = f"https://{self.subdomain}.auth.marketingcloudapis.com"
        started = time.monotonic()
        answer = self.request("POST", f"{host}/v2/token", json=body)
        found = fields_of(answer)
        if answer.status_code >= 300:
            code = word(found.get("error", f"HTTP_{answer.status_code}"))
            raise LoginError(f"the login was refused: {code}")
        if not isinstance(found.get("access_token"), str):
            raise UnavailableError("the login gave no token")
        self.token = found["access_token"]
        host = str(found.get("rest_instance_url")).rstrip("/")
        if not re.fullmatch(r"https://[\w-]+\.rest\.marketingcloudapis\.com", host):
            raise LoginError("the token's answer names a host not Salesforce's")
        self.host = host
        lifetime = found.get("expires_in")
        if not isinstance(lifetime, int | float):
            lifetime = 1079
        self.expires = started + lifetime - min(60.0, lifetime / 2)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Make a call with a token that holds, renewed once when it does not."""
        for renewed in (False, True):
            if renewed or time.monotonic() >= self.expires:
                self.login()
            headers = {"Authorization": f"Bearer {self.token}"}
            headers["Content-Type"] = "application/json"
            url = self.host + path
            answer = self.request(method, url, headers=headers, **options)
            if answer.status_code != 401:
                break
        status = answer.status_code
        if status in (401, 403):
            code = word(fields_of(answer).get("errorcode", "unknown"))
            raise LoginError(f"the call was refused: HTTP {status}, code {code}")
        return answer

    # The table.

    def find(self) -> dict[str, Any] | None:
        """Return the data extension as the search shows it."""
        search = f"/data/v1/customobjects?$search={quote(self.key, safe='')}"
        items = listed(fields_of(self.call("GET", search)).get("items"))
        return next((each for each in items if each.get("key") == self.key), None)

    def check(self, create: bool = False) -> list[str]:
        """Compare the data extension with the template, or create it."""
        found = self.find()
        if found is None and create:
            if misfit := self.create():
                return [misfit]
            found = self.wait(self.find, self.patience.deadline)
        if found is None:
            hint = "not found yet" if create else "missing: --check --create makes it"
            return [f"data extension {self.key} is {hint}"]
        path = f"/data/v1/customobjects/{quote(str(found.get('id')), safe='')}"
        answer = self.call("GET", f"{path}/fields")
        fields = listed(fields_of(answer).get("fields"))
        fields = {str(field.get("name")).lower(): field for field in fields}
        misfits = list(self.misfits(fields))
        for name, field in fields.items():
            if field.get("isPrimaryKey") or field.get("isNullable") is False:
                misfits.append(f"column {name} is required and unknown to the export")
        if self.is_sendable and not fields_of(self.call("GET", path)).get("isSendable"):
            misfits.append(
                "its rows are not sendable, though their key is subscribers'"
            )
        return misfits

    def create(self) -> str:
        """Make the data extension as a tenant takes it; return what went wrong."""
        folder = os.environ.get("SFMC_FOLDER_ID", "")
        if not folder.isdigit():
            raise ConfigError("SFMC_FOLDER_ID is not set: the number of the folder")
        unused = ("isTemplateField", "isHidden", "isReadOnly", "isInheritable")
        fields = [
            {
                **{"name": column.sfmc, "type": column.kind, "ordinal": ordinal},
                **{"isNullable": column is not KEY, "isPrimaryKey": column is KEY},
                **dict.fromkeys((*unused, "isOverridable", "mustOverride"), False),
                **({"length": column.length} if column.kind == "Text" else {}),
            }
            for ordinal, column in enumerate(COLUMNS)
        ]
        fields[0]["length"] = self.key_length
        body = {"name": self.key, "key": self.key, "categoryId": int(folder)}
        body |= {"isSendable": False, "fields": fields}
        answer = self.call("POST", "/data/v1/customobjects", json=body)
        if answer.status_code in (200, 201) and self.is_sendable:
            # In one call with the rest, tenants refuse it.
            path = f"/data/v1/customobjects/{quote(str(fields_of(answer).get('id')))}"
            body = {"isSendable": True, "sendableCustomObjectField": KEY.sfmc}
            body["sendableSubscriberField"] = "Subscriber Key"
            answer = self.call("PATCH", path, json=body)
        if answer.status_code in (200, 201):
            return ""
        code = word(fields_of(answer).get("errorcode", "unknown"))
        return f"data extension {self.key} could not be created: code {code}"

    # Rows back.

    def page(self, query: str) -> dict[str, Any]:
        """Return a page of rows as it came, once more if it is none."""
        answer = self.call("GET", f"{self.rowset}?{query}")
        found = fields_of(answer)
        if answer.status_code >= 300 or not isinstance(found.get("count"), int):
            raise UnavailableError(f"rows cannot be read: HTTP {answer.status_code}")
        return found

    def count(self) -> int:
        """Return the number of rows."""
        return self.page("$page=1&$pagesize=1")["count"]

    @staticmethod
    def row(values: dict[str, Any]) -> dict[str, Any]:
        """Return values by our names; the service's regard no case."""
        found = {str(name).lower(): value for name, value in values.items()}
        return {column.name: found.get(column.sfmc.lower()) for column in COLUMNS}

    def read(self, query: str = "$pagesize=2500") -> Iterator[list[dict[str, Any]]]:
        """Yield all rows."""
        number, read, count = 1, 0, 1
        while read < count:
            found = self.page(f"$page={number}&{query}")
            rows = [
                self.row((each.get("keys") or {}) | (each.get("values") or {}))
                for each in listed(found.get("items"))
            ]
            number, read, count = number + 1, read + len(rows), found["count"]
            if not rows and read < count:
                raise UnavailableError("rows cannot be read: a page is empty")
            yield rows

    def look(self, key: str) -> list[Any]:
        """Return the row of a key, or none."""
        quoted = key.replace("'", "''")
        wanted = quote(f"{KEY.sfmc} eq '{quoted}'", safe="")
        pages = self.read(f"$pagesize=1&$filter={wanted}")
        return [row for page in pages for row in page]

    def holds(self, line: bytes) -> bool:
        """Return whether the table holds what was sent of a row."""
        sent = self.row(json.loads(line))
        found = self.look(str(sent[KEY.name]))
        return [canonical(row) for row in found] == [canonical(sent)]

    def delete(self, keys: list[str]) -> list[str]:
        """Delete rows for good, by SOAP; return the keys that are still there."""
        there = [key for key in keys if self.look(key)]
        if there:
            headers = {"SOAPAction": "Delete", "Content-Type": "text/xml"}
            url = self.host.replace(".rest.", ".soap.") + "/Service.asmx"
            rows = "".join(
                DELETED.format(table=escape(self.key), name=KEY.sfmc, key=escape(key))
                for key in there
            )
            body = DELETE.format(token=escape(self.token), rows=rows)
            self.request("POST", url, headers=headers, data=body.encode())
        return [key for key in there if self.look(key)]

    # Rows out.

    @staticmethod
    def encode(row: dict[str, Any]) -> bytes:
        """Return a row as JSON."""
        body = {column.sfmc: row[column.name] for column in COLUMNS}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    def send(
        self, keys: list[str], lines: list[bytes], note: Callable[[str], None]
    ) -> list[Outcome]:
        """Submit, wait until it is done, and read the outcome of every row."""
        body = b'{"items":[' + b",".join(lines) + b"]}"
        try:
            answer = self.call("PUT", self.path, data=body)
        except LoginError:
            note(REFUSED)
            raise
        if may_be_twice(answer):
            note(RESENT)
        found = fields_of(answer)
        faults = [
            word(message.get("resultCode"))
            for message in listed(found.get("resultMessages"))
            if message.get("resultClass") == "Error"
        ]
        if answer.status_code >= 300 or faults:
            note(REFUSED)
            code = faults[0] if faults else word(found.get("errorcode", "unknown"))
            if answer.status_code in (400, 413) and code != "CustomObjectNotFound":
                raise RefusedError(code)
            raise ConfigError(f"the rows were refused: {code}")
        request = str(found.get("requestId") or "")
        if not re.fullmatch(r"[A-Za-z0-9-]+", request):
            raise UnavailableError("the rows were accepted under no valid id")
        note(request)
        status = self.status(request, self.patience.deadline)
        if status is None:
            raise UnavailableError("the rows were accepted and not worked off in time")
        is_done = str(status.get("requestStatus")).startswith("Complete")
        if is_done and status["hasErrors"] is False:
            return [Outcome(True)] * len(keys)
        items = self.results(request)
        if len(items) != len(keys):
            counts = f"{len(items)} results for {len(keys)} rows"
            raise UnavailableError(f"{counts}: outcomes unknown")
        return [self.outcome(item) for item in items]

    def status(self, request: str, seconds: float) -> dict[str, Any] | None:
        """Return the status of a request once it is done."""

        def ask() -> dict[str, Any] | None:
            answer = self.call("GET", f"/data/v1/async/{request}/status")
            # None at first: the request is not indexed yet.
            found = fields_of(answer).get("status")
            done = ("Complete", "Completed", "Error")
            if not isinstance(found, dict) or "hasErrors" not in found:
                return None
            return found if found.get("requestStatus") in done else None

        return self.wait(ask, seconds)

    def settle(self, request: str, seconds: float) -> bool:
        """Return whether a request is over; it cannot be called back."""
        return self.status(request, seconds) is not None

    def results(self, request: str) -> list[dict[str, Any]]:
        """Return all results, in whatever pages they come."""
        items: list[dict[str, Any]] = []
        number, count = 1, 1
        while len(items) < count:
            path = f"/data/v1/async/{request}/results?$page={number}&$pageSize=2500"
            page = fields_of(self.call("GET", path))
            got = listed(page.get("items"))
            if not got or page.get("page", number) != number:
                break
            items += got
            count = page["count"] if isinstance(page.get("count"), int) else len(items)
            number += 1
        return items

    @staticmethod
    def outcome(item: dict[str, Any]) -> Outcome:
        """Judge a result by its codes; its messages hold values."""
        if item.get("status") == "OK":
            return Outcome(True)
        errors = listed(item.get("errors"))
        texts = [str(each.get("errorMessage", "")) for each in errors]
        texts.append(str(item.get("message", "")))
        if any(text.rstrip().endswith("Rerun the transaction.") for text in texts):
            return Outcome(False, "deadlock", transient=True)
        ours = {column.sfmc.lower(): column.sfmc for column in COLUMNS}
        codes = [
            f"{word(each.get('errorCode', 'unknown'))}:"
            f"{ours.get(str(each.get('name', '')).lower(), 'unknown')}"
            for each in errors
        ]
        code = word(item.get("errorCode", "unknown"))
        return Outcome(False, ";".join(dict.fromkeys(codes)) or code)


class Crm(Transport):
    """Rows of a custom object, upserted by external id through Bulk API 2.0."""

    max_rows = 50_000
    max_bytes = 20_000_000  # simple-salesforce holds them several times
    is_keyed, key_flag = True, ("externalId", "an external id")

    def __init__(self, patience: Patience, key_length: int = KEY.length):
        super().__init__(patience, key_length)
        self.object = os.environ.get("SF_OBJECT", "Customer_Segment__c")
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
        with warnings.catch_warnings(), self.translated():
            warnings.simplefilter("ignore")  # they show the consumer key
            try:
                self.salesforce = Salesforce(session=self.session, **options)
            except (OSError, ValueError, PyJWTError) as error:
                if isinstance(error, requests.RequestException):
                    raise
                raise ConfigError("SF_PRIVATE_KEY_FILE cannot be read") from None
        host = str(self.salesforce.sf_instance)
        if not re.fullmatch(r"[\w.-]+\.salesforce\.com", host):
            raise LoginError("the token's answer names a host not Salesforce's")
        self.bulk = getattr(self.salesforce.bulk2, self.object)
        self.client = self.bulk._client
        self.client.DEFAULT_WAIT_TIMEOUT_SECONDS = self.patience.deadline

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn simple-salesforce's exceptions, which show values, into ours."""
        from simple_salesforce import exceptions as sf

        self.beat()
        try:
            yield
        except sf.SalesforceAuthenticationFailed as error:
            if isinstance(error.code, int) and error.code not in (400, 401, 403):
                raise UnavailableError(f"no login: HTTP {error.code}") from None
            raise LoginError(f"the login was refused: {word(error.code)}") from None
        except sf.SalesforceResourceNotFound:
            raise ConfigError(f"there is no object {self.object}") from None
        except sf.SalesforceError as error:
            raise UnavailableError(f"no answer but HTTP {error.status}") from None
        except sf.SalesforceOperationError:
            raise UnavailableError("a job failed") from None
        except requests.RequestException as error:
            raise UnavailableError(f"no answer: {type(error).__name__}") from None
        except (AttributeError, KeyError, TypeError):
            raise UnavailableError("an answer has an unknown shape") from None

    def check(self, create: bool = False) -> list[str]:
        """Compare the object with the columns; objects are created in Setup."""
        with self.translated():
            described = getattr(self.salesforce, self.object).describe()
            fields = {field["name"].lower(): field for field in described["fields"]}
        return list(self.misfits(fields))

    def count(self) -> int:
        """Return the number of rows that have a key."""
        query = f"SELECT COUNT() FROM {self.object} WHERE {KEY.crm} != null"
        with self.translated():
            return int(self.salesforce.query(query)["totalSize"])

    def read(self) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows that have a key, through a query job."""
        names = ", ".join(column.crm for column in COLUMNS)
        query = f"SELECT {names} FROM {self.object} WHERE {KEY.crm} != null"
        with self.translated():
            job = self.client.create_job("query", query)["id"]
            info = self.info(job, self.patience.deadline, is_query=True)
        if info is None or info["state"] != "JobComplete":
            raise UnavailableError("rows cannot be read: the query did not end")
        locator = "first"
        while locator:
            with self.translated():
                asked = "" if locator == "first" else locator
                page = self.client.get_query_results(job, asked, 10_000)
            locator = page["locator"]
            yield [
                {column.name: row.get(column.crm) for column in COLUMNS}
                for row in self.parse(page["records"])
            ]

    @staticmethod
    def encode(row: dict[str, Any]) -> bytes:
        """Return a row as a line of CSV."""
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(
            [Crm.cell(row[column.name]) for column in COLUMNS]
        )
        return line.getvalue().encode()

    @staticmethod
    def cell(value: Any) -> Any:
        """Return a value as CSV has it."""
        # An empty cell leaves a field as it is; this clears it.
        if value == "":
            return "#N/A"
        return str(value).lower() if isinstance(value, bool) else value

    def send(
        self, keys: list[str], lines: list[bytes], note: Callable[[str], None]
    ) -> list[Outcome]:
        """Run a job for the rows, anew when it is lost: an upsert bears repeating."""
        header = ",".join(column.crm for column in COLUMNS) + "\n"
        data = header + b"".join(lines).decode()
        job, info = "", None
        for attempt in range(ATTEMPTS):
            try:
                if attempt:
                    time.sleep(self.patience.pause * 2**attempt)
                    self.login()
                if job and not self.settle(job, self.patience.deadline):
                    raise UnavailableError("a job cannot be stopped")
                job = self.upload(data, note)
                info = self.info(job, self.patience.deadline)
                if info is None:
                    break
                if info["state"] == "JobComplete":
                    return self.outcomes(job, keys)
                if "InvalidBatch" in str(info.get("errorMessage")):
                    raise ConfigError("the job was refused: InvalidBatch")
                failure = UnavailableError(f"the job ended as {word(info['state'])}")
            except UnavailableError as error:
                failure = error
        if job and info is None and attempt < ATTEMPTS - 1:
            failure = UnavailableError("the rows were accepted, not worked off in time")
        raise failure

    def upload(self, data: str, note: Callable[[str], None]) -> str:
        """Hand rows over to a new job, whose id is noted before it has any."""
        with self.translated():
            job = self.client.create_job("upsert", external_id_field=KEY.crm)["id"]
            if not re.fullmatch(r"\w+", str(job)):
                raise UnavailableError("a job was made under no valid id")
        note(job)
        with self.translated():
            self.client.upload_job_data(job, data)
            self.client.close_job(job)
        return job

    def info(self, job: str, seconds: float, is_query: bool = False) -> Any:
        """Return what is known of a job once it is over."""

        def ask() -> Any:
            with self.translated():
                found = self.client.get_job(job, is_query)
                over = found["state"] in ("JobComplete", "Aborted", "Failed")
            return found if over else None

        return self.wait(ask, seconds)

    def settle(self, job: str, seconds: float) -> bool:
        """Abort a job that is not over, and wait until it is."""
        try:
            if self.info(job, 0) is None:
                with self.translated():
                    self.client.abort_job(job, False)
            return self.info(job, seconds) is not None
        except ConfigError:
            return True  # it is gone

    def outcomes(self, job: str, keys: list[str]) -> list[Outcome]:
        """Read what became of rows; results come in any order, matched by key."""
        found = dict.fromkeys(keys, Outcome(False, "unprocessed", transient=True))
        with self.translated():
            failed = self.bulk.get_failed_records(job)
            done = self.bulk.get_successful_records(job)
        for row in self.parse(failed):
            found[row.get(KEY.crm)] = self.outcome(str(row.get("sf__Error")))
        for row in self.parse(done):
            found[row.get(KEY.crm)] = Outcome(True)
        return [found[key] for key in keys]

    @staticmethod
    def parse(text: str) -> Iterator[dict[str, str]]:
        """Yield the rows of a result."""
        # newline='': a line break within a value stays in it.
        return csv.DictReader(io.StringIO(text, newline=""))

    @staticmethod
    def outcome(error: str) -> Outcome:
        """Judge CODE:text:FIELDS -- by its code and fields; its text holds values."""
        code = word(error.partition(":")[0])
        fields = [c.crm for c in COLUMNS if c.crm in error.rpartition(":")[2]]
        transient = code == "UNABLE_TO_LOCK_ROW"
        return Outcome(False, ":".join([code, *fields]), transient)

    def delete(self, keys: list[str]) -> list[str]:
        """Delete records for good, by their ids; return the keys still there."""

        def ids() -> dict[str, str]:
            escaped = (k.replace("\\", r"\\").replace("'", r"\'") for k in keys)
            quoted = [f"'{key}'" for key in escaped]
            query = f"SELECT Id, {KEY.crm} FROM {self.object} WHERE {KEY.crm} IN "
            with self.translated():
                found = self.salesforce.query(query + f"({', '.join(quoted)})")
                return {row["Id"]: row[KEY.crm] for row in found["records"]}

        if there := ids():
            with self.translated():
                rows = [{"Id": name} for name in there]
                self.bulk.delete(records=rows, wait=self.patience.pause)
        return list(ids().values()) if there else []


TRANSPORTS: dict[str, type] = {"crm": Crm, "sfmc": MarketingCloud}
