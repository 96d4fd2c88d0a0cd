"""The gate on refits of CDNOW: sound ones pass, spoilt ones do not.

Every refit is judged by the project's own SQL, on clean histories at 1997-10-03 and
actuals of the 90 days after; only the data of the fit are spoilt.
"""

import duckdb
import numpy as np
import pandas as pd
import pytest
from test_builds import Build

pytestmark = pytest.mark.slow

CHAMPION, CUTOFF, AS_OF = map(pd.Timestamp, ["1997-07-05", "1997-10-03", "1998-01-01"])
HORIZON = 90


def histories(log, cutoff):
    """Frequency, recency and age of each customer at a cutoff, in days."""
    log = log.assign(day=log["ts"].dt.normalize())
    days = log[(log["day"] <= cutoff) & (log["amount"] > 0)][["user_id", "day"]]
    days = days.drop_duplicates().groupby("user_id")["day"]
    first, last, count = days.min(), days.max(), days.size()
    return pd.DataFrame(
        {
            "x": count - 1.0,
            "t_x": (last - first).dt.days.astype(float),
            "t": (cutoff - first).dt.days.astype(float),
        }
    )


@pytest.fixture(scope="module")
def judge(log, purchases_module, expectations_module, tmp_path_factory):
    """A function from the data of a fit to the checks that it passes."""
    build = Build(tmp_path_factory.mktemp("gate")).load(transactions=log)
    variables = {"clv_as_of_date": str(AS_OF.date()), "clv_backtest_days": [HORIZON]}
    build.build(
        *("--select", "+int_histories__held_out", "int_gate__cutoff"),
        *("+int_registry__statuses",),
        **variables,
    )
    build.call(
        *("dbt", "compile", "--select", "int_gate__backtested", "--vars"),
        str(variables),
        knows=True,
    )
    sql = next(build.folder.glob("target/compiled/**/int_gate__backtested.sql"))
    clean = histories(log, CUTOFF)
    connection = duckdb.connect(str(build.database))

    def fit(data):
        fitted = purchases_module.fit_purchases(
            "bgnbd", *(data[name].to_numpy() for name in ("x", "t_x", "t"))
        )
        return np.asarray(fitted["params"])

    def expected(params):
        r, alpha, a, b = params
        out = pd.Series(0.0, index=clean.index)
        for x, rows in clean.groupby("x"):
            out[rows.index] = expectations_module.expected_purchases(
                x, rows["t"].to_numpy(), [HORIZON], params
            )[:, 0]
        x, t_x, t = clean["x"], clean["t_x"], clean["t"]
        odds = (
            a / np.maximum(b + x - 1, 1e-9) * ((alpha + t) / (alpha + t_x)) ** (r + x)
        )
        return out / (1 + np.where(x > 0, odds, 0))

    champion = expected(fit(histories(log, CHAMPION)))

    def run(data, registered="old"):
        scored = pd.concat(
            pd.DataFrame(
                {
                    "customer_id": clean.index,
                    "cutoff_date": CUTOFF.date(),
                    "model_version": version,
                    "is_current_spec": is_current_spec,
                    "expected_purchases_90d": numbers.to_numpy(),
                    "expected_value_90d": 38.0 * numbers.to_numpy(),
                }
            )
            for version, is_current_spec, numbers in [
                ("old", False, champion),
                ("bgnbd", True, expected(fit(data))),
            ]
        )
        versions = scored[
            ["model_version", "is_current_spec", "cutoff_date"]
        ].drop_duplicates()
        connection.register("scored", scored)
        connection.register("versions", versions)
        connection.execute(
            f"""
            create or replace table clv_intermediate.int_predictions__expected as
            from scored;
            create or replace table clv_intermediate.int_parameters as from versions;
            create or replace table clv_intermediate.int_registry__statuses as
            select '{registered}' as model_version, 'champion' as role;
            delete from clv_state.registry_parameters;
            insert into clv_state.registry_parameters (model_version, stratum)
            values ('{registered}', 'all')
            """
        )
        return connection.sql(sql.read_text()).df().set_index("check_name")

    yield run
    connection.close()


@pytest.fixture(scope="module")
def purchases_module():
    from conftest import load

    return load("int_purchases__parameters")


@pytest.fixture(scope="module")
def expectations_module():
    from conftest import load

    return load("int_expectations")


@pytest.mark.parametrize("draw", range(7))
def test_a_sound_refit_passes(judge, log, draw):
    data = histories(log, CUTOFF)
    if draw:  # a bootstrap of it
        data = data.sample(frac=1, replace=True, random_state=draw)
    checks = judge(data)
    assert checks["is_passed"].all(), checks


def duplicated(log):
    """Every order twice, a day apart: loaded again under another date."""
    again = log.assign(ts=log["ts"] + pd.Timedelta(1, "D"))
    return histories(pd.concat([log, again]), CUTOFF)


def without_the_last_month(log):
    return histories(log[log["ts"] <= CUTOFF - pd.Timedelta(30, "D")], CUTOFF)


def in_weeks(log):
    """Ages in weeks, recencies in days."""
    data = histories(log, CUTOFF)
    return data.assign(t=np.maximum(data["t"] / 7, data["t_x"]))


@pytest.mark.parametrize("spoil", [duplicated, without_the_last_month, in_weeks])
def test_a_refit_on_spoilt_data_does_not_pass(judge, log, spoil):
    checks = judge(spoil(log))
    assert not checks["is_passed"].all(), checks


def test_what_cannot_be_compared_has_not_passed(judge, log):
    checks = judge(histories(log, CUTOFF), registered="scored nowhere")
    assert checks["value"].isna().all()
    assert not checks["is_passed"].any()
