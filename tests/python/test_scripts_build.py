"""scripts/build.sh writes the page whatever rings, and fails where the build did.

With a dbt and a page of its own: only what build.sh does with them is tested.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
from merge_vars import merge

ALERTS = "test.clv.assert_no_alert_is_loud_enough_to_fail_the_build"
DBT = """#!{python}
import os, pathlib, sys
results = pathlib.Path("target/run_results.json")
text = {text!r}
if text:
    results.parent.mkdir(exist_ok=True)
    results.write_text(text)
print("Done.", os.environ.get("CLV_BIGQUERY_DATASET"), *sys.argv[1:])
sys.exit({code})
"""


@pytest.fixture
def build(tmp_path):
    """Run build.sh where dbt ends with a code and results; return how it ended."""
    (tmp_path / "scripts").mkdir()
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("build.sh", "lib.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    for name in ("merge_vars", "report"):
        # the page is where --output says
        text = "import sys, pathlib\nif '--output' in sys.argv:\n"
        text += "    pathlib.Path(sys.argv[-1]).write_text('new')\n"
        (tmp_path / "scripts" / f"{name}.py").write_text(text)
    for lock in ("requirements.lock", ".venv/installed.lock"):
        (tmp_path / lock).touch()
    (tools / "python").symlink_to(sys.executable)

    def run(code, results, *options):
        rows = [
            {"unique_id": name, "status": status} for name, status in results.items()
        ]
        text = json.dumps({"results": rows}) if results else ""
        (tools / "dbt").write_text(
            DBT.format(python=sys.executable, text=text, code=code)
        )
        (tools / "dbt").chmod(0o755)
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DBT_", "CLV_"))
        }
        return subprocess.run(
            ["bash", tmp_path / "scripts" / "build.sh", "--target", "x", *options],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    run.page = tmp_path / "report.html"
    run.page.write_text("old")
    return run


def test_the_page_is_written_when_an_alert_fails_the_build(build):
    done = build(1, {"model.clv.alerts": "success", ALERTS: "fail"})
    assert done.returncode == 2
    assert "The build failed" in done.stderr
    assert build.page.read_text() == "new"


def test_a_good_build_writes_the_page_and_ends_well(build):
    done = build(0, {"model.clv.alerts": "success", ALERTS: "pass"})
    assert done.returncode == 0, done.stderr
    assert build.page.read_text() == "new"


@pytest.mark.parametrize("status", ["error", "skipped"])
def test_a_page_of_two_runs_is_not_written(build, status):
    """A model that failed, or was skipped after a test that did."""
    done = build(1, {"model.clv.customers": "success", "model.clv.alerts": status})
    assert done.returncode == 2
    assert "The page is that of the last build" in done.stderr
    assert build.page.read_text() == "old"


def test_a_build_that_fails_before_its_first_table_leaves_the_page(build):
    """Such as one with wrong variables; the results there are of an earlier run."""
    build(0, {"model.clv.alerts": "success"})
    build.page.write_text("old")
    done = build(2, {})
    assert done.returncode == 2
    assert build.page.read_text() == "old"


def test_without_tests_no_page_is_written(build):
    done = build(0, {"model.clv.alerts": "success"}, "--fast")
    assert done.returncode == 0, done.stderr
    assert build.page.read_text() == "old"


def test_an_empty_build_goes_into_datasets_of_its_own(build):
    done = build(0, {"model.clv.alerts": "success"}, "--empty")
    assert done.returncode == 2
    assert "--empty is for target bigquery only" in done.stderr
    chosen = ("--target", "bigquery", "--empty")
    done = build(0, {"model.clv.alerts": "success"}, *chosen)
    assert done.returncode == 0, done.stderr
    assert "Done. clv_smoke --no-use-colors build" in done.stdout
    assert "--exclude-resource-type unit_test --empty" in done.stdout
    assert build.page.read_text() == "old"


def test_an_empty_build_reads_the_inputs_where_they_are():
    assert merge("{}", "", "", "", "clv_raw") == {"clv_source_schema": "clv_raw"}
    named = merge("{clv_source_schema: shop}", "", "", "", "clv_raw")
    assert named == {"clv_source_schema": "shop"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--demo", "railway"), "There is no demo railway: retail and airline are."),
        (("--demo", "--fast"), "target x reads table"),
        (("--demo", "airline", "--fast"), "target x reads table"),
        (("--demo", "airline", "--target", "emulator"), "simulate_airline.py"),
        (("--demo", "airline", "--input", "orders.csv"), "Say either"),
    ],
)
def test_a_demo_is_named_or_the_retail_one(build, options, sentence):
    done = build(0, {"model.clv.alerts": "success"}, *options)
    assert done.returncode == 2
    assert sentence in done.stderr
