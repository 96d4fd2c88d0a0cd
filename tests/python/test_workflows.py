"""What the workflows run, keep and know: pinned, little, and only where it is used."""

import os
import re
import shutil
import subprocess
import tomllib

import pytest
import yaml
from conftest import ROOT

FOLDER = ROOT / ".github" / "workflows"
# SQL and logs quote values; a page hides them (clv_min_cell), CI knows the demo alone.
KEPT = {"production": ["report.html"], "ci": ["artifacts"], "release": ["artifacts"]}


def steps_of(name):
    workflow = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    return [(job, step) for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_workflow_is_looked_at():
    assert {path.stem for path in FOLDER.iterdir()} == set(KEPT)


@pytest.mark.parametrize("name", KEPT)
def test_actions_are_pinned_and_leave_no_credentials(name):
    for line in re.findall(r"uses:.*", (FOLDER / f"{name}.yml").read_text()):
        assert re.fullmatch(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    for _, step in steps_of(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", KEPT)
def test_no_artifact_holds_sql_or_a_log(name):
    kept = [
        step["with"]["path"]
        for _, step in steps_of(name)
        if "upload-artifact" in step.get("uses", "")
    ]
    assert kept == KEPT[name]


@pytest.mark.parametrize("name", KEPT)
def test_rights_and_secrets_are_where_they_are_used(name):
    workflow = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert "secrets." not in str({k: v for k, v in workflow.items() if k != "jobs"})
    assert "pull_request_target" not in workflow[True]  # YAML reads `on` as true
    for job in workflow["jobs"].values():
        assert "secrets." not in str({k: v for k, v in job.items() if k != "steps"})
        signs_in = any("/auth@" in step.get("uses", "") for step in job["steps"])
        rights = job.get("permissions", workflow["permissions"])
        wanted = {"contents": "read"} | ({"id-token": "write"} if signs_in else {})
        if "gh release create" in str(job):  # which writes, and runs nothing of ours
            wanted = {"contents": "write"}
            assert "checkout" not in str(job)
            assert "scripts/" not in str(job)
        assert rights == wanted
    for _, step in steps_of(name):
        if "secrets." in str(step):
            assert "export_segments.py" in step["run"]
            # A secret is given as a variable, never written into a command.
            assert "${{" not in step["run"]


@pytest.mark.parametrize(
    ("tag", "code"), [("v{}", 0), ("v9{}", 1)], ids=["the version", "another"]
)
def test_a_release_has_the_version_and_a_section_of_the_changelog(tag, code, tmp_path):
    for name in ("dbt_project.yml", "pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    (step,) = (each for _, each in steps_of("release") if each.get("id") == "notes")
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=tmp_path,
        env=os.environ | {"TAG": tag.format(version)},
        check=False,
    )
    assert done.returncode == code
    if not code:
        notes = (tmp_path / "artifacts" / "notes.md").read_text()
        assert notes.strip()
        assert not re.search("^## ", notes, re.MULTILINE)


def test_a_fork_without_variables_schedules_nothing():
    workflow = yaml.safe_load((FOLDER / "production.yml").read_text())
    for job in workflow["jobs"].values():
        assert job["if"] == "vars.CLV_BIGQUERY_PROJECT != ''"
    assert "schedule" not in yaml.safe_load((FOLDER / "ci.yml").read_text())[True]


def test_withdrawals_are_synced_before_and_whatever_became_of_the_build():
    [(job, step)] = [
        (job, step)
        for job, step in steps_of("production")
        if "export_segments.py" in step.get("run", "")
    ]
    assert "!cancelled()" in step["if"]
    assert "vars.CLV_EXPORT_TARGET != ''" in step["if"]
    assert "inputs.run != 'smoke'" in step["if"]
    built = next(i for i, each in enumerate(job["steps"]) if each.get("id") == "build")
    assert job["steps"].index(step) == built + 1
    calls = re.findall(r"^ *export_rows\b(?!\().*", step["run"], re.MULTILINE)
    withdrawals, export = calls
    assert "--withdrawals" in withdrawals
    assert "--" not in export
    assert '"$BUILT" == success' in step["run"].split(withdrawals)[1]


def test_the_installer_is_fetched_by_its_hash():
    library = (ROOT / "scripts" / "lib.sh").read_text()
    fetches = re.findall(r"pip install(?:.*\\\n)*.*", library)
    assert fetches
    assert all("--require-hashes -r" in fetch for fetch in fetches)
    first, *hashes = (
        (ROOT / "scripts" / "uv_requirements.lock").read_text().split("\\\n")
    )
    assert re.fullmatch(r"uv==[\d.]+ ", first)
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}\s*", h) for h in hashes)
