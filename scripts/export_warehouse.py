"""The warehouse as export_segments.py sees it: pages of rows out, rows of state in.

DuckDB: one connection is held for the whole run. The file admits one writer, so a
second run or a build meanwhile is refused by DuckDB itself, and its lock vanishes with
a process that dies. BigQuery: a large read is one query, whose stored result is paged
as often as needed; rows are appended by load jobs whose names follow from run and
number, so that one repeated appends nothing twice. Times are those of the warehouse.
"""

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
from export_transports import BusyError, ConfigError, LoginError

PROJECT = Path(__file__).resolve().parent.parent
MEMORY = "64MB"
SLICE, PAGE = 2_000, 5_000
LOAD_SECONDS = 600
Pages = Iterator[list[dict[str, Any]]]

# Of its jobs on BigQuery, as dbt labels its own.
LABELS = {"node_id": "export_segments"}

TEXT, COUNT, FLAG, TIME, DAY = "varchar", "bigint", "boolean", "timestamp", "date"
TALLY = ("shipped_rows", "removed_rows", "rejected_rows", "transient_rows")
RUN = {"run_id": TEXT, "run_number": COUNT, "target": TEXT}
LOGGED = {"log_id": TEXT, "recorded_at": TIME}
# As macros/state/state_tables.sql has them; a test compares.
STATE = {
    "export_runs": {
        **RUN,
        **{"event": TEXT, "mode": TEXT, "exit_code": COUNT},
        **dict.fromkeys(
            (*TALLY, "consent_users", "refusing_users", "suppressed_users"), COUNT
        ),
        **{"git_commit": TEXT, "as_of_date": DAY},
        **LOGGED,
    },
    "export_requests": {**RUN, "chunk": COUNT, "request_id": TEXT, **LOGGED},
    "export_ledger": {
        **{**RUN, "chunk": COUNT, "customer_id": TEXT, "customer_key": TEXT},
        **{"key_id": TEXT, "op": TEXT, "row_hash": TEXT, "is_shipped": FLAG},
        **{"is_transient": FLAG, "code": TEXT},
        **LOGGED,
    },
}


def literal(value: Any, kind: str) -> str:
    """Return a value as SQL has it, its type said, for both warehouses."""
    text = (
        "null" if value is None else f"'{re.sub(r'[^A-Za-z0-9_.:@-]', '', str(value))}'"
    )
    return f"cast({text} as {'string' if kind == TEXT else kind})"


def insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: dict[str, str],
    rows: list[dict[str, Any]],
) -> None:
    """Add rows to a table of DuckDB, in one transaction."""
    connection.execute("begin")
    # DuckDB takes a hundred bytes and more for each value of a list: slices, and lists
    # only for what differs.
    for first in range(0, len(rows), SLICE):
        terms, values = [], []
        for column, kind in columns.items():
            listed = [row[column] for row in rows[first : first + SLICE]]
            if len(set(listed)) == 1:
                terms.append(f"cast(? as {kind})")
                values.append(listed[0])
            else:
                terms.append(f"unnest(cast(? as {kind}[]))")
                values.append(listed)
        connection.execute(
            f"insert into {table} ({', '.join(columns)}) select {', '.join(terms)}",
            values,
        )
    connection.execute("commit")


class DuckDb:
    """One DuckDB file.

    Attributes:
        is_exclusive: while it is open, no other run can be.
        now: the time in UTC, in its SQL.
    """

    is_exclusive = True
    now = "cast(now() at time zone 'UTC' as timestamp)"

    def __init__(self, read_only: bool):
        path = os.environ.get("CLV_DUCKDB_PATH") or PROJECT / "warehouse.duckdb"
        if not Path(path).is_file():
            raise ConfigError(f"there is no DuckDB file {path}: build first")
        try:
            self.connection = duckdb.connect(str(path), read_only=read_only)
        except duckdb.IOException:
            raise BusyError(f"{path} is in use by another process") from None
        database = self.connection.execute("select current_database()").fetchone()[0]
        # What does not fit goes to a file beside the database; millions of rows in the
        # ledger may need more.
        memory = os.environ.get("CLV_EXPORT_MEMORY", MEMORY)
        self.connection.execute(f"set memory_limit = '{memory}'")
        self.connection.execute("set threads = 1")
        self.prefix, self.stored = f'"{database}".clv', 0

    def relation(self, schema: str, name: str) -> str:
        """Return the full name of a relation."""
        return f"{self.prefix}_{schema}.{name}"

    def columns(self, relation: str) -> list[str]:
        """Return the names of a relation's columns."""
        try:
            found = self.connection.execute(f"select * from {relation} limit 0")
        except duckdb.CatalogException:
            raise ConfigError(f"there is no {relation}: build first") from None
        return [column[0] for column in found.description]

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return all rows of a small query."""
        found = self.connection.execute(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def store(self, sql: str) -> Callable[[], Pages]:
        """Read once; return what pages the result, anew at every call."""
        # Set aside, in order: a query left open would stand in the way of appends.
        self.stored += 1
        name = f"stored_{self.stored}"
        self.connection.execute(f"create temp table {name} as {sql}")
        number = self.connection.execute(f"select count(*) from {name}").fetchone()[0]

        def pages() -> Pages:
            for first in range(0, number, PAGE):
                yield self.rows(
                    f"from {name} where rowid >= {first} and rowid < {first + PAGE}"
                )

        return pages

    def append(self, table: str, rows: list[dict[str, Any]], job: str) -> None:
        """Add rows to a table of state."""
        insert(self.connection, self.relation("state", table), STATE[table], rows)

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()


class BigQuery:
    """A dataset of BigQuery, named and entered as profiles.yml does.

    Attributes:
        is_exclusive: false: another machine may run at the same time.
        now: the time, in its SQL.
    """

    is_exclusive = False
    now = "current_timestamp()"

    def __init__(self, emulator: bool):
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        self.bigquery = bigquery

        def get(name: str, default: str | None = None) -> str | None:
            return os.environ.get(name) or default

        if emulator:
            self.client = bigquery.Client(
                project="clv-emulator",
                credentials=AnonymousCredentials(),
                client_options={
                    "api_endpoint": get(
                        "CLV_BIGQUERY_ENDPOINT", "http://127.0.0.1:9050"
                    )
                },
            )
            dataset = "clv"
        else:
            dataset = get("CLV_BIGQUERY_DATASET", "clv")
            self.client = bigquery.Client(
                project=get("CLV_BIGQUERY_PROJECT"),
                location=get("CLV_BIGQUERY_LOCATION", "EU"),
                credentials=google_credentials(),
                default_query_job_config=bigquery.QueryJobConfig(labels=LABELS),
            )
        self.prefix = f"{self.client.project}.{dataset}"

    def relation(self, schema: str, name: str) -> str:
        """Return the full name of a relation."""
        return f"`{self.prefix}_{schema}.{name}`"

    def columns(self, relation: str) -> list[str]:
        """Return the names of a relation's columns."""
        from google.api_core.exceptions import NotFound

        try:
            table = self.client.get_table(relation.strip("`"))
        except NotFound:
            raise ConfigError(f"there is no {relation}: build first") from None
        return [field.name for field in table.schema]

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return all rows of a small query."""
        return [dict(row) for row in self.client.query(sql).result()]

    def store(self, sql: str) -> Callable[[], Pages]:
        """Read once; return what pages the result, anew at every call."""
        job = self.client.query(sql)
        job.result()

        def pages() -> Pages:
            for page in job.result(page_size=PAGE).pages:
                if rows := [dict(row) for row in page]:
                    yield rows

        return pages

    def append(self, table: str, rows: list[dict[str, Any]], job: str) -> None:
        """Add rows to a table of state by one load job of this name."""
        from google.api_core.exceptions import Conflict

        lines = "\n".join(json.dumps(row, default=str) for row in rows)
        config = self.bigquery.LoadJobConfig(
            source_format="NEWLINE_DELIMITED_JSON",
            write_disposition="WRITE_APPEND",
            labels=LABELS,
        )
        name = self.relation("state", table).strip("`")
        try:
            load = self.client.load_table_from_file(
                io.BytesIO(lines.encode()), name, job_id=job, job_config=config
            )
        except Conflict:
            load = self.client.get_job(job)
        load.result(timeout=LOAD_SECONDS)

    def close(self) -> None:
        """Let go of it."""
        self.client.close()


def google_credentials() -> Any:
    """Return the key file's login or the default one, acting for another if told so."""
    import google.auth
    from google.auth import impersonated_credentials
    from google.auth.exceptions import DefaultCredentialsError
    from google.oauth2 import service_account

    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    if keyfile := os.environ.get("CLV_BIGQUERY_KEYFILE"):
        found = service_account.Credentials.from_service_account_file(
            keyfile, scopes=scopes
        )
    else:
        try:
            found, _ = google.auth.default(scopes=scopes)
        except DefaultCredentialsError as error:
            raise LoginError(
                "there is no login to Google: gcloud auth application-default login "
                "makes one, or CLV_BIGQUERY_KEYFILE names a key file"
            ) from error
    if principal := os.environ.get("CLV_BIGQUERY_IMPERSONATE"):
        found = impersonated_credentials.Credentials(found, principal, scopes)
    return found


def open_warehouse(name: str, read_only: bool) -> DuckDb | BigQuery:
    """Open what a target of profiles.yml names."""
    if name == "duckdb":
        return DuckDb(read_only)
    return BigQuery(emulator=name.startswith("emulator"))
