"""The stand-in of Salesforce: clients made for the real one are content with it."""

import csv
import io
import json
import os
import shutil
import subprocess
import time

import pytest
import requests
from pysfmc.auth import SFMCSettings
from pysfmc.client import SFMCClient
from pysfmc.exceptions import SFMCError
from salesforce_stand_in import (
    CLIENT_ID,
    CLIENT_SECRET,
    CustomObject,
    DataExtension,
    StandIn,
)
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceError, SalesforceOperationError

OUTSIDE = dict(os.environ)  # before it leads to the stand-in
FIELDS = [
    {"name": "CustomerKey", "type": "Text", "length": 10, "isPrimaryKey": True},
    {"name": "Segment", "type": "Text", "length": 10, "isNullable": True},
    {"name": "Number", "type": "Number", "isNullable": True},
]
ROWS = "data/v1/async/dataextensions/key:segments/rows"


@pytest.fixture
def stand_in(monkeypatch):
    with StandIn() as one:
        one.lag = (0, 0)
        one.extensions["segments"] = DataExtension("segments", FIELDS)
        fields = [
            {"name": "Key__c", "type": "string", "length": 10},
            {"name": "Segment__c", "type": "string", "length": 10},
        ]
        one.objects["Thing__c"] = CustomObject("Thing__c", fields, "Key__c")
        for name, value in one.environment.items():
            monkeypatch.setenv(name, value)
        yield one


@pytest.fixture
def pysfmc(stand_in):
    with SFMCClient(SFMCSettings()) as client:
        yield client


def outcome(client, answer):
    """Status and results of an asynchronous request."""
    number = answer["requestId"]
    status = client.get(f"data/v1/async/{number}/status")["status"]
    results = client.get(f"data/v1/async/{number}/results")
    return status, results


def test_pysfmc_upserts_polls_and_reads_back(stand_in, pysfmc):
    answer = pysfmc.put(
        ROWS, json={"items": [{"customerkey": "C1", "SEGMENT": "loyal", "Number": 1}]}
    )
    status, results = outcome(pysfmc, answer)
    assert (status["requestStatus"], status["hasErrors"]) == ("Complete", False)
    assert results["items"] == [
        {"message": "Upserted DataExtensionObject", "status": "OK"}
    ]
    # A key in other letters is the same; absent columns keep their value.
    pysfmc.put(ROWS, json={"items": [{"CustomerKey": "c1", "Number": 2}]})
    outcome(pysfmc, {"requestId": list(stand_in.jobs)[-1]})
    read = pysfmc.get("data/v1/customobjectdata/key/segments/rowset")
    assert read["items"] == [
        {"keys": {"customerkey": "c1"}, "values": {"segment": "loyal", "number": 2}}
    ]


def test_rows_that_do_not_fit_are_errors_in_their_place(pysfmc):
    items = [
        {"CustomerKey": "ok", "Segment": ""},
        {"CustomerKey": "long", "Segment": "x" * 11},
        {"CustomerKey": "unknown", "Email": "a@b.c"},
        {"Segment": "no key"},
        {"CustomerKey": "wide", "Number": 2**31},
        {"CustomerKey": "text", "Number": "7"},
    ]
    status, results = outcome(pysfmc, pysfmc.put(ROWS, json={"items": items}))
    assert (status["hasErrors"], status["resultStatus"]) == (True, "Has Errors")
    assert [item["status"] for item in results["items"]] == ["OK"] + ["Error"] * 5
    names = [item["errors"][0]["name"] for item in results["items"][1:]]
    assert names == ["segment", "email", "customerkey", "number", "number"]


def test_an_insert_of_a_known_key_and_a_table_without_keys_are_errors(stand_in, pysfmc):
    items = {"items": [{"CustomerKey": "c1"}]}
    outcome(pysfmc, pysfmc.put(ROWS, json=items))
    _, results = outcome(pysfmc, pysfmc.post(ROWS, json=items))
    assert "Violation of PRIMARY KEY" in results["items"][0]["message"]
    keyless = [field | {"isPrimaryKey": False} for field in FIELDS]
    stand_in.extensions["segments"] = DataExtension("segments", keyless)
    _, results = outcome(pysfmc, pysfmc.put(ROWS, json=items))
    assert "does not have any primary keys" in results["items"][0]["message"]


def test_limits_and_shapes_are_enforced(stand_in, pysfmc):
    stand_in.maximum_items = 2
    for body in (
        {"items": [{"CustomerKey": str(n)} for n in range(3)]},
        {"items": [{"keys": {"CustomerKey": "1"}, "values": {}}]},
        [],
    ):
        with pytest.raises(SFMCError):
            pysfmc.put(ROWS, json=body)
    stand_in.maximum_bytes = 10
    with pytest.raises(SFMCError):
        pysfmc.put(ROWS, json={"items": [{"CustomerKey": "1"}]})
    with pytest.raises(SFMCError):
        pysfmc.put(ROWS.replace("segments", "none"), json={"items": []})
    assert stand_in.extensions["segments"].rows == {}


def test_results_come_in_pages(stand_in, pysfmc):
    stand_in.page = 50
    items = [{"CustomerKey": str(n)} for n in range(120)]
    answer = pysfmc.put(ROWS, json={"items": items})
    _, results = outcome(pysfmc, answer)
    assert (results["count"], len(results["items"])) == (120, 50)
    path = f"data/v1/async/{answer['requestId']}/results?$page=3&$pageSize=2500"
    assert len(pysfmc.get(path)["items"]) == 20


def test_a_request_is_not_found_then_pending_then_done(stand_in, pysfmc):
    stand_in.lag = (1, 1)
    answer = pysfmc.put(ROWS, json={"items": [{"CustomerKey": "c1"}]})
    path = f"data/v1/async/{answer['requestId']}/status"
    first, second, third = (pysfmc.get(path) for _ in range(3))
    assert first["resultMessages"][0]["resultCode"] == "AsyncRequestStatusNotFound"
    assert second["status"]["requestStatus"] == "Pending"
    assert third["status"]["requestStatus"] == "Complete"


def test_the_synchronous_rowset_keeps_the_rows_before_a_bad_one(stand_in, pysfmc):
    rows = [
        {"keys": {"CustomerKey": key}, "values": {"Segment": text}}
        for key, text in [("a", "ok"), ("b", "x" * 11), ("c", "ok")]
    ]
    with pytest.raises(SFMCError):
        pysfmc.post("hub/v1/dataevents/key:segments/rowset", json=rows)
    assert list(stand_in.extensions["segments"].rows) == [("a",)]


def test_tokens_end_and_secrets_are_checked(stand_in, pysfmc, monkeypatch):
    stand_in.lifetime = 1
    pysfmc._authenticator._token = None
    token = pysfmc._authenticator.get_token()
    time.sleep(1.1)
    rest = pysfmc._authenticator.get_rest_base_url()
    url = f"{rest}data/v1/customobjects"
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["message"]) == (401, "Not Authorized")
    monkeypatch.setenv("SFMC_CLIENT_SECRET", "wrong")
    with SFMCClient(SFMCSettings()) as other, pytest.raises(SFMCError):
        other.get("data/v1/customobjects")


def test_the_stand_in_is_trusted_only_through_its_authority(stand_in, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(requests.exceptions.SSLError):
        requests.get("https://login.salesforce.com/")


@pytest.fixture
def salesforce(stand_in):
    return Salesforce(
        consumer_key=CLIENT_ID, consumer_secret=CLIENT_SECRET, domain="acme.my"
    )


def parsed(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_simple_salesforce_upserts_clears_and_keeps(stand_in, salesforce):
    thing = salesforce.bulk2.Thing__c
    rows = [{"Key__c": "a", "Segment__c": "loyal"}, {"Key__c": "b", "Segment__c": "x"}]
    (job,) = thing.upsert(records=rows, external_id_field="Key__c", wait=0.01)
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (2, 0)
    ok = parsed(thing.get_successful_records(job["job_id"]))
    # The order is not that of the upload.
    assert [row["Key__c"] for row in ok] == ["b", "a"]
    rows = [{"Key__c": "a", "Segment__c": ""}, {"Key__c": "b", "Segment__c": "#N/A"}]
    thing.upsert(records=rows, external_id_field="Key__c", wait=0.01)
    values = {k: r["Segment__c"] for k, r in stand_in.objects["Thing__c"].rows.items()}
    assert values == {"a": "loyal", "b": None}
    assert salesforce.Thing__c.describe()["fields"][0]["name"] == "Key__c"


def test_simple_salesforce_meets_failures_by_row_and_by_job(stand_in, salesforce):
    thing = salesforce.bulk2.Thing__c
    rows = [
        {"Key__c": "long", "Segment__c": "x" * 11},
        {"Key__c": "twice", "Segment__c": "1"},
        {"Key__c": "twice", "Segment__c": "2"},
    ]
    (job,) = thing.upsert(records=rows, external_id_field="Key__c", wait=0.01)
    failed = parsed(thing.get_failed_records(job["job_id"]))
    assert sorted(row["sf__Error"].partition(":")[0] for row in failed) == [
        "DUPLICATE_VALUE",
        "DUPLICATE_VALUE",
        "STRING_TOO_LONG",
    ]
    wanted = "InvalidBatch : Field name not found"
    with pytest.raises(SalesforceOperationError, match=wanted):
        thing.upsert(records=[{"Nope__c": "1"}], external_id_field="Key__c", wait=0.01)
    stand_in.tokens.clear()
    with pytest.raises(SalesforceError, match="INVALID_SESSION_ID"):
        thing.upsert(records=rows, external_id_field="Key__c", wait=0.01)


SDK = """
import SDK from 'sfmc-sdk';
const env = process.env;
const sdk = new SDK({
  client_id: env.SFMC_CLIENT_ID, client_secret: env.SFMC_CLIENT_SECRET,
  account_id: 7000001,
  auth_url: `https://${env.SFMC_SUBDOMAIN}.auth.marketingcloudapis.com/`,
});
const rows = '/data/v1/async/dataextensions/key:segments/rows';
const put = await sdk.rest.put(rows, {items: [{CustomerKey: 'c1', Segment: 'loyal'}]});
const status = await sdk.rest.get(`/data/v1/async/${put.requestId}/status`);
const read = await sdk.rest.get('/data/v1/customobjectdata/key/segments/rowset');
console.log(JSON.stringify({status: status.status.requestStatus, read: read.items}));
"""


def test_sfmc_sdk_upserts_polls_and_reads_back(stand_in, tmp_path):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    install = [
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "sfmc-sdk@2.1.2",
    ]
    try:
        done = subprocess.run(
            install, cwd=tmp_path, env=OUTSIDE, capture_output=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not install sfmc-sdk in a minute")
    if done.returncode:
        pytest.skip("npm cannot install sfmc-sdk here")
    (tmp_path / "run.mjs").write_text(SDK)
    done = subprocess.run(
        ["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "status": "Complete",
        "read": [
            {
                "keys": {"customerkey": "c1"},
                "values": {"segment": "loyal", "number": None},
            }
        ],
    }
