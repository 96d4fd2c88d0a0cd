"""The adapter macros, as BigQuery gets them, on Google's reference implementation.

The tables of known values in tests/macros run on DuckDB with every build. Here the same
tests are compiled for BigQuery and run by ZetaSQL, which implements its semantics.
"""

import re
import sys

import pytest
from conftest import ROOT, dbt_runner

sys.path.insert(0, str(ROOT / "scripts"))
from googlesql import GoogleSql, SqlError

TESTS = (
    "assert_adapter_macros_give_known_values",
    "assert_probability_alive_is_the_published_one",
    "assert_student_quantile_is_the_published_one",
)

# Test → what stands in it, and a wrong value that its rows must then show.
PLANTED = [
    (TESTS[0], "'2024-03-01'", "'2024-03-02'"),
    (TESTS[0], "interval 13 month", "interval 12 month"),
    (TESTS[0], "day) = 58", "day) = -58"),
    (TESTS[0], "86401000000", "86401000"),
    (TESTS[0], "= 10.0001", "= 10.0000"),
    (TESTS[0], "offset(1)", "offset(0)"),
    (TESTS[0], "select sum(one * other)", "select sum(one + other)"),
    (TESTS[0], "generate_array(0, 3)", "generate_array(1, 3)"),
    (TESTS[1], "0.72657857", "0.72657858"),
    (TESTS[1], "700.0", "0.0"),
    (TESTS[1], "0.62272381", "0.62272382"),
    (TESTS[1], "0.74950141", "0.74950142"),
    (TESTS[1], "600.0", "0.0"),
    (TESTS[2], "2.228139", "2.229139"),
    (TESTS[2], "1.372184", "1.373184"),
    (TESTS[2], "1.281551566", "1.381551566"),
    (TESTS[2], "2.302585 as", "2.402585 as"),
]


@pytest.fixture(scope="session")
def google():
    return GoogleSql()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Return the SQL of the tests as BigQuery would get it, by name."""
    target = tmp_path_factory.mktemp("target")
    result = dbt_runner().invoke(
        [
            "--quiet",
            "--no-populate-cache",
            "--no-partial-parse",
            "compile",
            "--no-introspect",
            "--select=path:tests/macros",
            "--target=bigquery_offline",
            f"--project-dir={ROOT}",
            f"--profiles-dir={ROOT}",
            f"--target-path={target}",
            f"--log-path={target}",
        ]
    )
    assert result.success, result.exception
    return {each.stem: each.read_text() for each in target.rglob("compiled/**/*.sql")}


def test_every_test_of_macros_runs_here(compiled):
    assert sorted(compiled) == sorted(TESTS)


@pytest.mark.parametrize("name", TESTS)
def test_no_value_differs(google, compiled, name):
    assert google.evaluate(compiled[name])[1] == []


@pytest.mark.parametrize(("name", "right", "wrong"), PLANTED)
def test_a_wrong_value_is_seen(google, compiled, name, right, wrong):
    assert right in compiled[name]
    assert google.evaluate(compiled[name].replace(right, wrong, 1))[1]


def test_every_known_value_is_looked_at(google, compiled):
    sql = compiled[TESTS[0]]
    every = re.sub(r"where not coalesce\(is_right, false\)\s*$", "", sql)
    assert len(google.evaluate(every)[1]) == sql.count("as macro_case")


def test_an_error_while_it_runs_is_an_error(google):
    with pytest.raises(SqlError, match="division by zero"):
        google.evaluate("select 1 / 0 as nothing")
