"""Serve local-bigquery 0.4.0 on this machine, without a network, for dbt-bigquery.

usage: emulator_server.py --host H --port P --grpc-port G --project NAME --data-dir DIR

Runs in the environment of emulator_requirements.lock (Python 3.13), with HOME in a
scratch folder, as DuckDB installs its extensions there. Ends with its parent: when
standard input, a pipe that the parent holds, is closed. Eleven things of local-bigquery
are adapted, so its version is pinned.
"""

import collections
import dataclasses
import hashlib
import importlib.resources
import json
import os
import sys
import threading

if "--help" in sys.argv or "-h" in sys.argv:
    sys.exit(print(__doc__))
if sys.version_info < (3, 13):
    sys.exit(
        "It runs in the environment of emulator_requirements.lock, which "
        "scripts/build.sh --target emulator makes."
    )

import duckdb
import sqlglot
from sqlglot import exp

# 1. DuckDB would fetch these from its own site; here they come from their wheels. The
# time zone, which needs one of its extensions, is set once they are there.
EXTENSIONS = {
    name: importlib.resources.files(f"duckdb_extension_{name}")
    / "extensions"
    / f"v{duckdb.__version__}"
    / f"{name}.duckdb_extension"
    for name in ("ducklake", "spatial")
}
connect_plainly = duckdb.connect


# 2. It writes every job, several times, and every result to a file of its own, and
# waits for the disk each time. None of it is needed once it has ended.
class Connection:
    """DuckDB's connection, with that file in memory."""

    def __init__(self, connection):
        self.connection = connection

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, sql, *arguments):
        """Execute a statement, or the attachment of memory instead of the file."""
        if sql.startswith("ATTACH ") and sql.endswith(" AS emulator"):
            sql = "attach ':memory:' as emulator"
        return self.connection.execute(sql, *arguments)


def connect(*arguments, config=None, **options):
    config = dict(config or {})
    time_zone = config.pop("TimeZone", None)
    connection = connect_plainly(*arguments, config=config, **options)
    for name, path in EXTENSIONS.items():
        connection.execute(f"install '{path}'")
        connection.execute(f"load {name}")
    if not time_zone:
        return connection
    connection.execute(f"set global TimeZone = '{time_zone}'")
    return Connection(connection)


duckdb.connect = connect

from local_bigquery.catalog import (  # noqa: E402 (it keeps duckdb.connect)
    metadata,
    names,
    options,
    tables,
)
from local_bigquery.engine import database, results  # noqa: E402
from local_bigquery.jobs import query, runner, store  # noqa: E402
from local_bigquery.models import Job, TableReference  # noqa: E402
from local_bigquery.sql import script  # noqa: E402

# 3. BigQuery names the table made by CREATE TABLE AS SELECT as the destination of the
# job, and dbt-bigquery counts its rows there; local-bigquery names none.
# 4. It keeps the result of every query as a table, for ever, and gets slower with each.
# The client reads a result at once, so only the latest are kept.
# 5. It asks duckdb_tables(), which looks at all, for the temporary tables of every job:
# without a session a job has a connection of its own, and none.
execute_plainly = query.execute
latest = collections.deque()
KEPT = 50


TEMPORARY = "SELECT table_name FROM duckdb_tables() WHERE temporary"


class Cursor:
    """DuckDB's cursor, without temporary tables."""

    def __init__(self, cursor):
        self.cursor = cursor

    def __getattr__(self, name):
        return getattr(self.cursor, name)

    def sql(self, query, **options):
        """Return the relation of a query."""
        query = "select null where false" if query == TEMPORARY else query
        return self.cursor.sql(query, **options)


def execute(cursor, *arguments, session=None, **options):
    statistics, children, destination = execute_plainly(
        cursor if session else Cursor(cursor), *arguments, session=session, **options
    )
    made = getattr(statistics, "ddlTargetTable", None)
    if (
        destination is None
        and made
        and statistics.statementType == "CREATE_TABLE_AS_SELECT"
    ):
        destination = TableReference.model_validate(made, from_attributes=True)
    if destination and destination.datasetId == tables.RESULTS:
        latest.append(tables.name(*tables.reference(destination)))
        if len(latest) > KEPT:
            oldest = latest.popleft()
            database.execute(f"drop table if exists {oldest}")
            columns_of.pop(oldest, None)
    return statistics, children, destination


query.execute = execute

# 6. SET (a, b) = (SELECT AS STRUCT x, y FROM ...), which begins the script of dbt's
# insert_overwrite: each variable is set by itself.
set_plainly = script.Interpreter.set


def set_variables(self, statement):
    tree = sqlglot.parse_one(statement.text, dialect=script.BigQueryDialect)
    for item in tree.expressions:
        target, value = item.this.this, item.this.expression
        select = value.unnest() if value is not None else None
        if (
            isinstance(target, exp.Paren | exp.Tuple)
            and isinstance(select, exp.Select)
            and str(select.args.get("kind") or "").upper() == "STRUCT"
        ):
            single = isinstance(target, exp.Paren)
            variables = [target.this] if single else target.expressions
            for position, variable in enumerate(variables):
                part = select.copy()
                part.set("kind", None)
                part.set("expressions", [select.expressions[position].copy()])
                self.assign(self.variable(variable.name), exp.Subquery(this=part))
            return None
    return set_plainly(self, statement)


script.Interpreter.set = set_variables

# 7. Every statement asks several times what a table is, and duckdb_tables() looks at
# all, past results included: half of a build's time. DuckLake's own tables know it.
LISTING = """
    select table_name, 'TABLE', coalesce(record_count, 0)
    from {0}.ducklake_table as tables
    inner join {0}.ducklake_schema as schemas using (schema_id)
    left join {0}.ducklake_table_stats using (table_id)
    where tables.end_snapshot is null and schemas.end_snapshot is null
        and schema_name = $1 and table_name = coalesce($2, table_name)
    union all
    select view_name, 'VIEW', 0
    from {0}.ducklake_view as views
    inner join {0}.ducklake_schema as schemas using (schema_id)
    where views.end_snapshot is null and schemas.end_snapshot is null
        and schema_name = $1 and view_name = coalesce($2, view_name)
    order by 1
"""
list_plainly = database.objects


def list_objects(project_id, dataset_id, table_id=None):
    if project_id != "emulator":
        metadata = database.quote(f"__ducklake_metadata_{project_id}")
        return database.fetch(LISTING.format(metadata), [dataset_id, table_id])
    if table_id is None:
        return list_plainly(project_id, dataset_id)
    name = database.quote(project_id, dataset_id, table_id)
    try:
        [(rows,)] = database.fetch(f"select count(*) from {name}")
    except duckdb.CatalogException:
        return []
    return [(table_id, "TABLE", rows)]


database.objects = list_objects

# 8. So does duckdb_columns(), which is queried for not-null columns of a table, and for
# the hidden column of a table partitioned by ingestion time.
ASKED = {
    "SELECT column_name FROM duckdb_columns()": "not nulls_allowed and $3 is null",
    "SELECT 1 FROM duckdb_columns()": "column_name = $3",
}
COLUMNS = """
    select column_name
    from {0}.ducklake_column as columns
    inner join {0}.ducklake_table as tables using (table_id)
    inner join {0}.ducklake_schema as schemas using (schema_id)
    where columns.end_snapshot is null and tables.end_snapshot is null
        and schemas.end_snapshot is null and parent_column is null
        and schema_name = $1 and table_name = $2 and {1}
"""
fetch_plainly = database.fetch


def fetch(sql, params=None):
    wanted = next((ASKED[head] for head in ASKED if sql.startswith(head)), None)
    if wanted is None:
        return fetch_plainly(sql, params)
    project_id, dataset_id, table_id, *column = params
    if project_id == "emulator":  # results of queries: neither
        return []
    metadata = database.quote(f"__ducklake_metadata_{project_id}")
    return fetch_plainly(
        COLUMNS.format(metadata, wanted), [dataset_id, table_id, *(column or [None])]
    )


database.fetch = fetch

# 9. It takes expiration_timestamp = null, which says that a table does not expire,
# for a time.
expiration = options.TABLE_OPTIONS["expiration_timestamp"]


def expire(node, evaluate):
    return None if isinstance(node, exp.Null) else expiration.parse(node, evaluate)


options.TABLE_OPTIONS["expiration_timestamp"] = dataclasses.replace(
    expiration, parse=expire
)

# 10. It keeps what it says of tables and of jobs in tables, and saves a job thrice:
# here they are texts in memory.
described = collections.defaultdict(dict)
jobs = {}


def list_described(model, *keys):
    if len(keys) == len(database.RESOURCES[metadata.KINDS[model]]):
        found = [described[model].get(keys)]
    else:
        every = list(described[model].items())
        found = [text for each, text in every if each[: len(keys)] == keys]
    return [model.model_validate_json(text) for text in found if text]


def describe(resource, *keys):
    body = {k: v for k, v in resource.dump().items() if k != "etag"}
    text = json.dumps(body, sort_keys=True)
    etag = hashlib.md5(text.encode()).hexdigest()
    described[type(resource)][keys] = json.dumps(body | {"etag": etag})
    return resource.replace(etag=etag)


def forget_described(model, *keys):
    for each in list(described[model]):
        if each[: len(keys)] == keys:
            described[model].pop(each, None)


def save_job(job):
    jobs[job.jobReference.projectId, job.jobReference.jobId] = json.dumps(job.dump())
    return job


def load_job(project_id, job_id):
    text = jobs.get((project_id, job_id))
    return Job.model_validate_json(text) if text else None


metadata.list_, metadata.save = list_described, describe
metadata.delete = forget_described
store.save, store.load = save_job, load_job

# 11. It asks DuckLake for the columns of a table whenever a statement names it: a third
# of its time. They stay until the table is made anew; a view's, until anything is.
columns_plainly, run_plainly = tables.columns, query._run
columns_of, views, changing = {}, set(), threading.local()
IS_VIEW = """
    select 1 from {0}.ducklake_view as views
    inner join {0}.ducklake_schema as schemas using (schema_id)
    where views.end_snapshot is null and schemas.end_snapshot is null
        and schema_name = $1 and view_name = $2
"""


def columns(*reference):
    name = tables.name(*reference)
    if name in getattr(changing, "names", ()):
        return columns_plainly(*reference)
    if name not in columns_of:
        found = columns_plainly(*reference)
        project_id, dataset_id, table_id = tables.physical(*reference)
        if project_id != "emulator":
            metadata_id = database.quote(f"__ducklake_metadata_{project_id}")
            is_view = IS_VIEW.format(metadata_id)
            if fetch_plainly(is_view, [dataset_id, table_id]):
                views.add(name)
        columns_of[name] = found
    return list(columns_of[name])


def forget_columns(*changed):
    for name in (*changed, *list(views)):
        columns_of.pop(name, None)


def changed_by(tree, context):
    """The names of what a statement makes, drops or alters."""
    target = tree.find(exp.Table)
    kind = (tree.args.get("kind") or "TABLE").upper()
    if not isinstance(tree, query.DDL) or target is None:
        return []
    if kind == "SCHEMA":
        return list(columns_of)
    actions = tree.args.get("actions") or []
    dataset_id = context.dataset_id or ""
    reference = names.reference(target, context.project_id, dataset_id)
    new = [each.this.name for each in actions if isinstance(each, exp.AlterRename)]
    return [tables.name(*reference)] + [
        tables.name(*reference[:2], table_id) for table_id in new
    ]


def run(cur, tree, context, *arguments):
    changing.names = changed = changed_by(tree, context)
    try:
        return run_plainly(cur, tree, context, *arguments)
    finally:
        changing.names = ()
        if changed:
            forget_columns(*changed)


def then_forget(plainly, place=None):
    """The function, and forget what it makes: the name in that place, or everything."""

    def call(*arguments, **options):
        try:
            return plainly(*arguments, **options)
        finally:
            is_one = place is not None
            forget_columns(*([arguments[place]] if is_one else list(columns_of)))

    return call


tables.columns, query._run = columns, run
results.materialise = then_forget(results.materialise, 2)
for function in ("create", "update", "delete", "evolve"):
    setattr(tables, function, then_forget(getattr(tables, function)))
runner.HANDLERS["copy"] = then_forget(runner.HANDLERS["copy"])


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    from local_bigquery.cli import main

    threading.Thread(target=end_with_parent, daemon=True).start()
    main()
