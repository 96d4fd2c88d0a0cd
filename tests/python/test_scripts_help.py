"""Every script says what it does and takes, and refuses in a sentence."""

import importlib
import re
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

SCRIPTS = [
    path.stem
    for path in sorted((ROOT / "scripts").glob("*.py"))
    if "\nif __name__ ==" in path.read_text()
]


def help_of(name, capsys):
    if name == "emulator_server":  # it adapts DuckDB as it is imported
        command = [sys.executable, ROOT / "scripts" / f"{name}.py", "--help"]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout
    with pytest.raises(SystemExit) as end:
        importlib.import_module(name).main(["--help"])
    assert end.value.code in (0, None)
    return capsys.readouterr().out


def test_every_script_is_asked():
    table = (ROOT / "scripts" / "README.md").read_text()
    modules = {"compare_warehouses", "googlesql", "page_words", "query_plans"}
    modules |= {"quick_dbt", "small_cells"} | {
        path.stem
        for part in ("report_*.py", "export_[ftw]*.py", "input_*.py")
        for path in (ROOT / "scripts").glob(part)
    }
    assert {*SCRIPTS} == {*re.findall(r"`(\w+)\.py`", table)} - modules


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_says_what_a_script_does_and_what_each_option_is(name, capsys):
    told = help_of(name, capsys)
    assert re.search(r"(?i)^usage: ", told, re.MULTILINE)
    assert "\\b" not in told
    assert len(told.splitlines()) > 5
    # an option that nothing is said about stands alone on its line
    listed = told.partition("\noptions:\n")[2]
    mute = re.findall(
        r"^  (-[^\n]*?\S)(?<!  )\n(?!      )", listed + "\n", re.MULTILINE
    )
    assert [option for option in mute if not re.search(r"\S  +\S", option)] == []


@pytest.mark.parametrize("name", ["build.sh", "change_version.sh", "test.sh"])
def test_the_jobs_say_what_they_take(name):
    command = ["bash", ROOT / "scripts" / name, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "usage: scripts/" in done.stdout


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("compare_builds", ["/none/a.duckdb", "/none/b.duckdb"]),
        ("check_project", ["--manifest", "/none/manifest.json"]),
        ("merge_vars", ["--get", "clv_nonesuch"]),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(name, arguments, capsys):
    assert importlib.import_module(name).main(arguments) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert re.search(r"/none/|clv_nonesuch", told)


def test_the_page_without_a_login_is_refused_in_a_sentence(monkeypatch, capsys):
    from dbt_common.exceptions import DbtConfigError

    report = importlib.import_module("report")

    class Warehouse:
        """One that cannot be reached: dbt fails again as it closes the connection."""

        def __init__(self, target, variables):
            try:
                raise DbtConfigError("Failed to authenticate\nerror:\nno credentials.")
            finally:
                connection = None
                connection.close()

    monkeypatch.setattr(report, "Warehouse", Warehouse)
    monkeypatch.setattr(report, "bundle", str)
    assert report.main([]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert told.startswith("No page: ")
    assert told.endswith("error: no credentials.\n")


def test_a_fault_of_the_page_is_not_taken_for_a_refusal(monkeypatch):
    report = importlib.import_module("report")

    def broken():
        raise KeyError("clv_value")

    monkeypatch.setattr(report, "defaults", broken)
    with pytest.raises(KeyError):
        report.main([])
