"""BG/BB and monthly logs: published numbers, lifetimes, simulations, whole builds."""

import re

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import load
from scipy.special import softmax
from test_builds import Build

# Donations of the 1995 cohort (Fader, Hardie & Shang 2010, table 2; lifetimes'
# donations.csv): people who gave in x of 6 years after the first, last in the t_x-th.
DONATIONS = np.array(
    [
        *((0, 0, 3464), (1, 1, 1091), (1, 2, 277), (1, 3, 129), (1, 4, 78)),
        *((1, 5, 119), (1, 6, 129), (2, 2, 613), (2, 3, 255), (2, 4, 155)),
        *((2, 5, 173), (2, 6, 234), (3, 3, 322), (3, 4, 181), (3, 5, 225)),
        *((3, 6, 357), (4, 4, 240), (4, 5, 284), (4, 6, 512), (5, 5, 335)),
        *((5, 6, 728), (6, 6, 1203)),
    ],
    float,
)
PUBLISHED = (1.204, 0.750, 0.657, 2.783)
MONTH = 365.25 / 12
GIVERS = (
    DONATIONS[:, 0], DONATIONS[:, 1], np.full(len(DONATIONS), 6.0), DONATIONS[:, 2]
)  # fmt: skip
MEMBERS = (1.2, 4.0, 0.6, 12.0)  # of a simulated loyalty programme
MONTHS, START = 42, pd.Period("2020-01")
AS_OF, NEXT = "2023-05-31", "2023-06-30"


def age(months):
    """Days from the 15th of a month to the end of one so many months later."""
    return np.asarray(months, float) * MONTH + 15


@pytest.fixture(scope="module")
def fitted(purchases):
    return purchases.fit_purchases("bgbb", *GIVERS)


@pytest.fixture(scope="module")
def alive(purchases):
    """Function of (parameters, x, t_x, n) -> P(alive) by the likelihood."""

    def probability(params, x, t_x, n):
        every = (np.asarray(v, float) for v in (x, t_x, n))
        parts, *_ = purchases.beta_bernoulli(params, *every)
        last = (np.asarray(n) - t_x).astype(int)
        with np.errstate(invalid="ignore"):
            return softmax(parts, axis=0)[last, np.arange(len(last))]

    return probability


@pytest.fixture(scope="module")
def theirs(purchases):
    """Function of parameters -> the model of lifetimes with them."""
    with purchases.contained():
        import lifetimes

    def fitter(params):
        found = lifetimes.BetaGeoBetaBinomFitter()
        found.params_ = pd.Series(params, ["alpha", "beta", "gamma", "delta"])
        return found

    return fitter


def test_the_estimates_are_the_published_ones(purchases, fitted):
    # their table 3
    assert fitted["params"].round(3) == pytest.approx(PUBLISHED, abs=1.1e-3)
    assert round(fitted["log_likelihood"], 1) == -33225.6
    assert fitted["converged"]
    opinion = purchases.second_opinion("bgbb", GIVERS, fitted, 25_000)
    assert opinion["seen"] == 11_104
    assert max(opinion["gaps"]) < 1e-6
    assert not opinion["message"]


def test_the_derivatives_are_those_of_the_value(purchases):
    groups = purchases.group_histories(
        [0, 1, 3, 7, 20], [0, 5, 3, 9, 40], [9, 9, 30, 9, 60], [5, 4, 3, 2, 1]
    )
    point, step = np.log((0.9, 2.5, 0.5, 7.0)), 1e-5

    def at(place, sign):
        moved = point + sign * step * np.eye(4)[place]
        return purchases.log_likelihood("bgbb", moved, groups)[:2]

    _, gradient, hessian = purchases.log_likelihood("bgbb", point, groups, True)
    for place in range(4):
        (high, up), (low, down) = at(place, 1), at(place, -1)
        assert gradient[place] == pytest.approx((high - low) / 2 / step, rel=1e-6)
        assert hessian[place] == pytest.approx((up - down) / 2 / step, rel=1e-5)


def test_expectations_are_the_published_ones(expectations, fitted, alive):
    params = tuple(fitted["params"])

    def expected(x, t_x, ahead):
        found = expectations.active_months(
            x, np.array([age(6)]), [round(ahead * MONTH)], params, None, 0.1
        )
        return found[0, 0, 0] * alive(params, [x], [t_x], [6])[0]

    # BTYD's walkthrough, ten years ahead; five years ahead, in all (the spreadsheet of
    # note 010 of brucehardie.com) and of who gave every year (table 5)
    assert expected(0, 0, 10) == pytest.approx(0.1302169, rel=2e-5)
    assert expected(4, 5, 10) == pytest.approx(3.627858, rel=4e-5)
    total = sum(n * expected(int(x), t_x, 5) for x, t_x, n in DONATIONS)
    assert round(total, 1) == 12884.2
    assert round(expected(6, 6, 5), 2) == 3.75
    # P(alive) in the seventh year (table 6)
    stays = expectations.months_staying([age(6)], 1, params)[0, 1]
    found = alive(params, [0, 2, 6], [0, 4, 6], [6, 6, 6]) * stays
    assert found.round(2).tolist() == [0.11, 0.59, 0.93]


def test_a_new_donors_counts_are_the_published_ones(fitted):
    # the sheet of the in-sample fit: nobody again, and every year
    curve = load("int_tracking_curve")
    names = ("alpha", "beta", "a", "b")
    fit = dict(zip(names, fitted["params"], strict=True), purchase_model="bgbb", k=1)
    days = np.arange(200)
    reached = curve.reached(days, fit)
    assert round(11_104 * (1 - reached[199, 0]), 1) == 3454.9
    assert round(11_104 * reached[199, 5], 1) == 1253.1
    assert reached.sum(axis=1) == pytest.approx(curve.curve(days, fit), rel=1e-12)
    # of 15ths: 28 days are a month, 27 are not
    assert (curve.curve(days, fit)[[27, 28]] > 0).tolist() == [False, True]


def test_counts_and_spend_are_those_of_a_simulation(expectations):
    params, n, x, people = PUBLISHED, 20, 6, 400_000
    rng = np.random.default_rng(1)
    chance = rng.beta(params[0] + x, params[1] + n - x, people)
    leaving = rng.beta(params[2], params[3] + n, people)
    stayed = np.minimum(rng.geometric(leaving) - 1, 600)
    p, q = 6.25, 3.74
    worth = rng.gamma(q + p * (x + 1), size=people)
    ages, horizons = np.array([age(n)]), [30.0, 90.0, 365.0]
    table = expectations.expectation_table(
        x, ages, horizons, "bgbb", params, (p, q), 0.1
    )[0]
    life = expectations.lifetime(x, ages, "bgbb", params, (p, q), 0.1, np.asarray)[0, 0]
    for row, months in zip([*table, life], [1, 3, 12, 600], strict=True):
        count = rng.binomial(np.minimum(stayed, months), chance)
        assert row[0] == pytest.approx(count.mean(), rel=5e-3)
        assert row[2] == pytest.approx((count > 0).mean(), abs=3e-3)
        if months == 600:
            break
        found = row[2 : 2 + min(months, 10)]
        truth = [(count > k).mean() for k in range(len(found))]
        assert found == pytest.approx(truth, abs=3e-3)
        assert (row[2 + len(found) : 12] == 0).all()
        spent = rng.gamma(p * count[count > 0]) / worth[count > 0]
        levels = 1 / (1 + np.exp(6 - 0.2 * np.arange(15, 46)))
        near = np.quantile(np.log(spent), levels)
        assert row[12:][15:46] == pytest.approx(near, abs=2e-2)
    # discounted from the middle of the months
    each = np.diff(expectations.months_expected(x, ages, 12, params, 0.1)[2][0])
    present = each @ 1.1 ** -((np.arange(12) + 0.5) / 12)
    assert table[2, 1] == pytest.approx(present, rel=1e-12)


def test_the_truth_of_long_histories_is_found(purchases):
    """Those of 100 months are below the rounding of lifetimes: it reads 24."""
    rng = np.random.default_rng(5)
    people = 20_000
    n = rng.integers(1, 100, people)
    chance, leaving = rng.beta(*MEMBERS[:2], people), rng.beta(*MEMBERS[2:], people)
    stayed = np.minimum(rng.geometric(leaving) - 1, n)
    active = rng.random((people, 100)) < chance[:, None]
    active &= np.arange(100) < stayed[:, None]
    x = active.sum(axis=1)
    t_x = np.where(x, 100 - active[:, ::-1].argmax(axis=1), 0)
    rows = pd.DataFrame(
        {
            "frequency": x,
            "recency_days": (t_x * MONTH).round(),
            "age_days": np.floor(age(n)),
            "customers": 1.0,
            "sampled_customers": 1.0,
            "ln_gaps": 0.0,
        }
    )
    fit = purchases.fit_rows("bgbb", rows)
    for name, truth in zip(("alpha", "beta", "a", "b"), MEMBERS, strict=True):
        assert fit[name] == pytest.approx(truth, abs=3 * fit[f"se_{name}"])
        assert fit[f"se_{name}"] < 0.1 * truth
    assert (fit["converged"], fit["message"]) == (True, "")
    assert 0 < fit["lifetimes_customers"] < people
    assert fit["lifetimes_parameter_difference"] < 1e-4


def test_months_of_calendar_days_are_whole(purchases):
    first = pd.date_range("2019-01-15", "2024-12-15", freq="MS") + pd.Timedelta(days=14)
    for months in (0, 1, 2, 11, 60):
        then = first + pd.DateOffset(months=months)
        end = then + pd.offsets.MonthEnd()
        recency, ages = purchases.in_months((then - first).days, (end - first).days)
        assert (recency == months).all()
        assert (ages == months).all()
    # and from the end of any month to a horizon there are as many 15ths
    ends = pd.date_range("2019-01-31", "2024-12-31", freq="ME")
    for days, months in {30: 1, 90: 3, 180: 6, 365: 12}.items():
        middles = ends + pd.offsets.MonthBegin(months) + pd.Timedelta(days=14)
        until = ends + pd.Timedelta(days=days)
        assert (middles <= until).all()
        assert (middles + pd.DateOffset(months=1) > until).all()


# -- Through SQL


def months(numbers):
    """Months of a simulated log, counted from its first."""
    return pd.PeriodIndex.from_ordinals(START.ordinal + numbers, freq="M")


@pytest.fixture(scope="module")
def members():
    """A log of months of 800 members, two flights in some, and nobody twice as new."""
    rng = np.random.default_rng(2)
    rows = []
    for member in range(800):
        month = rng.integers(0, MONTHS - 2)
        chance, leaving = rng.beta(*MEMBERS[:2]), rng.beta(*MEMBERS[2:])
        fare = 5 / rng.gamma(4, 1 / 60)
        while month < MONTHS:
            for _ in range(1 + (rng.random() < 0.3)):
                rows.append((f"m{member:03}", month, round(fare * rng.gamma(5), 2)))
            gap = rng.geometric(chance)
            if rng.geometric(leaving) <= gap:
                break
            month += gap
    log = pd.DataFrame(rows, columns=["user_id", "month", "amount"])
    # any day of its month says the month
    start = months(log["month"]).to_timestamp()
    days = rng.integers(0, 28, len(log))
    return log.assign(ts=start + pd.to_timedelta(days, "D"))


@pytest.fixture(scope="module")
def build(tmp_path_factory, members):
    """The log up to a month before its end, as of then."""
    build = Build(tmp_path_factory.mktemp("months"))
    build.variables = {"clv_period": "month", "clv_value": "revenue"}
    build.load(transactions=members.drop(columns="month"))
    closed = [f"int_{of}__closed" for of in ("orders", "purchases", "first_touches")]
    build.build(
        *("--select", "+customer_next_order", "+model_backtest", *closed),
        **build.variables,
        clv_as_of_date=AS_OF,
    )
    return build


def histories(members, until):
    """Months of each member by the end of the month of that day, from the log."""
    known = members[members["month"] <= (pd.Period(until, "M") - START).n]
    months = known.groupby("user_id")["month"].agg(["nunique", "min", "max"])
    last = (pd.Period(until, "M") - START).n
    return pd.DataFrame(
        {
            "x": months["nunique"] - 1,
            "t_x": months["max"] - months["min"],
            "n": last - months["min"],
        }
    )


def scored(build):
    """What the as-of date was scored with: a row per member, and the parameters."""
    found = build.read(
        """
        select
            alive.customer_id, alive.frequency, alive.probability_alive as alive,
            alive.probability_alive * alive.purchases_if_alive_365d as purchases,
            histories.last_purchase_date, histories.recency_days, histories.age_days,
            histories.cutoff_date, parameters.alpha, parameters.beta,
            parameters.a, parameters.b
        from clv_intermediate.int_predictions__alive as alive
        inner join clv_intermediate.int_histories__observed as histories
            using (customer_id, cutoff_date)
        inner join clv_intermediate.int_parameters as parameters
            on
                alive.model_version = parameters.model_version
                and alive.stratum = parameters.stratum
                and alive.cutoff_date = parameters.cutoff_date
        inner join clv_intermediate.int_cutoffs as cutoffs
            on alive.cutoff_date = cutoffs.cutoff_date
        where cutoffs.is_production and alive.purchase_model = 'bgbb'
        order by alive.customer_id
        """
    ).set_index("customer_id")
    return found, tuple(found[["alpha", "beta", "a", "b"]].iloc[0])


def assert_scored_by_bgbb(found, params, truth, alive, theirs):
    assert found.index.tolist() == truth.index.tolist()
    x, t_x, n = (truth[c].to_numpy() for c in ("x", "t_x", "n"))
    assert found["frequency"].to_numpy() == pytest.approx(x)
    assert found["alive"].to_numpy() == pytest.approx(alive(params, x, t_x, n))
    expected = theirs(params).conditional_expected_number_of_purchases_up_to_time(
        12, x, t_x, n
    )
    short = n <= 18  # beyond, lifetimes rounds
    purchases = found["purchases"].to_numpy()
    assert purchases[short] == pytest.approx(expected[short], rel=1e-4)
    left = np.cumprod(
        1 - params[2] / (params[2] + params[3] + n + np.arange(12)[:, None]), 0
    )
    chance = (params[0] + x) / (params[0] + params[1] + n)
    expected = alive(params, x, t_x, n) * chance * left.sum(axis=0)
    assert purchases == pytest.approx(expected, rel=1e-9)
    assert (pd.to_datetime(found["last_purchase_date"]).dt.day == 15).all()


@pytest.mark.slow
def test_sql_scores_members_by_their_months(build, members, alive, theirs):
    found, params = scored(build)
    assert_scored_by_bgbb(found, params, histories(members, AS_OF), alive, theirs)
    dates = build.read(
        "select distinct expected_next_purchase_date as day "
        "from clv.customer_next_order where expected_next_purchase_date is not null"
    )["day"]
    assert len(dates) > 3
    assert (pd.to_datetime(dates).dt.day == 15).all()
    assert (pd.to_datetime(dates) > AS_OF).all()


@pytest.mark.slow
def test_score_history_says_the_same(build):
    off = build.read(
        """
        with members as (
            select *
            from clv_intermediate.int_predictions__alive as alive
            inner join clv_intermediate.int_histories__observed as histories
                using (customer_id, cutoff_date)
            where cutoff_date = (select as_of_date from clv_intermediate.int_as_of)
            order by hash(customer_id)
            limit 50
        )
        select
            abs(asked.probability_alive - members.probability_alive) as alive,
            abs(
                asked.expected_purchases
                / (members.probability_alive * members.purchases_if_alive_365d) - 1
            ) as purchases,
            abs(
                asked.clv / (
                    members.probability_alive * members.discounted_if_alive_365d
                    * members.expected_value
                ) - 1
            ) as clv
        from members, clv.score_history(
            members.frequency, members.recency_days, members.age_days,
            members.mean_value
        ) as asked
        where asked.horizon_days = 365
        """
    )
    assert len(off) == 50
    assert off.max().max() < 1e-9
    # three months within ten days of one: not a history of months
    unfit = build.read("select * from clv.score_history(3, 10, 400, 5.0)")
    assert unfit[["probability_alive", "expected_purchases", "clv"]].isna().all(None)


@pytest.mark.slow
def test_the_backtest_is_of_whole_months(build, members):
    rows = build.read(
        """
        select cutoff_date, horizon_days, method, customers, actual_value_amount
        from clv.model_backtest
        where group_type = 'all' and horizon_days in (30, 365)
        """
    )
    assert set(rows["method"]) >= {"bgbb", "purchase_model", "mean", "last_horizon"}
    assert {str(day.date()) for day in rows["cutoff_date"]} == {
        *("2022-05-31", "2022-08-31", "2022-11-30", "2023-02-28")
    }
    seen = members.assign(period=months(members["month"]))
    for row in rows[rows["method"] == "bgbb"].itertuples():
        cutoff = pd.Period(row.cutoff_date, "M")
        known = seen.loc[seen["period"] <= cutoff, "user_id"].unique()
        until = cutoff + {30: 1, 365: 12}[row.horizon_days]
        after = (seen["period"] > cutoff) & (seen["period"] <= until)
        spent = seen.loc[after & seen["user_id"].isin(known), "amount"].sum()
        assert row.customers == len(known)
        assert row.actual_value_amount == pytest.approx(spent)


@pytest.mark.slow
def test_a_daily_run_is_of_the_month_that_has_ended_since(
    build, members, alive, theirs
):
    build.build(
        *("--select", "tag:daily_run,+customer_lifetime_value"),
        **build.variables,
        clv_run="daily",
        clv_as_of_date=NEXT,
    )
    found, params = scored(build)
    assert set(found["cutoff_date"].astype(str).str[:10]) == {NEXT}
    assert_scored_by_bgbb(found, params, histories(members, NEXT), alive, theirs)


@pytest.mark.slow
def test_p_alive_in_sql_is_that_of_the_likelihood_and_of_lifetimes(
    build, alive, theirs
):
    """The compiled table, on members of up to ten years and parameters of all kinds."""
    path = next(
        (build.folder / "target" / "compiled").rglob("int_expectations__alive.sql")
    )
    query = re.sub(r'"warehouse"\."\w+"\.', "", path.read_text())
    months = [(x, n) for n in (0, 1, 2, 12, 120) for x in (0, 1, 2, 11, 60, 120)]
    pairs = pd.DataFrame([pair for pair in months if pair[0] <= pair[1]])
    pairs = pairs.set_axis(["frequency", "n"], axis=1)
    pairs["age_days"] = np.floor(age(pairs["n"])).astype(int)
    keys = {"stratum": "all", "cutoff_date": pd.Timestamp("2024-06-30")}
    every = [PUBLISHED, MEMBERS, (0.05, 0.02, 3.0, 0.5), (40.0, 9.0, 0.02, 90.0)]
    names = ["alpha", "beta", "a", "b"]
    parameters = pd.DataFrame(every, columns=names).assign(**keys)
    parameters["model_version"] = [f"v{number}" for number in range(len(every))]
    parameters["purchase_model"] = "bgbb"
    connection = duckdb.connect()
    connection.register("int_expectations__pairs", pairs.assign(**keys))
    connection.register("int_parameters", parameters)
    found = connection.sql(query).df().merge(pairs, on=["frequency", "age_days"])
    assert len(found) == len(every) * (pairs["n"] - pairs["frequency"] + 1).sum()
    for number, params in enumerate(every):
        mine = found[found["model_version"] == f"v{number}"]
        history = (
            mine[name].to_numpy() for name in ("frequency", "recency_months", "n")
        )
        x, t_x, n = history
        expected = alive(params, x, t_x, n)
        assert mine["probability_alive"].to_numpy() == pytest.approx(expected, rel=1e-9)
        short = n <= 12  # of others lifetimes rounds
        if number > 1:
            continue
        published = theirs(params).conditional_probability_alive(
            0, x[short], t_x[short], n[short]
        )
        assert expected[short] == pytest.approx(published, rel=1e-4)
