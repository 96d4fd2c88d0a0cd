"""Python models on BigQuery: jobs like those of SQL models, in the process of dbt."""

import importlib.util
import multiprocessing
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import ROOT
from dbt.adapters.contracts.connection import ConnectionState
from dbt_common.exceptions import DbtDatabaseError, DbtRuntimeError
from google.api_core.exceptions import BadRequest, ServiceUnavailable
from google.cloud.bigquery import Dataset

folder = ROOT / "scripts" / "adapter" / "dbt" / "adapters" / "clv_bigquery"
spec = importlib.util.spec_from_file_location("clv_bigquery", folder / "__init__.py")
clv_bigquery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(clv_bigquery)

CODE = """
import pandas as pd
def model(dbt, session):
    return dbt.ref("pairs").assign(rate=0.5)
class dbtObj:
    def __init__(self, read):
        self.ref = lambda name: read(f"shop.clv_intermediate.{name}")
"""
MODEL = {
    **{"name": "int_expectations", "alias": "int_expectations", "database": "shop"},
    **{"schema": "clv_intermediate", "original_file_path": "int_expectations.py"},
    "config": {"materialized": "table", "labels": {"project": "clv"}},
}


class Client:
    """A client of BigQuery that keeps its jobs, and fails as often as it is told."""

    def __init__(self, *failures):
        self.failures, self.jobs, self.updated = list(failures), [], []

    def fail(self, job_id):
        """Raise the next failure."""
        if self.failures:
            self.jobs.append((job_id, None))
            raise self.failures.pop(0)

    def query(self, query, job_config, job_id, **_):
        """Keep a query; its result is one row."""
        self.fail(job_id)
        self.jobs.append((job_id, job_config))

        def to_dataframe(create_bqstorage_client):
            self.has_storage = create_bqstorage_client
            return pd.DataFrame({"x": [1]})

        rows = SimpleNamespace(to_dataframe=to_dataframe)
        plain = {"location": None, "job_id": job_id, "project": None}
        return SimpleNamespace(
            **plain, total_bytes_processed=7, result=lambda **_: rows
        )

    def load_table_from_dataframe(self, frame, table, job_config, job_id):
        """Keep a frame."""
        self.fail(job_id)
        self.jobs.append((job_id, job_config))
        self.written = (table, frame)

        def result(timeout):
            self.timeout = timeout

        return SimpleNamespace(result=result)

    def get_table(self, _):
        """Return one that its dataset would delete."""
        return SimpleNamespace(labels={}, expires="2026-01-01")

    def update_table(self, table, fields):
        """Keep what is said of it."""
        assert fields == ["labels", "expires"]
        self.updated.append((table.labels, table.expires))

    def get_dataset(self, _):
        """Return one whose tables are deleted after 60 days."""
        dataset = Dataset("shop.clv_state")
        dataset.default_table_expiration_ms = 60 * 86_400_000
        return dataset


@pytest.fixture
def adapter_of(monkeypatch):
    """Return an adapter over a client, as dbt opens one."""
    monkeypatch.setattr("time.sleep", lambda _: None)

    def make(client, **output):
        credentials = clv_bigquery.Credentials.from_dict(
            {
                **{"method": "oauth", "database": "shop", "schema": "clv"},
                **{"maximum_bytes_billed": 1000, "job_retries": 2},
                **{"job_execution_timeout_seconds": 60},
                **output,
            }
        )
        config = SimpleNamespace(
            credentials=credentials,
            query_comment=SimpleNamespace(job_label=True, append=False, comment=""),
            project_name="clv",
            flags={},
            log_cache_events=False,
        )
        context = multiprocessing.get_context("spawn")
        adapter = clv_bigquery.BigQueryAdapter(config, context)
        comment = SimpleNamespace(
            query_comment='{"node_id": "model.clv.int_expectations"}'
        )
        adapter.connections.query_header = SimpleNamespace(
            comment=comment, add=lambda sql: sql
        )
        connection = adapter.connections.set_connection_name("int_expectations")
        connection._handle, connection.state = client, ConnectionState.OPEN
        return adapter

    return make


def test_its_jobs_carry_labels_cap_and_timeout(adapter_of):
    client = Client()
    adapter = adapter_of(client)
    assert adapter.submit_python_job(MODEL, CODE).rows_affected == 1
    [(_, query), (_, load)] = client.jobs
    for job in (query, load):
        assert job.labels["node_id"] == "model_clv_int_expectations"
        assert job.labels["dbt_invocation_id"]
    assert query.maximum_bytes_billed == 1000
    assert int(query.job_timeout_ms) == 60_000
    assert client.timeout == 60
    table, frame = client.written
    assert table == "shop.clv_intermediate.int_expectations"
    assert frame.to_dict("list") == {"x": [1], "rate": [0.5]}
    assert load.write_disposition == "WRITE_TRUNCATE"
    # Not what a load job says: the table's own labels, and that it is kept.
    assert client.updated == [({"project": "clv"}, None)]


def test_a_job_is_tried_again_by_its_name(adapter_of):
    down = [{"reason": "backendError", "message": "down"}]
    client = Client(ServiceUnavailable("down", errors=down))
    adapter_of(client).submit_python_job(MODEL, CODE)
    [(first, _), (second, config), _] = client.jobs
    assert first == second
    assert config


def test_what_bigquery_refuses_is_told_and_not_tried_again(adapter_of):
    client = Client(BadRequest("wrong", errors=[{"reason": "no", "message": "wrong"}]))
    with pytest.raises(DbtDatabaseError, match="wrong"):
        adapter_of(client).submit_python_job(MODEL, CODE)
    assert len(client.jobs) == 1


def test_frames_come_through_the_storage_api_but_for_an_emulator(adapter_of):
    for output, is_google in (({}, True), ({"api_endpoint": "http://x"}, False)):
        client = Client()
        adapter_of(client, **output).submit_python_job(MODEL, CODE)
        assert client.has_storage is is_google
    assert importlib.util.find_spec("google.cloud.bigquery_storage")


def test_a_table_that_a_frame_would_replace_is_refused(adapter_of):
    client = Client()
    model = MODEL | {"config": {"materialized": "incremental"}}
    with pytest.raises(DbtRuntimeError, match="table"):
        adapter_of(client).submit_python_job(model, CODE)
    assert client.jobs == []


def test_it_says_what_a_dataset_deletes_and_what_a_query_reads(adapter_of):
    adapter = adapter_of(Client())
    assert adapter.get_default_expirations("shop", "clv_state") == {"tables": 60}
    assert adapter.get_bytes_read("select 1") == 7


def test_it_is_found_where_dbt_looks_and_is_bigquery_to_macros(monkeypatch):
    plugin = clv_bigquery.Plugin
    assert (
        plugin.credentials.from_dict(
            {"method": "oauth", "database": "shop", "schema": "clv"}
        ).type
        == plugin.adapter.type()
    )
    assert plugin.dependencies == ["bigquery"]
    library = (ROOT / "scripts" / "lib.sh").read_text()
    assert "$clv_root/scripts/adapter" in library
    assert folder.is_relative_to(ROOT / "scripts" / "adapter")
