"""Two short sequences of runs on DuckDB, of the many that play_sequences.py plays.

It builds the project a dozen times: what one run leaves for the next cannot be seen in
fewer.
"""

import pytest
from play_sequences import make_project, offered, play_sequence
from warm_dbt import Dbt

pytestmark = pytest.mark.slow

SEQUENCES = {
    1: "day,canary,rollback,older_then_daily",
    2: "edited,killed,restored",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def dbt():
    return Dbt()


@pytest.mark.parametrize("seed", SEQUENCES)
def test_nothing_is_wrong_after_any_step(seed, project, dbt, tmp_path):
    steps = SEQUENCES[seed].split(",")
    assert set(steps) <= set(offered())
    assert play_sequence(seed, steps, project, tmp_path, dbt) == ""
