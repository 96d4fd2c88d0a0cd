"""Marketing Cloud and Salesforce on this machine, as far as the export meets them.

An HTTPS proxy that answers for their hosts with a certificate of a throw-away
authority: clients keep their real addresses and their checks of certificates, and need
HTTPS_PROXY and the authority's file (see `StandIn.environment`) only.

What is accepted is worked off later, by a worker of its own: `StandIn.late` says when,
and so in which order. Where the truth is unknown, the stricter reading holds.

Wire formats, limits and refusals follow Salesforce's documentation and what clients in
production were seen to meet. Inferred, for want of a tenant: the message of a value
that is too long in results, MaxItemsExceeded, the answer to a bad scope, the wording of
sf__Error and CRM error codes other than INVALID_SESSION_ID, case-insensitive columns
and keys, Number as 32 bits, that an empty text blanks a number, and the code of a data
extension that lacks a property when it is created.

Faults are injected here, never in the client: `StandIn.fault`.
"""

# ruff: noqa: D102

import base64
import contextlib
import csv
import heapq
import io
import itertools
import json
import random
import re
import secrets
import ssl
import tempfile
import threading
import time
import urllib.parse
import uuid
import xml.etree.ElementTree as ET
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import trustme

HOSTS = (
    "*.salesforce.com",
    "*.my.salesforce.com",
    "*.auth.marketingcloudapis.com",
    "*.rest.marketingcloudapis.com",
    "*.soap.marketingcloudapis.com",
)
CLIENT_ID, CLIENT_SECRET = "client-id-canary", "client-secret-canary"
SCOPE = "offline data_extensions_read data_extensions_write"
NUMBERS = ("Number", "Decimal")
FLAGS = ("isNullable", "isPrimaryKey", "isTemplateField", "isHidden", "isReadOnly")
FLAGS += ("isInheritable", "isOverridable", "mustOverride")
API = "/services/data/v59.0"


class Request(NamedTuple):
    """A request as it was received."""

    method: str
    host: str
    path: str
    body: bytes

    @property
    def is_write(self):
        return self.method != "GET" and not self.path.endswith("/token")


class Answer(Exception):  # noqa: N818
    """An answer that ends the handling of a request."""

    def __init__(self, status, body=None, headers=None):
        self.status, self.headers = status, dict(headers or {})
        if isinstance(body, dict | list):
            self.headers.setdefault("Content-Type", "application/json;charset=UTF-8")
            body = json.dumps(body)
        self.body = body.encode() if isinstance(body, str) else body or b""


def refuse(status, code, message):
    raise Answer(status, {"message": message, "errorcode": code, "documentation": ""})


class DataExtension:
    """A table of Marketing Cloud: names of columns and keys regard no case."""

    def __init__(self, key, fields):
        self.key, self.id = key, str(uuid.uuid4())
        self.is_sendable, self.found_at = False, 0.0
        self.fields = {field["name"].lower(): field for field in fields}
        self.keys = [n for n, f in self.fields.items() if f.get("isPrimaryKey")]
        self.required = [
            name
            for name, field in self.fields.items()
            if name in self.keys or field.get("isNullable") is False
        ]
        self.rows = {}

    def write(self, item, is_insert):
        """Upsert or insert one row; the result as the API words it."""
        if not self.keys:
            return error("This Data Extension does not have any primary keys defined.")
        row = {name.lower(): value for name, value in item.items()}
        key = tuple(str(row.get(name)).lower() for name in self.keys)
        merged = {**self.rows.get(key, dict.fromkeys(self.fields)), **row}
        errors = []
        for name, value in row.items():
            field = self.fields.get(name)
            if field is None:
                errors.append((name, 10001, f"Column [{name}] does not exist."))
            elif problem := self.problem(field, value):
                errors.append((name, 70001, f"Column [{name}] {problem}: {value}"))
        for name in self.required:
            if merged[name] in (None, ""):
                text = f"Column [{name}] does not allow null value."
                errors.append((name, 70001, text))
        if errors:
            return error("Required keys are missing.", errors)
        if key in self.rows and is_insert:
            return error(
                "Violation of PRIMARY KEY constraint 'PK_C1'. "
                f"The duplicate key value is ({key[0]})."
            )
        self.rows[key] = merged
        return {"message": "Upserted DataExtensionObject", "status": "OK"}

    @staticmethod
    def problem(field, value):
        kind = field["type"]
        if value is None or value == "":
            return None
        if kind == "Text" and len(str(value)) > int(field.get("length", 50)):
            return "exceeds the column's maximum length"
        if kind == "Boolean" and not isinstance(value, bool):
            return "is not a boolean"
        if kind in NUMBERS and type(value) not in (int, float):
            return "is not a number"
        if kind == "Number" and not -(2**31) <= value < 2**31:
            return "is out of range"
        return None


def sorted_as(field, name):
    """How rows are sorted by a column: numbers as numbers."""
    if field["type"] in (*NUMBERS, "double"):
        return lambda row: float(row[name] or 0)
    return lambda row: str(row[name] or "")


def error(message, errors=()):
    listed = [
        {"errorMessage": text, "name": name, "errorCode": code}
        for name, code, text in errors
    ]
    return {"errorCode": 2, "errors": listed, "message": message, "status": "Error"}


class CustomObject:
    """A custom object of Salesforce, with an external id."""

    def __init__(self, name, fields, external_id):
        self.name, self.external_id = name, external_id
        self.fields = {field["name"]: field for field in fields}
        self.rows = {}

    def upsert(self, row):
        """Write one row of a CSV file; None, or the error as sf__Error words it."""
        key = row.get(self.external_id)
        if not key:
            return f"REQUIRED_FIELD_MISSING:Required:{self.external_id} --"
        for name, value in row.items():
            limit = self.fields[name].get("length")
            if value and limit and value != "#N/A" and len(value) > limit:
                return (
                    f"STRING_TOO_LONG:{name}: data value too large: {value}:{name} --"
                )
            if self.fields[name]["type"] == "double" and value not in ("", "#N/A"):
                try:
                    float(value)
                except ValueError:
                    return f"INVALID_TYPE_ON_FIELD_IN_RECORD:{value}:{name} --"
        known = self.rows.setdefault(key, dict.fromkeys(self.fields))
        for name, value in row.items():
            if value == "#N/A":
                known[name] = None
            elif value != "":
                known[name] = value
        return None


class StandIn:
    """Both services, their state and their faults.

    Attributes:
        requests: every request, in order.
        extensions: data extensions by key.
        objects: custom objects by name.
        lag: polls answered "not found", then "pending", before a request is shown.
        late: seconds after which a request is worked off, at least and at most; one
            that was accepted later may be worked off earlier.
        is_shuffled: results come in any order.
        search_lag: seconds until a new data extension can be found.
        poison: (regular expression on a request's rows, answer): it is refused whole.
        lifetime: seconds a token holds.
        page: most results in one answer.
        row_faults: (regular expression on a row's JSON or CSV key, message, times).
    """

    def __init__(self):
        self.requests, self.faults = [], []
        self.extensions, self.objects = {}, {}
        self.lag, self.lifetime, self.page = (1, 1), 1079, 50
        self.maximum_items, self.maximum_bytes = 30_000, 5_900_000
        self.late, self.is_shuffled, self.search_lag = (0.0, 0.0), False, 0.0
        self.poison, self.row_faults = None, []
        self.csv_charset, self.truncate_results = False, 0
        self.jobs, self.tokens, self.connections = {}, {}, set()
        self.lock = threading.RLock()
        self.queue, self.numbers = [], itertools.count()
        self.queued, self.is_stopped = threading.Condition(self.lock), False
        self.folder = tempfile.TemporaryDirectory()
        authority = trustme.CA()
        self.authority = Path(self.folder.name) / "authority.pem"
        authority.cert_pem.write_to_path(self.authority)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(self.context)
        handler = type("Bound", (Handler,), {"stand_in": self})
        self.server = Server(("127.0.0.1", 0), handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        threading.Thread(target=self.work, daemon=True).start()
        return self

    def __exit__(self, *_):
        with self.lock:
            self.is_stopped = True
            self.queued.notify()
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def enqueue(self, task):
        """Have it done by the worker, or at once if nothing is late."""
        if not any(self.late):
            return task()
        due = time.monotonic() + random.uniform(*self.late)
        heapq.heappush(self.queue, (due, next(self.numbers), task))
        return self.queued.notify()

    def work(self):
        with self.lock:
            while not self.is_stopped:
                left = self.queue[0][0] - time.monotonic() if self.queue else None
                if left is None or left > 0:
                    self.queued.wait(left)
                else:
                    heapq.heappop(self.queue)[2]()

    @property
    def environment(self):
        """What a client must find in its environment to get here."""
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        authority = str(self.authority)
        return {
            "HTTPS_PROXY": address,
            "https_proxy": address,
            "NO_PROXY": "",
            "no_proxy": "",
            "REQUESTS_CA_BUNDLE": authority,
            "SSL_CERT_FILE": authority,
            "NODE_EXTRA_CA_CERTS": authority,
            "SFMC_SUBDOMAIN": "mc0123456789abcdefghijklmnop",
            "SFMC_CLIENT_ID": CLIENT_ID,
            "SFMC_CLIENT_SECRET": CLIENT_SECRET,
            "SFMC_ACCOUNT_ID": "7000001",
            "SFMC_FOLDER_ID": "123",
            "SF_DOMAIN": "acme.my",
            "SF_CONSUMER_KEY": CLIENT_ID,
            "SF_CONSUMER_SECRET": CLIENT_SECRET,
        }

    def fault(self, match, status=None, body=None, times=1, skip=0, **more):
        """Answer the next requests that match "METHOD host/path" with a fault.

        Args:
            match: a regular expression.
            status: of the answer; None answers rightly, but see `more`.
            body: of the answer.
            times: how often.
            skip: how many pass before.
            more: headers; delay in seconds, once the work is done; drop: "before" or
                "after" the work is done, the connection is cut.
        """
        fault = {"match": re.compile(match), "status": status, "body": body}
        self.faults.append(fault | {"times": times, "skip": skip, "drop": None} | more)

    def injected(self, request):
        name = f"{request.method} {request.host}{request.path}"
        with self.lock:
            for fault in self.faults:
                if fault["times"] and fault["match"].search(name):
                    if fault["skip"]:
                        fault["skip"] -= 1
                        continue
                    fault["times"] -= 1
                    return fault
        return None

    def fault_of_row(self, text):
        for fault in self.row_faults:
            if fault[2] and re.search(fault[0], text):
                fault[2] -= 1
                return fault[1]
        return None

    def answer(self, request):
        """Return the answer to a request."""
        try:
            with self.lock:
                parts = urllib.parse.urlsplit(request.path)
                query = dict(urllib.parse.parse_qsl(parts.query))
                path = urllib.parse.unquote(parts.path)
                if request.host.endswith(".salesforce.com"):
                    self.crm(request, path)
                elif ".auth." in request.host:
                    self.token(request, path)
                elif ".soap." in request.host:
                    self.soap(request)
                else:
                    self.rest(request, path, query)
                refuse(404, 30003, "Not found")
        except Answer as answer:
            return answer

    # Marketing Cloud.

    def token(self, request, path):
        if (request.method, path) != ("POST", "/v2/token"):
            refuse(404, 30003, "Not found")
        if request.body.startswith(b"{"):
            form = json.loads(request.body)
        else:
            form = dict(urllib.parse.parse_qsl(request.body.decode()))
        if form.get("grant_type") != "client_credentials":
            raise Answer(400, {"error": "unsupported_grant_type"})
        if set(form.get("scope", SCOPE).split()) - set(SCOPE.split()):
            raise Answer(400, {"error": "invalid_scope"})
        if (form.get("client_id"), form.get("client_secret")) != (
            CLIENT_ID,
            CLIENT_SECRET,
        ):
            text = (
                "Client authentication failed. Make sure that the client ID is valid."
            )
            raise Answer(401, {"error": "invalid_client", "error_description": text})
        subdomain = request.host.split(".")[0]
        raise Answer(
            200,
            {
                "access_token": self.new_token(),
                "token_type": "Bearer",
                "expires_in": getattr(self, "lifetime_told", self.lifetime),
                "scope": SCOPE,
                "soap_instance_url": f"https://{subdomain}.soap.marketingcloudapis.com/",
                "rest_instance_url": f"https://{subdomain}.rest.marketingcloudapis.com/",
            },
        )

    def new_token(self):
        token = f"token-canary-{secrets.token_hex(8)}"
        self.tokens[token] = time.monotonic() + self.lifetime
        return token

    def holds(self, token):
        return self.tokens.get(token, 0) > time.monotonic()

    def rest(self, request, path, query):
        if not self.holds(request_token(request)):
            refuse(401, 0, "Not Authorized")
        method = request.method
        if found := re.fullmatch(r"/data/v1/async/dataextensions/key:(.+)/rows", path):
            self.submit(request, found[1], method == "POST")
        if found := re.fullmatch(r"/data/v1/async/([\w-]+)/(status|results)", path):
            getattr(self, found[2])(found[1], query)
        if found := re.fullmatch(r"/hub/v1/dataevents/key:(.+)/rowset", path):
            self.rowset(request, found[1])
        if found := re.fullmatch(r"/data/v1/customobjectdata/key/(.+)/rowset", path):
            self.read_rows(found[1], query)
        if path == "/data/v1/customobjects":
            if method == "POST":
                self.create(json.loads(request.body))
            wanted = query.get("$search", "").lower()
            items = [
                self.described(one)
                for one in self.extensions.values()
                if wanted in one.key.lower() and time.monotonic() >= one.found_at
            ]
            raise Answer(200, {"count": len(items), "page": 1, "items": items})
        if found := re.fullmatch(
            r"/data/v1/customobjects/([\w-]+)(?:/(fields|cleardata))?", path
        ):
            one = next((e for e in self.extensions.values() if e.id == found[1]), None)
            if one is None:
                refuse(404, 30003, "Not found")
            if found[2] == "cleardata":
                one.rows.clear()
                raise Answer(200, {})
            if found[2] == "fields":
                raise Answer(200, {"id": one.id, "fields": list(one.fields.values())})
            if method == "PATCH":
                body = json.loads(request.body)
                if body.get("sendableSubscriberField") != "Subscriber Key":
                    refuse(400, 10001, "Parameter sendableSubscriberField is invalid.")
                if body.get("sendableCustomObjectField", "").lower() not in one.fields:
                    refuse(400, 10001, "Parameter sendableCustomObjectField is invalid")
                one.is_sendable = body["isSendable"]
            raise Answer(200, self.described(one))

    @staticmethod
    def described(one):
        names = {"id": one.id, "key": one.key, "name": one.key}
        return names | {"rowCount": len(one.rows), "isSendable": one.is_sendable}

    def extension(self, key):
        found = self.extensions.get(key)
        if found is None:
            message = (
                "Failed to resolve the Custom Object from the ObjectReferenceIdentifier"
            )
            raise Answer(400, messages("Validation", "CustomObjectNotFound", message))
        return found

    def create(self, body):
        """Make a data extension, of whose properties every one must be there."""
        for name in ("name", "key", "categoryId", "isSendable", "fields"):
            if name not in body:
                refuse(400, 10002, f"Parameter {name} is required.")
        for field in body["fields"]:
            for name in ("name", "type", "ordinal", *FLAGS):
                if name not in field:
                    refuse(400, 10002, f"Parameter {name} is required.")
        if body["isSendable"] or type(body["categoryId"]) is not int:
            refuse(400, 10001, "Parameter isSendable or categoryId is invalid.")
        if len(body["key"]) > 36:
            refuse(400, 10001, "Parameter {key} is invalid.")
        one = self.extensions[body["key"]] = DataExtension(body["key"], body["fields"])
        one.found_at = time.monotonic() + self.search_lag
        raise Answer(201, self.described(one))

    def submit(self, request, key, is_insert):
        extension = self.extension(key)
        if len(request.body) > self.maximum_bytes:
            raise Answer(413, {"message": "Request entity too large"})
        try:
            items = json.loads(request.body)["items"]
        except (ValueError, KeyError, TypeError):
            refuse(400, 10003, "Unable to deserialize the body.")
        if any("keys" in item or "values" in item for item in items):
            refuse(400, 10003, "Error converting value: unexpected member keys.")
        if len(items) > self.maximum_items:
            raise Answer(
                400, messages("Validation", "MaxItemsExceeded", "Too many items")
            )
        if self.poison and re.search(self.poison[0], request.body.decode()):
            raise self.poison[1]
        number = str(uuid.uuid4())
        job = self.jobs[number] = {"lag": list(self.lag), "results": None}
        self.enqueue(lambda: self.work_off(job, extension, items, is_insert))
        raise Answer(202, {"requestId": number, "resultMessages": []})

    def work_off(self, job, extension, items, is_insert):
        job["results"] = []
        for item in items:
            message = self.row_faults and self.fault_of_row(json.dumps(item))
            job["results"].append(
                error(message) if message else extension.write(item, is_insert)
            )
        if self.is_shuffled:
            random.shuffle(job["results"])

    def status(self, number, _):
        job = self.jobs.get(number)
        if job is None or job["lag"][0] > 0:
            if job:
                job["lag"][0] -= 1
            text = "Unable to locate an Async Request Status Record for the RequestId"
            raise Answer(
                200, messages("Operational", "AsyncRequestStatusNotFound", text)
            )
        status = {"callDateTime": "2024-07-11T22:19:02.04", "requestId": number}
        if job["lag"][1] > 0 or job["results"] is None:
            job["lag"][1] -= 1
            status |= {
                "hasErrors": False,
                "requestStatus": "Pending",
                "resultStatus": "OK",
            }
        else:
            bad = any(r["status"] != "OK" for r in job["results"]) or bool(
                self.truncate_results
            )
            status |= {
                "hasErrors": bad,
                "requestStatus": "Complete",
                "resultStatus": "Has Errors" if bad else "OK",
                "completionDateTime": "2024-07-11T22:19:03.97",
            }
        answer = {
            "status": status,
            "requestId": str(uuid.uuid4()),
            "resultMessages": [],
        }
        raise Answer(200, answer)

    def results(self, number, query):
        job = self.jobs.get(number)
        if job is None or job["results"] is None:
            text = "Unable to locate an Async Request Status Record for the RequestId"
            raise Answer(
                200, messages("Operational", "AsyncRequestStatusNotFound", text)
            )
        every = job["results"]
        every = every[: len(every) - self.truncate_results]
        size = min(int(query.get("$pageSize", 50)), self.page)
        page = int(query.get("$page", 1))
        body = {
            "page": page,
            "pageSize": size,
            "count": len(every),
            "items": every[(page - 1) * size : page * size],
            "requestId": str(uuid.uuid4()),
            "resultMessages": [],
        }
        raise Answer(200, body)

    def rowset(self, request, key):
        """Write synchronously: rows before the first bad one are kept, none after."""
        extension = self.extension(key)
        rows = json.loads(request.body)
        for row in rows:
            result = extension.write({**row["keys"], **row["values"]}, False)
            if result["status"] != "OK":
                texts = [e["errorMessage"] for e in result.get("errors", [])]
                raise Answer(
                    400,
                    {
                        "message": "Unable to save rows for data extension",
                        "errorcode": 10006,
                        "documentation": "",
                        "additionalErrors": [
                            {"message": text, "errorcode": 10000, "documentation": ""}
                            for text in texts
                        ],
                    },
                )
        raise Answer(200, rows)

    def read_rows(self, key, query):
        """Read rows back: names come in lower case."""
        extension = self.extension(key)
        size = int(query.get("$pagesize", 50))
        page = int(query.get("$page", 1))
        rows = list(extension.rows.values())
        if wanted := query.get("$filter"):
            found = re.fullmatch(r"(\w+) eq '(.*)'", wanted)
            if found is None or found[1].lower() not in extension.fields:
                refuse(400, 10003, "Parameter $filter is invalid.")
            name, text = found[1].lower(), found[2].replace("''", "'").lower()
            rows = [row for row in rows if str(row[name]).lower() == text]
        if order := query.get("$orderBy"):
            found = re.fullmatch(r"(\w+) desc", order)
            if found is None or found[1].lower() not in extension.fields:
                refuse(400, 10003, "Parameter $orderBy is invalid.")
            field = extension.fields[found[1].lower()]
            rows.sort(key=sorted_as(field, found[1].lower()), reverse=True)
        items = [
            {
                "keys": {name: row[name] for name in extension.keys},
                "values": {n: v for n, v in row.items() if n not in extension.keys},
            }
            for row in rows[(page - 1) * size : page * size]
        ]
        body = {"count": len(rows), "page": page, "pageSize": size, "items": items}
        raise Answer(200, {"requestToken": str(uuid.uuid4()), **body})

    def soap(self, request):
        """Delete rows of a data extension, the documented way."""
        root = ET.fromstring(request.body)
        texts = {e.tag.rpartition("}")[2]: (e.text or "") for e in root.iter()}
        if not self.holds(texts.get("fueloauth", "")):
            fault = "<soap:Fault><faultstring>Login Failed</faultstring></soap:Fault>"
            raise Answer(500, envelope(fault), {"Content-Type": "text/xml"})
        results, overall = [], "OK"
        for one in root.iter("{http://exacttarget.com/wsdl/partnerAPI}Objects"):
            spoken = {e.tag.rpartition("}")[2]: (e.text or "") for e in one.iter()}
            extension = self.extensions.get(spoken.get("CustomerKey", ""))
            gone = extension and extension.rows.pop((spoken["Value"].lower(),), None)
            code = "OK" if gone else "Error"
            overall = overall if gone else "Has Errors"
            results.append(f"<Results><StatusCode>{code}</StatusCode></Results>")
        body = (
            '<DeleteResponse xmlns="http://exacttarget.com/wsdl/partnerAPI">'
            f"{''.join(results)}<OverallStatus>{overall}</OverallStatus></DeleteResponse>"
        )
        raise Answer(200, envelope(body), {"Content-Type": "text/xml; charset=utf-8"})

    # Salesforce.

    def crm(self, request, path):
        if path == "/services/oauth2/token":
            self.crm_token(request)
        if path.startswith("/services/Soap/u/"):
            self.crm_soap_login(request)
        if not self.holds(request_token(request)):
            text = "Session expired or invalid"
            raise Answer(401, [{"errorCode": "INVALID_SESSION_ID", "message": text}])
        if found := re.fullmatch(rf"{API}/sobjects/(\w+)/describe", path):
            one = self.custom_object(found[1])
            raise Answer(200, {"name": one.name, "fields": list(one.fields.values())})
        if path == f"{API}/jobs/ingest" and request.method == "POST":
            self.create_job(json.loads(request.body))
        if path == f"{API}/query/":
            self.query(urllib.parse.urlsplit(request.path).query)
        if path.startswith(f"{API}/jobs/query"):
            self.query_job(request, path)
        if found := re.fullmatch(rf"{API}/jobs/ingest/(\w+)(?:/(\w+))?/?", path):
            job = self.jobs.get(found[1])
            if job is None:
                raise Answer(
                    404, [{"errorCode": "NOT_FOUND", "message": "No such job"}]
                )
            self.job(request, job, found[2])
        raise Answer(404, [{"errorCode": "NOT_FOUND", "message": "Not found"}])

    def crm_token(self, request):
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        basic = request_header(request, "authorization")
        if basic.startswith("Basic "):
            pair = base64.b64decode(basic[6:]).decode().partition(":")
            form |= {"client_id": pair[0], "client_secret": pair[2]}
        known = (form.get("client_id"), form.get("client_secret")) == (
            CLIENT_ID,
            CLIENT_SECRET,
        )
        if "assertion" in form:
            claims = form["assertion"].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(claims + "=="))
            known = (
                claims["iss"] == CLIENT_ID
                and float(claims["exp"]) > time.time()
                and claims["aud"] == "https://login.salesforce.com"
            )
        if not known:
            text = "invalid client credentials"
            raise Answer(400, {"error": "invalid_client", "error_description": text})
        body = {
            "access_token": self.new_token(),
            "instance_url": f"https://{request.host}",
            "token_type": "Bearer",
        }
        raise Answer(200, body)

    def crm_soap_login(self, request):
        if CLIENT_SECRET not in request.body.decode():
            fault = "<sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>"
            fault += "<sf:exceptionMessage>INVALID_LOGIN</sf:exceptionMessage>"
            raise Answer(500, envelope(f'<f xmlns:sf="sf">{fault}</f>'))
        body = (
            f"<serverUrl>https://{request.host}/services/Soap/u/59.0/00D</serverUrl>"
            f"<sessionId>{self.new_token()}</sessionId>"
        )
        raise Answer(200, envelope(body), {"Content-Type": "text/xml; charset=utf-8"})

    def custom_object(self, name):
        if name not in self.objects:
            text = "The requested resource does not exist"
            raise Answer(404, [{"errorCode": "NOT_FOUND", "message": text}])
        return self.objects[name]

    def selected(self, query):
        """Return names and rows of the few kinds of query that there are here."""
        found = re.fullmatch(
            r"SELECT (.+) FROM (\w+) WHERE (\w+) (?:!= null|IN \('(.*)'\))",
            query,
        )
        if found is None:
            raise Answer(400, [{"errorCode": "MALFORMED_QUERY", "message": "?"}])
        one = self.custom_object(found[2])
        rows = [row | {"Id": record_id(key)} for key, row in one.rows.items()]
        if found[4] is not None:
            keys = {key.replace("\\'", "'") for key in re.split("', ?'", found[4])}
            rows = [row for row in rows if row[found[3]] in keys]
        return found[1].split(", "), rows

    def query(self, query):
        names, rows = self.selected(urllib.parse.parse_qs(query)["q"][0])
        records = [{}] if "(" in names[0] else rows
        for name in names:
            # Such as MAX(Number__c) largest, of numbers, without those that are null.
            found = re.fullmatch(r"(COUNT|MAX)\((\w+)\) (\w+)", name)
            if found:
                values = [row[found[2]] for row in rows if row[found[2]] is not None]
                is_count = found[1] == "COUNT"
                records[0][found[3]] = (
                    len(values) if is_count else max(map(float, values), default=None)
                )
        if records is rows:
            records = [{name: row[name] for name in names} for row in rows]
        raise Answer(200, {"totalSize": len(records), "done": True, "records": records})

    def query_job(self, request, path):
        """Make a query job, tell of it, or give a page of its rows."""
        if request.method == "POST":
            number = f"750Q{len(self.jobs):011d}AAM"
            names, rows = self.selected(json.loads(request.body)["query"])
            self.jobs[number] = {"names": names, "rows": rows}
            raise Answer(200, {"id": number, "state": "UploadComplete"})
        job = self.jobs[path.split("/")[6]]
        if not path.endswith("/results"):
            raise Answer(200, {"state": "JobComplete"})
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        first = int(query.get("locator", ["0"])[0])
        size = min(int(query["maxRecords"][0]), 40)
        text = io.StringIO()
        writer = csv.DictWriter(text, job["names"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(job["rows"][first : first + size])
        locator = str(first + size) if first + size < len(job["rows"]) else "null"
        headers = {"Sforce-Locator": locator, "Content-Type": "text/csv"}
        headers["Sforce-NumberOfRecords"] = str(len(job["rows"][first : first + size]))
        raise Answer(200, text.getvalue(), headers)

    def create_job(self, body):
        self.custom_object(body["object"])
        number = f"750{len(self.jobs):012d}AAM"
        self.jobs[number] = {
            "id": number,
            "state": "Open",
            "operation": body["operation"],
            "object": body["object"],
            "externalIdFieldName": body.get("externalIdFieldName"),
            "contentUrl": f"services/data/v59.0/jobs/ingest/{number}/batches",
            "jobType": "V2Ingest",
            "numberRecordsProcessed": 0,
            "numberRecordsFailed": 0,
            "lag": self.lag[1],
        }
        raise Answer(200, self.shown(self.jobs[number]))

    @staticmethod
    def shown(job):
        hidden = ("lag", "data", "ok", "failed", "left", "header", "final")
        return {name: value for name, value in job.items() if name not in hidden}

    def job(self, request, job, part):
        bad_state = [{"errorCode": "INVALIDJOBSTATE", "message": "Not in this state"}]
        if part == "batches" and request.method == "PUT":
            if job["state"] != "Open" or "data" in job:
                text = "Found multiple contents for job"
                raise Answer(400, [{"errorCode": "CLIENT_ERROR", "message": text}])
            job["data"] = request.body.decode()
            raise Answer(201)
        if part is None and request.method == "PATCH":
            state = json.loads(request.body)["state"]
            if job["state"] not in ("Open", "UploadComplete", "InProgress"):
                raise Answer(400, bad_state)
            job["state"] = state
            if state == "UploadComplete":
                self.enqueue(lambda: self.process(job))
            raise Answer(200, self.shown(job))
        if part is None and request.method == "GET":
            if job["state"] in ("UploadComplete", "InProgress"):
                job["state"] = "InProgress"
                job["lag"] -= 1
                if job["lag"] < 0 and "final" in job:
                    job["state"] = job["final"]
            raise Answer(200, self.shown(job))
        files = {
            "successfulResults": ("ok", ["sf__Id", "sf__Created"]),
            "failedResults": ("failed", ["sf__Id", "sf__Error"]),
            "unprocessedrecords": ("left", []),
        }
        if part in files:
            rows, columns = files[part]
            text = io.StringIO()
            header = columns + job.get("header", [])
            writer = csv.DictWriter(text, header, lineterminator="\n")
            writer.writeheader()
            # Their order is not that of the upload.
            writer.writerows(reversed(job.get(rows, [])))
            kind = "text/csv; charset=UTF-8" if self.csv_charset else "text/csv"
            raise Answer(200, text.getvalue(), {"Content-Type": kind})

    def process(self, job):
        if job["state"] == "Aborted":
            return
        one = self.objects[job["object"]]
        reader = csv.DictReader(io.StringIO(job["data"], newline=""))
        job["header"] = list(reader.fieldnames or [])
        if job["operation"] == "delete":
            gone = {row["Id"] for row in reader}
            keys = [key for key in one.rows if record_id(key) in gone]
            job["ok"], job["failed"], job["final"] = [], [], "JobComplete"
            for key in keys:
                del one.rows[key]
            return
        if unknown := [name for name in job["header"] if name not in one.fields]:
            job["final"] = "Failed"
            job["errorMessage"] = f"InvalidBatch : Field name not found : {unknown[0]}"
            return
        job["ok"], job["failed"], job["left"] = [], [], []
        rows = list(reader)
        copies = Counter(row[one.external_id] for row in rows)
        for row in rows:
            key = row[one.external_id]
            problem = self.row_faults and self.fault_of_row(key)
            if problem == "unprocessed":
                job["left"].append(row)
                continue
            if copies[key] > 1:
                problem = (
                    f"DUPLICATE_VALUE:Duplicate external id specified: {key}:Id --"
                )
            known = key in one.rows
            problem = problem or one.upsert(row)
            if problem:
                job["failed"].append({"sf__Id": "", "sf__Error": problem, **row})
            else:
                job["ok"].append(
                    {"sf__Id": record_id(key), "sf__Created": not known, **row}
                )
        job["final"] = "JobComplete"
        job["numberRecordsProcessed"] = len(rows) - len(job["left"])
        job["numberRecordsFailed"] = len(job["failed"])


def record_id(key):
    return f"a00{abs(hash(key)):015d}"[:18]


def messages(kind, code, text):
    message = {
        "resultType": kind,
        "resultClass": "Error",
        "resultCode": code,
        "message": text,
    }
    return {"requestId": str(uuid.uuid4()), "resultMessages": [message]}


def envelope(body):
    return (
        '<?xml version="1.0" encoding="utf-8"?><soap:Envelope '
        'xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        f"{body}</soap:Body></soap:Envelope>"
    )


HEADERS = threading.local()


def request_header(_, name):
    return HEADERS.found.get(name, "")


def request_token(request):
    return request_header(request, "authorization").removeprefix("Bearer ")


class Server(ThreadingHTTPServer):
    """A proxy that dies quietly when a client does."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        """Say nothing: cut connections are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """Opens the tunnel that a client asks for, and answers inside it."""

    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def do_CONNECT(self):
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.connection = self.stand_in.context.wrap_socket(
            self.connection, server_side=True
        )
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False
        self.stand_in.connections.add(self)
        with contextlib.suppress(OSError):
            while not self.close_connection:
                self.handle_one_request()
            self.connection.close()
        self.stand_in.connections.discard(self)

    def handle_tunnelled(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # of a client that died
            return self.cut()
        HEADERS.found = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.host, self.path, body)
        self.stand_in.requests.append(request)
        fault = self.stand_in.injected(request)
        if fault:
            if fault["drop"] == "before":
                return self.cut()
            if fault["drop"] == "after":
                self.stand_in.answer(request)
                return self.cut()
        if fault and fault["status"]:
            answer = Answer(fault["status"], fault["body"], fault.get("headers"))
        else:
            answer = self.stand_in.answer(request)
        if fault:
            time.sleep(fault.get("delay", 0))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        return None

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_tunnelled  # noqa: N815

    def cut(self):
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_):
        """Keep no log: `StandIn.requests` is one."""
