"""Two short sequences of runs on DuckDB, of the many that play_sequences.py plays.

They build the project a dozen times: what one run leaves for the next cannot be seen in
fewer.
"""

import duckdb
import pytest
from play_sequences import (
    START,
    DuckWarehouse,
    Run,
    Sequence,
    WrongError,
    make_project,
    offered,
    play_sequence,
)
from test_builds import DBT

pytestmark = pytest.mark.slow

SEQUENCES = {
    1: "canary,promote,day",
    2: "edited,killed",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    (folder := tmp_path_factory.mktemp("sequences") / "project").mkdir()
    return make_project(folder)


@pytest.fixture(scope="module")
def dbt():
    return DBT


@pytest.mark.parametrize("seed", SEQUENCES)
def test_nothing_is_wrong_after_any_step(seed, project, dbt):
    steps = SEQUENCES[seed].split(",")
    assert set(steps) <= set(offered())
    assert play_sequence(seed, steps, project, project.parent, dbt) == ""


# -- Each check sees its fault

BUYERS = "where frequency is not null"
ONE = "(select min(customer_id) from clv.customer_rfm)"
FAULTS = {
    "has 2 champions": "insert into clv_state.registry_events by name "
    "select 'another' as model_version, * exclude (model_version) "
    "from clv_state.registry_events where status = 'champion'",
    "has 0 champions": "delete from clv_state.registry_events",
    "rows of": "insert into clv.customer_rfm from clv.customer_rfm limit 1",
    "customers differ": f"delete from clv.customer_segments where customer_id = {ONE}",
    "buyers differ": f"delete from clv.customer_rfm where customer_id = {ONE}",
    "is as of": "update clv.customer_segments set as_of_date = as_of_date - 1",
    "are scored on": "update clv.customer_lifetime_value "
    f"set scored_on = scored_on - 1 where customer_id = {ONE}",
    "have source": f"update clv.customer_lifetime_value set clv_365d = null "
    f"where customer_id = {ONE}",
    "customer_equity_daily.clv": f"update clv.customer_lifetime_value "
    f"set clv_30d = clv_30d * 1.01 {BUYERS}",
    "cohort_clv.customers": "update clv.cohort_clv set customers = customers + 1",
    "customer_equity.clv": "update clv.customer_equity set clv = clv + 1",
    "model_registry says": "update clv.model_registry set status = 'retired'",
}


@pytest.mark.parametrize("said", FAULTS)
def test_each_check_sees_its_fault(said, project, dbt, tmp_path):
    first = sorted(project.parent.glob("first_*"))
    if not first:
        pytest.skip("no sequence has been played before")
    built = DuckWarehouse(project, first[0], dbt)
    damaged = built.copy(tmp_path / "damaged")
    sequence = Sequence(1, damaged, None, last=None)
    run = Run("monthly_refit", START, {})
    sequence.check_served(run)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{damaged.database}' as warehouse")
        connection.execute("use warehouse")
        connection.execute(FAULTS[said])
    with pytest.raises(WrongError, match=said):
        sequence.check_served(run)


def test_state_that_is_taken_away_is_seen(project, dbt, tmp_path):
    first = sorted(project.parent.glob("first_*"))
    if not first:
        pytest.skip("no sequence has been played before")
    damaged = DuckWarehouse(project, first[0], dbt).copy(tmp_path / "damaged")
    sequence = Sequence(1, damaged, None)
    before = sequence.state()
    with duckdb.connect(str(damaged.database)) as connection:
        connection.execute(
            "update clv_state.equity_history set clv = clv + 1 where horizon_days = 30"
        )
    with pytest.raises(WrongError, match=r"took 1 rows out of clv_state\.equity"):
        sequence.check_appended(before, "a run")
