"""scripts/compare_builds.py: equal files pass, every kind of difference is named."""

import importlib.util
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
    return build(tmp_path / "clv.duckdb", SAME)


def test_order_and_last_bits_do_not_matter(first, tmp_path):
    shuffled = SAME + " order by id desc"
    nudged = "update t set score = score * (1 + 1e-12)"
    second = build(tmp_path / "second.duckdb", shuffled, nudged)
    assert compare_builds.main([str(first), str(second)]) == 0


def test_views_of_both_files_are_read(tmp_path):
    view = "create view v as select * from {}.clv.t"
    paths = [
        build(tmp_path / f"{name}.duckdb", SAME, view.format(name)) for name in "xy"
    ]
    assert compare_builds.compare(*paths, "clv", 1e-9) == []


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
def test_differences_are_named(first, tmp_path, capsys, statement, difference):
    second = build(tmp_path / "second.duckdb", SAME, statement)
    assert compare_builds.main([str(first), str(second)]) == 1
    assert f"differs: {difference}" in capsys.readouterr().out


def test_an_unbuilt_file_is_a_difference(first, tmp_path):
    empty = build(tmp_path / "empty.duckdb")
    assert compare_builds.main([str(empty), str(first)]) == 1
