"""dbt's BigQuery, with the Python models run in the process of dbt.

They read tables that SQL has compressed, so that no cluster is needed. Their jobs are
those of dbt-bigquery: its labels, byte cap, timeouts, retries and cancelling. lib.sh
puts this folder on the path of .venv; profiles.yml names it as type clv_bigquery.
"""

from pathlib import Path
from typing import Any

from dbt.adapters.base import AdapterPlugin, available
from dbt.adapters.bigquery import BigQueryConnectionManager, BigQueryCredentials, impl
from dbt.adapters.bigquery.connections import BigQueryAdapterResponse
from dbt_common.exceptions import DbtRuntimeError
from dbt_common.invocation import get_invocation_id
from google.api_core.exceptions import NotFound
from google.cloud.bigquery import LoadJobConfig, WriteDisposition

TYPE = "clv_bigquery"


class Credentials(BigQueryCredentials):
    """Those of type bigquery."""

    @property
    def type(self) -> str:
        """Return the type of an output in profiles.yml."""
        return TYPE


class ConnectionManager(BigQueryConnectionManager):
    """That of dbt-bigquery, for frames too."""

    TYPE = TYPE

    def read_frame(self, table: str) -> Any:
        """Return the rows of a table as a frame of pandas."""
        _, rows = self.raw_execute_with_comment(f"select * from `{table}`")
        # An emulator has no Storage API where Google's client would look for it.
        is_google = self.get_thread_connection().credentials.api_endpoint is None
        return rows.to_dataframe(create_bqstorage_client=is_google)

    def write_frame(self, frame: Any, table: str, labels: dict[str, str]) -> int:
        """Replace a table by a frame; return its rows."""
        connection = self.get_thread_connection()
        client, job_id = connection.handle, self.generate_job_id()
        config = LoadJobConfig(
            write_disposition=WriteDisposition.WRITE_TRUNCATE,
            labels=self.get_labels_from_query_comment()
            | {"dbt_invocation_id": get_invocation_id()},
        )

        def submit() -> Any:
            return self._submit_or_attach(
                client,
                job_id,
                lambda: client.load_table_from_dataframe(
                    frame, table, job_config=config, job_id=job_id
                ),
            )

        with self.exception_handler(f"load {table}"):
            job = self._retry.create_reopen_with_deadline(connection)(submit)()
            job.result(timeout=self._retry.create_job_execution_timeout())
            # What a load job cannot say: whose it is, and that it does not expire.
            written = client.get_table(table)
            written.labels, written.expires = labels, None
            client.update_table(written, ["labels", "expires"])
        return len(frame)


# dbt asks for the version of the adapter that the name of the class begins with.
class BigQueryAdapter(impl.BigQueryAdapter):
    """That of dbt-bigquery, but for Python models."""

    ConnectionManager = ConnectionManager

    def submit_python_job(
        self, parsed_model: dict, compiled_code: str
    ) -> BigQueryAdapterResponse:
        """Run `model` of the compiled code and keep the frame that it returns."""
        config = parsed_model["config"]
        if config["materialized"] != "table":
            # The frame replaces the table: what is kept in it would be gone.
            raise DbtRuntimeError("clv: a Python model must be materialized as a table")
        path = parsed_model["original_file_path"]
        names: dict[str, Any] = {"__name__": parsed_model["name"]}
        exec(compile(compiled_code, path, "exec"), names)
        frame = names["model"](names["dbtObj"](self.connections.read_frame), None)
        place = (parsed_model[key] for key in ("database", "schema", "alias"))
        labels = config.get("labels") or {}
        rows = self.connections.write_frame(frame, ".".join(place), labels)
        return BigQueryAdapterResponse(_message=f"{rows} rows", rows_affected=rows)

    @available.parse(lambda *_, **__: {})
    def get_default_expirations(self, database: str, schema: str) -> dict[str, int]:
        """Return after how many days what is new in a dataset is deleted, by what."""
        client = self.connections.get_thread_connection().handle
        try:
            dataset = client.get_dataset(self.connections.dataset_ref(database, schema))
        except NotFound:
            return {}
        found = {
            "tables": dataset.default_table_expiration_ms,
            "partitions": dataset.default_partition_expiration_ms,
        }
        return {what: ms // 86_400_000 for what, ms in found.items() if ms}

    @available.parse(lambda *_, **__: 0)
    def get_bytes_read(self, sql: str) -> int:
        """Return how many bytes a query would read, by a dry run."""
        job, _ = self.connections.raw_execute(sql, dry_run=True)
        return job.total_bytes_processed or 0


Plugin = AdapterPlugin(
    adapter=BigQueryAdapter,
    credentials=Credentials,
    include_path=str(Path(__file__).parent),
    dependencies=["bigquery"],
)
