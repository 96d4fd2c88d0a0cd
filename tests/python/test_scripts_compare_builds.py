"""scripts/compare_builds.py: equal files pass, every kind of difference is named."""

import importlib.util
import json
from pathlib import Path

import duckdb
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
spec = importlib.util.spec_from_file_location(
    "compare_builds", SCRIPTS / "compare_builds.py"
)
compare_builds = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare_builds)

ROWS = "(1, 'a', 0.5::double), (2, 'b', null), (3, 'b', 'nan'::double)"
SAME = f"create table t as select * from (values {ROWS}) as t (id, name, score)"


def build(path, *statements):
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create schema clv; use {path.stem}.clv")
        for statement in statements:
            connection.execute(statement)
    return path


@pytest.fixture
def first(tmp_path):
    return build(tmp_path / "warehouse.duckdb", SAME)


@pytest.fixture
def main(tmp_path):
    """The script, for a project with the models t and run_log, which tells of runs."""
    nodes = [
        {"alias": "t", "resource_type": "model", "config": {"meta": {}}},
        {
            "alias": "run_log",
            "resource_type": "model",
            "config": {"meta": {"run_log": True}},
        },
        {"alias": "extra", "resource_type": "seed", "config": {}},
    ]
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"nodes": {node["alias"]: node for node in nodes}}))

    def run(*files):
        options = [*map(str, files), "--manifest", str(manifest)]
        return compare_builds.main(options)

    return run


def test_order_and_last_bits_do_not_matter(first, tmp_path, main):
    shuffled = SAME + " order by id desc"
    nudged = "update t set score = score * (1 + 1e-12)"
    second = build(tmp_path / "second.duckdb", shuffled, nudged)
    assert main(first, second) == 0


def test_views_of_both_files_are_read(tmp_path):
    view = "create view v as select * from {}.clv.t"
    paths = [
        build(tmp_path / f"{name}.duckdb", SAME, view.format(name)) for name in "xy"
    ]
    assert compare_builds.compare(*paths, "clv", 1e-9, set()) == []


def test_what_tells_of_runs_is_left_out(first, tmp_path, main):
    log = "create table run_log as select '{}' as invocation_id"
    with duckdb.connect(str(first)) as connection:
        connection.execute(f"use warehouse.clv; {log.format(1)}")
    second = build(tmp_path / "second.duckdb", SAME, log.format(2))
    assert main(first, second) == 0
    third = build(
        tmp_path / "third.duckdb", SAME, "create table no_log as select 1 as i"
    )
    assert main(first, third) == 1


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ("update t set score = 0.5000001 where id = 1", "t.score: 1 of 3 rows"),
        ("update t set score = 0 where id = 2", "t.score: 1 of 3 rows"),
        ("update t set name = 'c' where id = 3", "t.name: 1 of 3 rows"),
        ("delete from t where id = 3", "t: 3 rows against 2"),
        ("alter table t drop score", "t: the columns or their types differ"),
        ("create table extra (id integer)", "extra: only in the second file"),
        ("drop table t; create table u (i int)", "t: only in the first file"),
    ],
)
def test_differences_are_named(first, tmp_path, capsys, main, statement, difference):
    second = build(tmp_path / "second.duckdb", SAME, statement)
    assert main(first, second) == 1
    assert f"differs: {difference}" in capsys.readouterr().out


def test_an_unbuilt_file_is_a_difference(first, tmp_path, main):
    empty = build(tmp_path / "empty.duckdb")
    assert main(empty, first) == 1
