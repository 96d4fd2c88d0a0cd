"""What a first day on BigQuery would stumble over, with clients that forbid it."""

import sys
from copy import deepcopy
from types import SimpleNamespace

import pytest
from conftest import ROOT
from google.api_core.exceptions import Forbidden, NotFound
from google.cloud.bigquery import Dataset

sys.path.insert(0, str(ROOT / "scripts"))
import grant_access
import load_bigquery

# --- A1: no account of a build may create datasets -----------------------------------


class Strict:
    """A client of an account that may write to the datasets there are, and no more."""

    project = "shop"

    def __init__(self, *datasets):
        self.datasets = {name: Dataset(f"shop.{name}") for name in datasets}
        self.loaded, self.updated, self.policies = {}, [], {}

    def get_dataset(self, name):
        """Return one that is there."""
        if (name := name.rpartition(".")[2]) not in self.datasets:
            raise NotFound(name)
        return self.datasets[name]

    def create_dataset(self, *_, **__):
        """Refuse, whether it is there or not, as BigQuery does."""
        raise Forbidden("bigquery.datasets.create")

    def get_table(self, name):
        """Find the tables of customers and of events alone."""
        if name.rpartition(".")[2] not in ("customers", "events"):
            raise NotFound(name)

    def load_table_from_file(self, _, table, job_config):
        """Keep how a table was loaded."""
        self.loaded[table.rpartition(".")[2]] = job_config
        return SimpleNamespace(result=lambda **_: None)


@pytest.fixture
def database(tmp_path):
    """Return a DuckDB file with inputs: four lines of two customers."""
    log = tmp_path / "log.csv"
    log.write_text("user_id,ts,amount\nc1,2024-01-31,5\nc2,2024-02-01,6\n")
    path = tmp_path / "input.duckdb"
    load_bigquery.load(log, path, load_bigquery.reading_options(READING))
    return path


READING = SimpleNamespace(value="margin", columns="", dates="", decimal="")


def test_the_loader_needs_no_right_to_create_datasets_and_partitions(database):
    client = Strict("clv_raw")
    load_bigquery.push(client, database, "clv_raw", "EU")
    by_month = {
        name: job.time_partitioning.type_
        for name, job in client.loaded.items()
        if job.time_partitioning
    }
    # What is there keeps its partitions: BigQuery refuses to change them in a load.
    assert by_month == {"transactions": "MONTH", "text_signals": "MONTH"}


def test_the_loader_makes_a_dataset_that_is_missing(database):
    with pytest.raises(Forbidden, match=r"datasets\.create"):
        load_bigquery.push(Strict(), database, "clv_raw", "EU")


# --- A2: who touches what ------------------------------------------------------------


def relation(name, file, schema, *parents, **changes):
    return {
        "resource_type": "model",
        "name": name,
        "schema": schema,
        "original_file_path": file,
        "config": {"materialized": "table"},
        "depends_on": {"nodes": list(parents)},
    } | changes


@pytest.fixture
def manifest():
    """Return a small one: an audience that asks for consents, a mart on state."""
    raw = {"resource_type": "source", "source_name": "clv_raw"}
    state = {"resource_type": "source", "source_name": "clv_state"}
    view = {"config": {"materialized": "view"}}
    names = {
        "raw": relation("consents", "models/staging/s.yml", "other", **raw),
        "ledger": relation("export_ledger", "models/x.yml", "clv_state", **state),
        "runs": relation("run_results", "models/x.yml", "clv_state", **state),
        "seed": relation("rates", "seeds/rates.csv", "clv_reference"),
        "stated": relation("stg_c", "models/staging/s", "clv_staging", "raw", **view),
        "people": relation("customers", "models/marts/c.sql", "clv", "stated"),
        "log": relation("scoring_runs", "models/marts/r.sql", "clv", "runs", **view),
        "audience": relation(
            *("x__audience", "models/export/a.sql", "clv_export", "stated", "people"),
            **view,
        ),
    }
    return {
        "nodes": {k: v for k, v in names.items() if v["resource_type"] == "model"},
        "sources": {k: v for k, v in names.items() if v["resource_type"] == "source"},
    }


def need(manifest):
    return grant_access.needed(manifest, ["x__audience"], ["export_ledger"])


def test_rights_follow_from_what_each_account_reads(manifest):
    wanted = need(manifest)
    assert wanted["principals"] == {
        "build": {
            "raw": "all",
            "datasets": {
                **{"marts": "owner", "staging": "owner", "state": "owner"},
                **{"reference": "editor", "export": "editor"},
            },
        },
        "export": {
            "raw": ["consents"],
            "datasets": {"export": "reader", "state": "editor"},
        },
        "bi": {"raw": [], "datasets": {"marts": "reader"}},
        "audience": {"raw": ["consents"], "datasets": {"export": "reader"}},
    }
    assert wanted["views"] == {
        **{"staging": ["export"], "marts": ["export"], "state": ["marts"]}
    }


@pytest.mark.parametrize(
    ("node", "changes", "sentence"),
    [
        # A mart that becomes a view over what BI may not read.
        ("people", {"config": {"materialized": "view"}}, "bi needs raw ['consents']"),
        ("people", {"config": {"materialized": "view"}}, "views that read staging"),
        # A view of the export that reads state, and one that reads it no more.
        ("audience", {"depends_on": {"nodes": ["runs"]}}, "state are those of"),
        ("audience", {"depends_on": {"nodes": []}}, "export needs raw [], and is"),
        # A dataset of its own for the seeds.
        ("seed", {"schema": "clv_seeds"}, "build needs datasets"),
    ],
)
def test_a_right_that_is_missing_or_too_much_is_found(
    manifest, node, changes, sentence
):
    found = need(manifest)
    assert list(grant_access.differences(found, need(manifest))) == []
    changed = deepcopy(manifest)
    (changed["nodes"].get(node) or changed["sources"][node]).update(changes)
    sentences = list(grant_access.differences(found, need(changed)))
    assert any(sentence in each for each in sentences), sentences


class Owner(Strict):
    """A client of an owner of the project, with one input table."""

    def create_dataset(self, dataset):
        """Make it."""
        self.datasets[dataset.dataset_id] = dataset
        return dataset

    def update_dataset(self, dataset, fields):
        """Take its access list."""
        assert fields == ["access_entries"]
        self.updated.append(dataset.dataset_id)

    def get_iam_policy(self, table):
        """Return that of the one table there is."""
        if not table.endswith(".consents"):
            raise NotFound(table)
        return self.policies.setdefault(table, SimpleNamespace(bindings=[]))

    def set_iam_policy(self, table, policy):
        """Take it."""
        self.policies[table] = policy


def grant(client, **members):
    grants = grant_access.Grants(client, "clv", "EU", members)
    grants.grant_datasets(True)
    grants.grant_inputs(True)
    return grants


def test_grants_are_those_of_the_list_and_the_second_time_none():
    client = Owner()
    account = "serviceAccount:a@shop.iam.gserviceaccount.com"
    first = grant(client, build=account, export=account, bi="group:bi@example.com")
    assert len(first.missing) > 6
    state = client.datasets["clv_state"]
    assert state.location == "EU"
    roles = {str(entry.entity_id): entry.role for entry in state.access_entries}
    # One account that is two: the stronger right.
    assert roles.pop("a@shop.iam.gserviceaccount.com") == "OWNER"
    assert "bi@example.com" not in roles
    [[views, role]] = roles.items()
    assert "'clv'" in views
    assert role is None
    [policy] = client.policies.values()
    assert policy.bindings == [{"role": grant_access.VIEWER, "members": {account}}]
    assert len(list(first.commands())) == 4
    client.updated.clear()
    assert grant(client, build=account, export=account).missing == []
    assert client.updated == []
