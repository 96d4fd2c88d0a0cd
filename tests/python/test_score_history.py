"""Function score_history says of a history what the marts say of its customer."""

import numpy as np
import pandas as pd
import pytest
from test_builds import Build

MODELS = {"default": "bgnbd", "web": "mbgcnbd", "store": "paretonbd"}
SETTINGS = {
    "clv_strata": ["first_channel"],
    "clv_min_stratum_customers": 500,
    "clv_backtest_days": [],
}


@pytest.fixture(scope="module")
def built(log, tmp_path_factory):
    """A third of CDNOW, each of its months of arrival with a model of its own.

    Those of web come back at regular intervals, until they do not.
    """
    log = log[log["user_id"].astype(int) % 3 == 0]
    first = log.groupby("user_id")["ts"].transform("min")
    log = log.assign(channel=first.dt.month.map({1: "web", 2: "store", 3: "fax"}))
    once = log[(log["channel"] == "web") & (log["ts"] == first)]
    once = once.drop_duplicates("user_id")
    rng = np.random.default_rng(1)
    times = np.minimum(rng.geometric(rng.beta(1, 2.5, len(once))), 60)
    back = once.loc[once.index.repeat(times)].copy()
    scale = np.repeat(60 / rng.gamma(3, size=len(once)), times)
    gaps = pd.Series(rng.gamma(4, scale / 4) + 1, back.index)
    days = gaps.groupby(back["user_id"].to_numpy()).cumsum().clip(upper=999).astype(int)
    back["ts"] += pd.to_timedelta(days, unit="D")
    back = back[back["ts"] <= log["ts"].max()]
    log = pd.concat([log[log["channel"] != "web"], once, back], ignore_index=True)
    build = Build(tmp_path_factory.mktemp("history")).load(transactions=log)
    build.build(
        *("--select", "+customer_lifetime_value"), clv_purchase_model=MODELS, **SETTINGS
    )
    return build


def test_what_it_says_of_a_customers_history_is_what_their_row_says(built):
    asked = built.read(
        """
        with customers as (
            select
                customers.*, histories.stratum,
                greatest(histories.mean_value, 0.0) as own_value
            from clv.customer_lifetime_value as customers
            inner join clv_intermediate.int_histories__observed as histories
                on customers.customer_id = histories.customer_id
                and customers.as_of_date = histories.cutoff_date
        ),
        few as (
            select * from customers
            qualify row_number() over (
                partition by stratum, frequency order by age_days
            ) <= 2
        )
        select
            few.stratum, few.frequency, asked.*,
            few.probability_alive as alive,
            if(asked.horizon_days = 30, few.clv_30d, few.clv_365d) as published,
            if(
                asked.horizon_days = 30,
                few.expected_purchases_30d, few.expected_purchases_365d
            ) as purchases
        from few, clv.score_history(
            few.frequency, few.recency_days, few.age_days, few.own_value
        ) as asked
        where asked.stratum = few.stratum and asked.horizon_days in (30, 365)
        """
    )
    assert set(asked["stratum"]) == {"web", "store", "fax"}
    assert len(asked) > 100
    found = built.read("select stratum, k from clv.model_registry").set_index("stratum")
    assert found["k"].to_dict() == {"web": 4, "store": 1, "fax": 1}
    for answer, truth in {
        "probability_alive": "alive",
        "expected_purchases": "purchases",
        "clv": "published",
    }.items():
        error = (asked[answer] / asked[truth] - 1).abs()
        assert error[asked["stratum"] != "web"].max() < 1e-8, (answer, error.max())
        assert error.max() < 1e-3, (answer, error.max())


def test_a_history_that_nobody_has_is_scored_too(built):
    found = built.read("from clv.score_history(400, 900, 901, 12.5)")
    assert len(found) == 3 * 4
    assert found["clv"].between(0, 1e7).all()
    without = built.read("from clv.score_history(0, 0, 0, null)")
    assert without["clv"].isna().all()
    assert without["expected_purchases"].between(0, 50).all()


@pytest.mark.parametrize(
    "history",
    [
        "2, 300, 200, 10.0",  # bought after the cutoff
        "-1, 0, 100, 10.0",
        "1, -5, 100, 10.0",
        "0, 0, -1, 10.0",
        "0, 30, 100, 10.0",  # a last purchase beside no repeat
        "3, 2, 100, 10.0",  # three days of purchases within two
        "2, 30, 100, -10.0",
        "1.5, 30, 100, 10.0",
        "2, 30, 100, 'nan'::double",
        "2, 30, 100, 'infinity'::double",
        "'nan'::double, 30, 100, 10.0",
        "2, 'nan'::double, 100, 10.0",
        "2, 30, 'nan'::double, 10.0",
        "2, 30, 'infinity'::double, 10.0",
        "null, 30, 100, 10.0",
    ],
)
def test_a_history_that_cannot_be_is_answered_with_nulls(built, history):
    found = built.read(f"from clv.score_history({history})")
    assert len(found) == 3 * 4
    numbers = ["probability_alive", "expected_purchases", "expected_value", "clv"]
    assert found[numbers].isna().all(axis=None)


def test_a_registered_version_of_another_model_than_the_spec_is_scored(built):
    """Last, for it builds the mart and the function anew."""
    built.build("--select", "customer_lifetime_value", **SETTINGS)
    found = built.read("from clv.score_history(2, 100, 200, 10.0)")
    assert set(found["stratum"]) == set(MODELS) - {"default"} | {"fax"}
    assert found["probability_alive"].between(0, 1).all()
