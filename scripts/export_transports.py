"""The two ways into Salesforce: Marketing Cloud by async rows, the CRM by Bulk API 2.0.

A transport encodes rows, sends a chunk of them and gives an outcome per row. It says ok
only of what the destination confirmed. What the destination writes in its errors may
hold customers' values, so nothing of it but codes and our own column names goes on.
"""

import csv
import io
import json
import os
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
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


class Column(NamedTuple):
    """A column as it is shipped; its type and length as Marketing Cloud names them."""

    name: str
    sfmc: str
    crm: str
    kind: str = "Text"
    length: int = 50


# All that may leave: columns of the delta that are not here, or missing, stop the run.
KEY = Column("customer_key", "CustomerKey", "Customer_Key__c", length=64)
COLUMNS = (
    KEY,
    Column("clv_segment", "ClvSegment", "Clv_Segment__c"),
    Column("rfm_segment", "RfmSegment", "Rfm_Segment__c"),
    Column("segment_since", "SegmentSince", "Segment_Since__c", length=10),
    Column("clv_365d", "Clv365d", "Clv_365d__c", length=20),
    Column(
        "probability_purchase_90d_pct",
        "ProbabilityPurchase90dPct",
        "Probability_Purchase_90d_Pct__c",
        "Number",
    ),
    Column("offer_cap", "OfferCap", "Offer_Cap__c", "Number"),
    Column("campaigns", "Campaigns", "Campaigns__c", length=255),
    Column("as_of_date", "AsOfDate", "As_Of_Date__c", length=10),
    Column("is_active", "IsActive", "Is_Active__c", "Boolean"),
)


class Outcome(NamedTuple):
    """What became of a row; a transient one may go through when it is sent again."""

    ok: bool
    code: str = "ok"
    transient: bool = False


class Patience(NamedTuple):
    """Seconds to wait: before the second try, for an answer, for a chunk."""

    pause: float
    timeout: float
    deadline: float


class Transport(Protocol):
    """A way into a destination."""

    max_rows: int
    max_bytes: int

    def login(self) -> None:
        """Get a token."""

    def check(self, create: bool = False) -> list[str]:
        """Return what of the destination's table does not fit, one sentence each."""

    @staticmethod
    def encode(row: dict[str, Any]) -> bytes:
        """Return a row as it is sent."""

    def send(self, keys: list[str], lines: list[bytes]) -> list[Outcome]:
        """Send rows and return the outcome of each."""


TRIES = 5
LONG_PAUSES = 15  # a block without a Retry-After is waited out this many pauses long
MAXIMUM_WAIT = 300.0


def secret(name: str, required: bool = True) -> str:
    """Return an environment variable, or what it names in Google's Secret Manager."""
    value = os.environ.get(name, "")
    if required and not value:
        raise ConfigError(f"environment variable {name} is not set")
    if value.startswith("sm://"):
        try:
            from google.cloud import secretmanager
        except ImportError:
            raise ConfigError(
                f"{name} names a secret: install google-cloud-secret-manager"
            ) from None
        project, _, key = value.removeprefix("sm://").partition("/")
        client = secretmanager.SecretManagerServiceClient()
        path = f"projects/{project}/secrets/{key}/versions/latest"
        value = client.access_secret_version(name=path).payload.data.decode().strip()
    return value


def word(text: object) -> str:
    """Return a code as it may be printed: a word, or nothing of it."""
    found = re.match(r"[A-Za-z0-9_]{1,60}(?![A-Za-z0-9_])", str(text))
    return found.group() if found else "unknown"


def own_host(url: str, ending: str) -> str:
    """Return an address that the destination gave us, if it is its own."""
    parts = urlsplit(str(url))
    if parts.scheme != "https" or not (parts.hostname or "").endswith(ending):
        raise LoginError("the token's answer names a host that is not Salesforce's")
    return f"https://{parts.hostname}"


def answer_json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except requests.JSONDecodeError:
        return {}


class Patient(HTTPAdapter):
    """Time limits, which simple-salesforce does not set, and UTF-8 for CSV."""

    def __init__(self, patience: Patience, **options: Any):
        self.patience = patience
        super().__init__(**options)

    def send(self, request: Any, **options: Any) -> requests.Response:
        """Send with a limit; text/csv without a charset would be read as Latin-1."""
        options["timeout"] = options.get("timeout") or self.patience.timeout
        answer = super().send(request, **options)
        if answer.headers.get("Content-Type", "").startswith("text/csv"):
            answer.encoding = "utf-8"
        return answer


class Http:
    """Requests that are tried again as long as there is hope."""

    def __init__(self, patience: Patience, retries: Retry | int = 0):
        self.patience = patience
        self.session = requests.Session()
        self.session.mount("https://", Patient(patience, max_retries=retries))

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        """Return an answer below 500 that is not 429.

        Raises:
            UnavailableError: after the last try.
        """
        code, answer = "", None
        for attempt in range(TRIES):
            if attempt:
                time.sleep(self.wait(attempt, answer))
            try:
                answer = self.session.request(method, url, **options)
            except requests.RequestException as error:
                code, answer = type(error).__name__, None
                continue
            if answer.status_code < 500 and answer.status_code != 429:
                return answer
            code = f"HTTP {answer.status_code}"
        raise UnavailableError(f"no answer after {TRIES} tries: {code}")

    def wait(self, attempt: int, answer: requests.Response | None) -> float:
        """Return seconds until the next try: what the answer says, else ever more."""
        pause = self.patience.pause * 2 ** (attempt - 1)
        if answer is not None:
            told = answer.headers.get("Retry-After", "")
            body = answer_json(answer)
            if not told and isinstance(body, dict):
                told = str(body.get("retryAfter", ""))
            if told.isdigit():
                return min(float(told), MAXIMUM_WAIT)
            if answer.status_code == 429:
                pause = self.patience.pause * LONG_PAUSES
        return min(pause, MAXIMUM_WAIT) * random.uniform(0.8, 1.2)


class MarketingCloud:
    """Rows of a data extension, upserted by the asynchronous REST API."""

    max_rows = 8_000  # at once, to save memory; the service takes 30,000
    max_bytes = 5_000_000

    def __init__(self, patience: Patience):
        self.http, self.patience = Http(patience), patience
        self.key = os.environ.get("SFMC_DATA_EXTENSION", "clv_segments")
        self.path = f"/data/v1/async/dataextensions/key:{quote(self.key, safe='')}/rows"
        self.subdomain = secret("SFMC_SUBDOMAIN")
        # Before it becomes part of an address: else a secret could go anywhere.
        if not re.fullmatch(r"[A-Za-z0-9-]+", self.subdomain):
            raise ConfigError("SFMC_SUBDOMAIN may hold letters, digits and - only")
        self.token, self.expires = "", 0.0

    def login(self) -> None:
        """Get a token; its answer says where to go with it."""
        body = {
            "grant_type": "client_credentials",
            "client_id": secret("SFMC_CLIENT_ID"),
            "client_secret": secret("SFMC_CLIENT_SECRET"),
        }
        if account := secret("SFMC_ACCOUNT_ID", required=False):
            body["account_id"] = account
        host = f"https://{self.subdomain}.auth.marketingcloudapis.com"
        started = time.monotonic()
        answer = self.http.call("POST", f"{host}/v2/token", json=body)
        found = answer_json(answer)
        if answer.status_code in (400, 401, 403):
            raise LoginError(f"the login was refused: {word(found.get('error'))}")
        if not isinstance(found, dict) or "access_token" not in found:
            raise UnavailableError("the login gave no token")
        self.token = found["access_token"]
        self.host = own_host(
            found.get("rest_instance_url"), ".rest.marketingcloudapis.com"
        )
        lifetime = float(found.get("expires_in", 1079))
        self.expires = started + lifetime - min(60.0, lifetime / 2)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Make a call with a token that holds, renewed once when it does not."""
        for renewed in (False, True):
            if renewed or time.monotonic() >= self.expires:
                self.login()
            headers = {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            }
            answer = self.http.call(
                method, self.host + path, headers=headers, **options
            )
            if answer.status_code != 401:
                break
        if answer.status_code in (401, 403):
            raise LoginError(
                f"the call was refused: HTTP {answer.status_code}, "
                f"code {word(answer_json(answer).get('errorcode'))}"
            )
        return answer

    def check(self, create: bool = False) -> list[str]:
        """Compare the data extension with the template, or create it."""
        search = f"/data/v1/customobjects?$search={quote(self.key, safe='')}"
        items = answer_json(self.call("GET", search)).get("items", [])
        found = next((each for each in items if each.get("key") == self.key), None)
        if found is None and create:
            answer = self.call("POST", "/data/v1/customobjects", json=self.template())
            if answer.status_code != 201:
                code = word(answer_json(answer).get("errorcode"))
                return [f"data extension {self.key} could not be created: code {code}"]
            return []
        if found is None:
            return [f"there is no data extension {self.key}: --check --create makes it"]
        answer = self.call("GET", f"/data/v1/customobjects/{quote(found['id'])}/fields")
        fields = {
            str(field["name"]).lower(): field
            for field in answer_json(answer).get("fields", [])
        }
        return list(self.misfits(fields))

    def misfits(self, fields: dict[str, dict]) -> Iterator[str]:
        """Say what does not fit of the extension's columns."""
        for column in COLUMNS:
            field = fields.pop(column.sfmc.lower(), None)
            if field is None:
                yield f"column {column.sfmc} is missing"
                continue
            if field.get("type") != column.kind:
                yield f"column {column.sfmc} is not of type {column.kind}"
            if column.kind == "Text" and int(field.get("length") or 0) < column.length:
                yield f"column {column.sfmc} holds less than {column.length} characters"
            if column is KEY and not field.get("isPrimaryKey"):
                yield f"column {column.sfmc} is not the primary key"
        for name, field in fields.items():
            if field.get("isPrimaryKey") or field.get("isNullable") is False:
                yield f"column {name} is required and unknown to the export"

    def template(self) -> dict[str, Any]:
        """Return the data extension as it is created."""
        fields = [
            {
                "name": column.sfmc,
                "type": column.kind,
                "isNullable": column is not KEY,
                "isPrimaryKey": column is KEY,
                "ordinal": ordinal,
            }
            | ({"length": column.length} if column.kind == "Text" else {})
            for ordinal, column in enumerate(COLUMNS)
        ]
        return {
            "name": self.key,
            "key": self.key,
            "isSendable": True,
            "sendableCustomObjectField": KEY.sfmc,
            "sendableSubscriberField": "_SubscriberKey",
            "fields": fields,
        }

    @staticmethod
    def encode(row: dict[str, Any]) -> bytes:
        """Return a row as JSON."""
        body = {column.sfmc: row[column.name] for column in COLUMNS}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    def send(self, keys: list[str], lines: list[bytes]) -> list[Outcome]:
        """Submit, wait until it is done, and read the outcome of every row."""
        body = b'{"items":[' + b",".join(lines) + b"]}"
        answer = self.call("PUT", self.path, data=body)
        found = answer_json(answer)
        faults = [
            word(message.get("resultCode"))
            for message in found.get("resultMessages") or []
            if message.get("resultClass") == "Error"
        ]
        request = str(found.get("requestId", ""))
        if answer.status_code >= 300 or faults or not request:
            code = faults[0] if faults else word(found.get("errorcode"))
            raise ConfigError(f"the rows were refused: {code}")
        if not re.fullmatch(r"[A-Za-z0-9-]+", request):
            raise UnavailableError("the rows were accepted under no valid id")
        status = self.wait_for(request)
        if status["requestStatus"].startswith("Complete") and not status["hasErrors"]:
            return [Outcome(True)] * len(keys)
        items = self.results(request)
        if len(items) != len(keys):
            raise UnavailableError(
                f"{len(items)} results for {len(keys)} rows: outcomes unknown"
            )
        return [self.outcome(item) for item in items]

    def wait_for(self, request: str) -> dict[str, Any]:
        """Return the status of a request that is done."""
        deadline = time.monotonic() + self.patience.deadline
        # Soon at first, for a chunk may be done at once, then less and less often.
        pause = self.patience.pause / 40
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 2, 10)
            answer = self.call("GET", f"/data/v1/async/{request}/status")
            # None at first: the request is not indexed yet.
            status = answer_json(answer).get("status") or {}
            done = ("Complete", "Completed", "Error")
            if status.get("requestStatus") in done and "hasErrors" in status:
                return status
        raise UnavailableError("the rows were accepted and not worked off in time")

    def results(self, request: str) -> list[dict[str, Any]]:
        """Return all results, in whatever pages they come."""
        items: list[dict[str, Any]] = []
        number, count = 1, 1
        while len(items) < count:
            path = f"/data/v1/async/{request}/results?$page={number}&$pageSize=2500"
            page = answer_json(self.call("GET", path))
            got = page.get("items") or []
            if not got or page.get("page", number) != number:
                break
            items += got
            number, count = number + 1, page.get("count", len(items))
        return items

    @staticmethod
    def outcome(item: dict[str, Any]) -> Outcome:
        """Judge a result by its codes; its messages hold values."""
        if item.get("status") == "OK":
            return Outcome(True)
        errors = item.get("errors") or []
        texts = [str(e.get("errorMessage", "")) for e in errors]
        texts.append(str(item.get("message", "")))
        if any(text.rstrip().endswith("Rerun the transaction.") for text in texts):
            return Outcome(False, "deadlock", transient=True)
        ours = {column.sfmc.lower(): column.sfmc for column in COLUMNS}
        codes = [
            word(error.get("errorCode"))
            + ":"
            + ours.get(str(error.get("name", "")).lower(), "unknown")
            for error in errors
        ]
        return Outcome(False, ";".join(dict.fromkeys(codes)) or word(item["errorCode"]))


class Crm:
    """Rows of a custom object, upserted by external id through Bulk API 2.0."""

    max_rows = 50_000  # simple-salesforce holds them twice
    max_bytes = 50_000_000
    attempts = 3

    def __init__(self, patience: Patience):
        # POST creates a job or a token: not repeated below the level that knows which.
        retries = Retry(
            total=TRIES,
            backoff_factor=patience.pause / 2,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods={"GET", "PUT", "PATCH"},
            raise_on_status=False,
        )
        self.http, self.patience = Http(patience, retries), patience
        self.object = os.environ.get("SF_OBJECT", "Customer_Segment__c")
        self.domain = secret("SF_DOMAIN")
        if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", self.domain):
            raise ConfigError("SF_DOMAIN is a name such as acme.my, without https://")
        if not re.fullmatch(r"\w+", self.object):
            raise ConfigError("SF_OBJECT is a name such as Customer_Segment__c")

    def login(self) -> None:
        """Get a session, with a client's secret or a key."""
        # simple-salesforce would log in without a time limit.
        from simple_salesforce import Salesforce

        host = f"https://{self.domain}.salesforce.com"
        if secret("SF_CONSUMER_SECRET", required=False):
            form = {
                "grant_type": "client_credentials",
                "client_id": secret("SF_CONSUMER_KEY"),
                "client_secret": secret("SF_CONSUMER_SECRET"),
            }
        else:
            form = {
                "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "assertion": self.assertion(host),
            }
        answer = self.http.call("POST", f"{host}/services/oauth2/token", data=form)
        found = answer_json(answer)
        if answer.status_code >= 400:
            raise LoginError(f"the login was refused: {word(found.get('error'))}")
        if "access_token" not in found:
            raise UnavailableError("the login gave no token")
        instance = own_host(found.get("instance_url"), ".salesforce.com")
        self.salesforce = Salesforce(
            session_id=found["access_token"],
            instance_url=instance,
            session=self.http.session,
        )

    @staticmethod
    def assertion(host: str) -> str:
        """Return a claim to be a user, signed with the key (JWT bearer flow)."""
        import jwt

        user = secret("SF_USERNAME")
        try:
            key = Path(secret("SF_PRIVATE_KEY_FILE")).read_text()
        except OSError:
            raise ConfigError("SF_PRIVATE_KEY_FILE cannot be read") from None
        claims = {
            "iss": secret("SF_CONSUMER_KEY"),
            "sub": user,
            "aud": "https://test.salesforce.com"
            if "sandbox" in host or host.startswith("https://test.")
            else "https://login.salesforce.com",
            "exp": int(time.time()) + 180,
        }
        return jwt.encode(claims, key, algorithm="RS256")

    def check(self, create: bool = False) -> list[str]:
        """Compare the object with the columns; objects are created in Setup."""
        from simple_salesforce.exceptions import SalesforceError

        try:
            described = getattr(self.salesforce, self.object).describe()
        except SalesforceError as error:
            return [f"object {self.object} cannot be described: HTTP {error.status}"]
        except requests.RequestException as error:
            raise UnavailableError(f"no answer: {type(error).__name__}") from None
        fields = {field["name"]: field for field in described["fields"]}
        return list(self.misfits(fields))

    @staticmethod
    def misfits(fields: dict[str, dict]) -> Iterator[str]:
        """Say what does not fit of the object's fields."""
        for column in COLUMNS:
            field = fields.get(column.crm)
            if field is None:
                yield f"field {column.crm} is missing, or not visible to this user"
                continue
            if not field.get("updateable"):
                yield f"field {column.crm} may not be written"
            if column.kind == "Text" and field.get("length", 0) < column.length:
                yield f"field {column.crm} holds less than {column.length} characters"
            if column is KEY and not field.get("externalId"):
                yield f"field {column.crm} is not an external id"

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

    def send(self, keys: list[str], lines: list[bytes]) -> list[Outcome]:
        """Run a job for the rows, anew when it is lost: an upsert bears repeating."""
        from simple_salesforce import exceptions as sf

        header = ",".join(column.crm for column in COLUMNS).encode() + b"\n"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.csv"
            path.write_bytes(header + b"".join(lines))
            for attempt in range(1, self.attempts + 1):
                try:
                    return self.job(str(path), keys)
                except sf.SalesforceResourceNotFound:
                    raise ConfigError(f"there is no object {self.object}") from None
                except sf.SalesforceOperationError as error:
                    if "InvalidBatch" in str(error):
                        raise ConfigError("the job was refused: InvalidBatch") from None
                    code = "job failed"
                except sf.SalesforceError as error:
                    code = f"HTTP {getattr(error, 'status', 'unknown')}"
                except requests.RequestException as error:
                    code = type(error).__name__
                if attempt < self.attempts:
                    time.sleep(self.patience.pause * 2**attempt)
                    self.login()
        raise UnavailableError(f"no job succeeded in {self.attempts} tries: {code}")

    def job(self, path: str, keys: list[str]) -> list[Outcome]:
        """Run one job; results come in any order, matched by key."""
        bulk = getattr(self.salesforce.bulk2, self.object)
        bulk._client.DEFAULT_WAIT_TIMEOUT_SECONDS = self.patience.deadline
        job = bulk.upsert(
            csv_file=path,
            external_id_field=KEY.crm,
            wait=self.patience.pause,
        )[0]["job_id"]
        outcomes = dict.fromkeys(keys, Outcome(False, "unprocessed", transient=True))
        for row in self.read(bulk.get_failed_records(job)):
            outcomes[row[KEY.crm]] = self.outcome(row["sf__Error"])
        for row in self.read(bulk.get_successful_records(job)):
            outcomes[row[KEY.crm]] = Outcome(True)
        return [outcomes[key] for key in keys]

    @staticmethod
    def read(text: str) -> Iterator[dict[str, str]]:
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


TRANSPORTS: dict[str, type] = {"crm": Crm, "sfmc": MarketingCloud}
