"""The named selections of selectors.yml: what a daily run must not leave out."""

import json

import pytest
from conftest import ROOT, dbt_runner

# What a daily run does not make, and reads whole.
AT_HAND = {"model.clv.stg_consents", "model.clv.int_identities__resolved"}
DAILY = {"clv_run": "daily", "clv_as_of_date": "2024-06-30", "clv_fail_on": "page"}


def daily_nodes(target):
    """What a daily run selects; the manifest is kept in the folder `target`."""
    result = dbt_runner().invoke(
        [
            *("--quiet", "--no-populate-cache", "ls", "--selector=daily_scoring"),
            *("--output=json", "--output-keys", "name", "unique_id", "resource_type"),
            *("--vars", json.dumps(DAILY), "--target=bigquery_offline"),
            *(f"--project-dir={ROOT}", f"--profiles-dir={ROOT}"),
            *(f"--target-path={target}", f"--log-path={target}"),
        ]
    )
    assert result.success, result.exception
    return [json.loads(line) for line in result.result]


@pytest.fixture(scope="module")
def daily(tmp_path_factory):
    """Unique ids that a daily run selects, and the invariants of the project."""
    target = tmp_path_factory.mktemp("target")
    selected = daily_nodes(target)
    nodes = json.loads((target / "manifest.json").read_text())["nodes"].values()
    invariants = [
        node
        for node in nodes
        if node["original_file_path"].startswith("tests/invariants/")
    ]
    return {node["unique_id"] for node in selected}, invariants


def test_a_daily_run_runs_every_invariant_of_what_it_makes(daily):
    selected, invariants = daily
    due = {
        node["name"]: node["unique_id"] in selected
        for node in invariants
        if set(node["depends_on"]["nodes"]) <= selected | AT_HAND
        and "full_run" not in node["tags"]
    }
    assert len(due) > 8
    assert all(due.values()), due
