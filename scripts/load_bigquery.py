"""Load input files into a dataset of BigQuery.

usage: load_bigquery.py --input PATH --project NAME [--dataset clv_raw] [--location EU]
                        [--value KIND] [--columns MAPPING] [--dates ORDER]
                        [--decimal SEPARATOR] [--endpoint URL]

The files are read and checked as by load_input.py, in a scratch file, and nothing is
loaded before all of it is found good. Each table is then replaced by one load job,
which costs nothing; a new one is partitioned by the month of its ts. A folder without
the consents, statuses or identities that the dataset has is refused. Logs in as gcloud
does; with --endpoint, an emulator, not at all.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import duckdb
from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from input_values import COUNT, DATE, FLAG, MONEY, SCORE, TEXT, TIMESTAMP
from load_input import (
    CONTRACT,
    SCHEMA,
    WITHDRAWALS,
    add_reading_options,
    find_files,
    forgotten,
    load,
    reading_options,
    refusal,
)

SECONDS = 600  # for one load job

BIGQUERY_TYPES = {
    TEXT: "STRING",
    COUNT: "INT64",
    FLAG: "BOOL",
    MONEY: "NUMERIC",
    SCORE: "FLOAT64",
    DATE: "DATE",
    TIMESTAMP: "TIMESTAMP",
}


def open_client(project: str, location: str, endpoint: str = "") -> bigquery.Client:
    """A client of BigQuery or, with an endpoint, of an emulator."""
    if not endpoint:
        return bigquery.Client(project=project, location=location)
    return bigquery.Client(
        project=project,
        location=location,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": endpoint},
    )


def is_there(client: bigquery.Client, table: str) -> bool:
    """Return whether there is a table: one that is there keeps its partitions."""
    try:
        client.get_table(table)
    except NotFound:
        return False
    return True


def refuse_forgotten(client: bigquery.Client, dataset: str, given: set[str]) -> None:
    """Refuse a load without consents, statuses or links that the dataset has."""
    for table in set(WITHDRAWALS) - given:
        try:
            rows = client.get_table(f"{client.project}.{dataset}.{table}").num_rows
        except NotFound:
            continue
        if rows:
            raise forgotten(table, f"{rows:,} rows")


def push(client: bigquery.Client, database: Path, dataset: str, location: str) -> None:
    """Replace the input tables of a dataset by those of a DuckDB file."""
    # Creating a dataset is refused without the permission, even if it exists.
    try:
        client.get_dataset(f"{client.project}.{dataset}")
    except NotFound:
        target = bigquery.Dataset(f"{client.project}.{dataset}")
        target.location = location
        client.create_dataset(target)
    with (
        tempfile.TemporaryDirectory() as folder,
        duckdb.connect(str(database), read_only=True) as connection,
    ):
        # Times are in UTC: as such BigQuery takes them for instants.
        connection.execute("set TimeZone = 'UTC'")
        for table in CONTRACT:
            path = Path(folder) / f"{table}.parquet"
            relation = connection.sql(f"from {SCHEMA}.{table}")
            columns = {
                name: str(kind).lower().replace("(18,4)", "(18, 4)")
                for name, kind in zip(relation.columns, relation.types, strict=True)
            }
            selected = ", ".join(
                f"cast({name} as timestamptz) as {name}" if kind == TIMESTAMP else name
                for name, kind in columns.items()
            )
            connection.execute(
                f"copy (select {selected} from {SCHEMA}.{table}) "
                f"to '{path}' (format parquet)"
            )
            job = bigquery.LoadJobConfig(
                source_format=bigquery.SourceFormat.PARQUET,
                write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
                schema=[
                    bigquery.SchemaField(name, BIGQUERY_TYPES[kind])
                    for name, kind in columns.items()
                ],
            )
            name = f"{client.project}.{dataset}.{table}"
            if "ts" in columns and not is_there(client, name):
                job.time_partitioning = bigquery.TimePartitioning("MONTH", "ts")
            with path.open("rb") as file:
                client.load_table_from_file(file, name, job_config=job).result(
                    timeout=SECONDS
                )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input", type=Path, required=True, metavar="PATH", help="a file, or a folder"
    )
    parser.add_argument("--project", required=True, metavar="NAME", help="of Google")
    parser.add_argument(
        "--dataset", default=SCHEMA, metavar="NAME", help="made if missing"
    )
    parser.add_argument("--location", default="EU", help="of a new dataset")
    add_reading_options(parser)
    parser.add_argument("--endpoint", default="", metavar="URL", help="an emulator")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "input.duckdb"
        try:
            lines = load(options.input, database, reading_options(options))
            client = open_client(options.project, options.location, options.endpoint)
            given = set(find_files(options.input)[0])
            refuse_forgotten(client, options.dataset, given)
            push(client, database, options.dataset, options.location)
        except (GoogleAPICallError, GoogleAuthError) as error:
            # Of a bad request it may quote a value.
            is_about_rows = getattr(error, "code", None) == 400
            reason = type(error).__name__ if is_about_rows else error
            print(f"BigQuery refused the input: {reason}", file=sys.stderr)
            return 2
        except Exception as error:
            print(refusal(error), file=sys.stderr)
            return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
