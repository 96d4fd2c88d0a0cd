"""scripts/write_sources.py: another dbt project reads every mart by what it writes."""

import os
import sys
from pathlib import Path

import duckdb
import pytest
import yaml
from conftest import ROOT, dbt_runner

sys.path.insert(0, str(ROOT / "scripts"))
import write_sources

PROFILE = """neighbour:
  target: duckdb
  outputs:
    duckdb:
      type: duckdb
      path: "{own}"
      attach: [{{path: "{demo}", alias: warehouse, read_only: true}}]
"""
PROJECT = "name: neighbour\nprofile: neighbour\nmodel-paths: [models]\n"
MODEL = """select segments.clv_segment, sum(lifetime.clv_365d) as clv
from {{ source('clv', 'customer_segments') }} as segments
inner join {{ source('clv', 'customer_lifetime_value') }} as lifetime
    on segments.customer_id = lifetime.customer_id
group by 1
"""


def dbt(folder, *command):
    result = dbt_runner().invoke(
        [
            *("--quiet", *command, f"--profiles-dir={folder}"),
            *(f"--target-path={folder / 'target'}", f"--log-path={folder / 'logs'}"),
        ]
    )
    assert result.success, result.exception
    return folder / "target"


@pytest.fixture(scope="module")
def demo():
    """The demo as scripts/test.sh has built it, or as it stands in the project."""
    database = Path(os.environ.get("CLV_TEST_DEMO") or ROOT / "warehouse.duckdb")
    if not database.exists():
        pytest.skip("no built demo: run scripts/build.sh first")
    return database


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The file for a project in whose warehouse the demo is attached."""
    folder = tmp_path_factory.mktemp("clv")
    (folder / "profiles.yml").write_text((ROOT / "profiles.yml").read_text())
    target = dbt(folder, "parse", f"--project-dir={ROOT}")
    file = folder / "clv_sources.yml"
    options = ("--manifest", str(target / "manifest.json"), "--database", "warehouse")
    assert write_sources.main([*options, "--output", str(file)]) == 0
    return file


def test_every_mart_is_a_source_with_the_columns_that_it_has(demo, written):
    (source,) = yaml.safe_load(written.read_text())["sources"]
    names = {table["name"] for table in source["tables"]}
    assert names == {path.stem for path in (ROOT / "models" / "marts").rglob("*.sql")}
    with duckdb.connect() as connection:
        connection.execute(f"attach '{demo}' as warehouse (read_only)")
        for table in source["tables"]:
            name = f"{source['database']}.{source['schema']}.{table['name']}"
            found = connection.execute(f"select * from {name} limit 0").description
            told = {column["name"] for column in table["columns"]}
            assert told == {column[0] for column in found}, name
            assert all(column["description"] for column in table["columns"]), name


def test_another_project_reads_them(demo, written, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "clv_sources.yml").write_text(written.read_text())
    (tmp_path / "models" / "value_by_segment.sql").write_text(MODEL)
    (tmp_path / "dbt_project.yml").write_text(PROJECT)
    own = tmp_path / "own.duckdb"
    (tmp_path / "profiles.yml").write_text(PROFILE.format(own=own, demo=demo))
    dbt(tmp_path, "run", f"--project-dir={tmp_path}")
    # As dbt has it open in this process.
    with duckdb.connect(str(own)) as connection:
        assert connection.execute("select count(*) from value_by_segment").fetchone()[0]


def test_without_a_manifest_it_says_what_to_do(tmp_path, capsys):
    assert write_sources.main(["--manifest", str(tmp_path / "manifest.json")]) == 1
    assert "run dbt parse first" in capsys.readouterr().err
