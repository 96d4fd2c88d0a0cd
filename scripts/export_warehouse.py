"""The warehouse as export_segments.py sees it: pages of rows out, rows of state in.

One connection holds a DuckDB file for the whole run: DuckDB refuses a second run or a
build meanwhile, and its lock vanishes with a process that dies. On BigQuery a large
read is one query, whose stored result is paged as often as needed; the client's own
repetition of a load job appends nothing twice. Times are those of the warehouse.
"""

import csv
import os
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
from export_transports import BusyError, ConfigError, LoginError

PROJECT = Path(__file__).resolve().parent.parent
MEMORY, PAGE, LOAD_SECONDS = "64MB", 2_000, 600
LIMITS = {"threads": 1, "memory_limit": MEMORY}
NULL = "\x01"  # what no text is
PLAIN = """auto_detect = false, delim = ',', quote = '"', escape = '"'"""
PLAIN += f", nullstr = '{NULL}'"  # an empty text is one
Pages = Iterator[list[dict[str, Any]]]


def spread(columns: dict[str, Any]) -> Iterator[tuple]:
    """Yield the rows of columns; what is no list is the same in all rows."""
    length = max([len(v) for v in columns.values() if isinstance(v, list)], default=1)
    lists = [v if isinstance(v, list) else [v] * length for v in columns.values()]
    return zip(*lists, strict=True)


def insert(connection: duckdb.DuckDBPyConnection, table: str, columns: dict) -> None:
    """Insert rows, through a file without a name, which no kill leaves behind.

    To give DuckDB values or frames takes pandas and pyarrow: 100 MB.
    """
    kinds = dict.fromkeys(columns, "varchar")
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as file:
        rows = [[NULL if v is None else v for v in row] for row in spread(columns)]
        csv.writer(file, "unix").writerows(rows)
        file.seek(0)
        path = f"/dev/fd/{file.fileno()}"
        source = f"read_csv('{path}', columns = {kinds}, header = false, {PLAIN})"
        connection.execute(f"insert into {table} by name from {source}")


class DuckDb:
    """One DuckDB file.

    Attributes:
        is_exclusive: while it is open, no other run can be.
        now: the time in UTC, in its SQL.
        skew: seconds by which `now` may differ between runs: it is their hosts'.
        prefix: what the names of its schemas begin with.
    """

    is_exclusive, skew = True, 3600
    now = "cast(now() at time zone 'UTC' as timestamp)"

    def __init__(self, read_only: bool):
        path = os.environ.get("CLV_DUCKDB_PATH") or PROJECT / "warehouse.duckdb"
        if not Path(path).is_file():
            raise ConfigError(f"there is no DuckDB file {path}: build first")
        try:
            self.connection = duckdb.connect(str(path), read_only)
        except duckdb.IOException:
            raise BusyError(f"{path} is in use by another process") from None
        # What does not fit goes to a file beside the database; millions of rows in the
        # ledger may need more.
        memory = os.environ.get("CLV_EXPORT_MEMORY", MEMORY)
        self.connection.execute(f"set threads = 1; set memory_limit = '{memory}'")
        (database,) = self.connection.execute("select current_database()").fetchone()
        self.prefix, self.stored = f'"{database}".clv', 0
        self.close = self.connection.close

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found = self.connection.execute(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def store(self, sql: str) -> Callable[[], Pages]:
        """Read once; return what pages the result, anew at every call."""
        # Set aside, in order: a query left open would stand in the way of appends.
        self.stored += 1
        name = f"stored_{self.stored}"
        self.connection.execute(f"create temp table {name} as {sql}")

        def pages() -> Pages:
            first, part = 0, f"from {name} where rowid >= {{}} and rowid < {{}}"
            while page := self.rows(part.format(first, first + PAGE)):
                yield page
                first += PAGE

        return pages

    def append(self, table: str, columns: dict[str, Any]) -> None:
        insert(self.connection, f"{self.prefix}_state.{table}", columns)


class BigQuery:
    """A dataset of BigQuery, named and entered as profiles.yml does; others may too."""

    is_exclusive, skew = False, 0
    now = "current_timestamp()"

    def __init__(self, target: str):
        from dbt.adapters.bigquery.credentials import create_google_credentials
        from dbt.config.runtime import load_profile
        from dbt.flags import set_from_args
        from dbt_common.context import set_invocation_context
        from dbt_common.exceptions import DbtConfigError
        from google.cloud import bigquery

        folder = os.environ.get("DBT_PROFILES_DIR") or str(PROJECT)
        set_from_args(Namespace(profiles_dir=folder), {})
        set_invocation_context(os.environ)
        profile = load_profile(str(PROJECT), {}, target_override=target).credentials
        labels = {"node_id": "export_segments"}  # as dbt labels its own jobs
        try:
            self.client = bigquery.Client(
                profile.execution_project,
                create_google_credentials(profile),
                location=profile.location,
                client_options={"api_endpoint": profile.api_endpoint},
                default_query_job_config=bigquery.QueryJobConfig(labels=labels),
                default_load_job_config=bigquery.LoadJobConfig(labels=labels),
            )
        except (DbtConfigError, OSError) as error:
            raise LoginError(
                "there is no login to Google: gcloud auth application-default login "
                "makes one, or CLV_BIGQUERY_KEYFILE names a key file"
            ) from error
        self.prefix = f"`{profile.database}`.{profile.schema}"
        self.close = self.client.close

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self.client.query(sql).result()]

    def store(self, sql: str) -> Callable[[], Pages]:
        job = self.client.query(sql)
        job.result()

        def pages() -> Pages:
            for page in job.result(page_size=PAGE).pages:
                if rows := [dict(row) for row in page]:
                    yield rows

        return pages

    def append(self, table: str, columns: dict[str, Any]) -> None:
        rows = [dict(zip(columns, row, strict=True)) for row in spread(columns)]
        name = f"{self.prefix}_state.{table}".replace("`", "")
        self.client.load_table_from_json(rows, name).result(timeout=LOAD_SECONDS)
