"""The warehouse as export_segments.py sees it: pages of rows out, rows of state in.

DuckDB: one connection is held for the whole run. The file admits one writer, so a
second run or a build meanwhile is refused by DuckDB itself, and its lock vanishes with
a process that dies. BigQuery: reads come from the stored result of one query; writes
are load jobs whose names follow from run and number, so that one repeated by mistake
appends nothing twice.
"""

import datetime
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
from export_transports import BusyError, ConfigError, LoginError

PROJECT = Path(__file__).resolve().parent.parent
MEMORY = "64MB"
SLICE = 2_000
LOAD_SECONDS = 600

TEXT, COUNT, FLAG, TIME, DAY = "varchar", "bigint", "boolean", "timestamp", "date"
# As macros/state/state_tables.sql has them; a test compares.
STATE = {
    "export_runs": {
        "run_id": TEXT,
        "target": TEXT,
        "event": TEXT,
        "mode": TEXT,
        "exit_code": COUNT,
        "shipped_rows": COUNT,
        "removed_rows": COUNT,
        "rejected_rows": COUNT,
        "transient_rows": COUNT,
        "git_commit": TEXT,
        "log_id": TEXT,
        "as_of_date": DAY,
        "recorded_at": TIME,
    },
    "export_ledger": {
        "run_id": TEXT,
        "target": TEXT,
        "customer_key": TEXT,
        "op": TEXT,
        "row_hash": TEXT,
        "is_shipped": FLAG,
        "is_transient": FLAG,
        "code": TEXT,
        "log_id": TEXT,
        "recorded_at": TIME,
    },
}


def now() -> datetime.datetime:
    """Return the time in UTC, without a zone, as the tables of state keep it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class DuckDb:
    """One DuckDB file.

    Attributes:
        is_exclusive: while it is open, no other run can be.
    """

    is_exclusive = True

    def __init__(self, read_only: bool):
        path = os.environ.get("CLV_DUCKDB_PATH") or PROJECT / "warehouse.duckdb"
        if not Path(path).is_file():
            raise ConfigError(f"there is no DuckDB file {path}: build first")
        try:
            self.connection = duckdb.connect(str(path), read_only=read_only)
        except duckdb.IOException:
            raise BusyError(f"another process writes to {path}") from None
        database = self.connection.execute("select current_database()").fetchone()[0]
        # What does not fit goes to a file beside the database; millions of rows in the
        # ledger may need more.
        memory = os.environ.get("CLV_EXPORT_MEMORY", MEMORY)
        self.connection.execute(f"set memory_limit = '{memory}'")
        self.connection.execute("set threads = 1")
        self.prefix = f'"{database}".clv'

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

    def pages(self, sql: str, size: int) -> Iterator[list[dict[str, Any]]]:
        """Yield rows of a large query, without holding it."""
        # Set aside, in order: a query left open would stand in the way of appends.
        self.connection.execute(f"create or replace temp table pages as {sql}")
        number = self.connection.execute("select count(*) from pages").fetchone()[0]
        for first in range(0, number, size):
            yield self.rows(
                f"select * from pages where rowid >= {first} and rowid < {first + size}"
            )

    def append(self, table: str, rows: list[dict[str, Any]], job: str) -> None:
        """Add rows to a table of state, in one transaction."""
        columns = STATE[table]
        self.connection.execute("begin")
        # DuckDB takes a hundred bytes and more for each value of a list: slices, and
        # lists only for what differs.
        for first in range(0, len(rows), SLICE):
            slice_ = rows[first : first + SLICE]
            terms, values = [], []
            for column, kind in columns.items():
                listed = [row[column] for row in slice_]
                if len(set(listed)) == 1:
                    terms.append(f"cast(? as {kind})")
                    values.append(listed[0])
                else:
                    terms.append(f"unnest(cast(? as {kind}[]))")
                    values.append(listed)
            self.connection.execute(
                f"insert into {self.relation('state', table)} ({', '.join(columns)}) "
                f"select {', '.join(terms)}",
                values,
            )
        self.connection.execute("commit")

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()


class BigQuery:
    """A dataset of BigQuery, named and entered as profiles.yml does.

    Attributes:
        is_exclusive: false: another machine may run at the same time.
    """

    is_exclusive = False

    def __init__(self, emulator: bool):
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        self.bigquery = bigquery
        get = os.environ.get
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

    def pages(self, sql: str, size: int) -> Iterator[list[dict[str, Any]]]:
        """Yield rows of a large query, without holding it."""
        for page in self.client.query(sql).result(page_size=size).pages:
            if rows := [dict(row) for row in page]:
                yield rows

    def append(self, table: str, rows: list[dict[str, Any]], job: str) -> None:
        """Add rows to a table of state by one load job of this name."""
        from google.api_core.exceptions import Conflict

        lines = "\n".join(json.dumps(row, default=str) for row in rows)
        config = self.bigquery.LoadJobConfig(
            source_format="NEWLINE_DELIMITED_JSON", write_disposition="WRITE_APPEND"
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
