"""Weekly refreshes of the CLV segments on CDNOW, through the project's compiled SQL."""

import json

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy.special import hyp2f1
from test_builds import HARMLESS, Build

pytestmark = pytest.mark.slow

FIRST, REFRESHES = pd.Timestamp("1997-06-29"), 53
# Customers of CDNOW, by the last digit of their id, and how many are drawn for each
# weekly refit, which makes its parameters as noisy as they are in practice.
SHARD, FITTED = ("3", "7"), 4000

# The models that are run, in order, by the schema they live in.
HISTORIES = (
    *("int_purchase_days__known", "int_value_caps", "int_histories__observed"),
    "int_purchases__last",
    "int_customers__current",
)
MEASURES = (
    *("int_segments__measured", "int_segments__inactivity"),
    "int_segments__computed_cut_points",
)
CUT, RULED = "int_segments__cut_points", "int_segments__ruled"
FROZEN, MEMORY = "int_segments__frozen_cut_points", "int_segments__remembered"

STATE = f"""
create schema clv_state; create schema clv_intermediate;
create table clv_state.{FROZEN} (
    settings varchar, vip_clv double, notable_clv double, valuable_clv double,
    historic_value double, outlier_value_365d double, outlier_purchases_365d double,
    outlier_mean_value double, promising_clv double, inactivity_days bigint,
    effective_date date, log_id varchar
);
create table clv_state.{MEMORY} (
    customer_id varchar, segment varchar, pending_segment varchar,
    pending_refreshes bigint, previous_segment varchar, moved_by varchar,
    purchase_days bigint, segment_since date, refreshed_on date, log_id varchar
);
create table clv_intermediate.int_logs as
select 'ours' as log_id, true as is_current, date '9999-12-31' as seen_until;
create table clv_intermediate.int_predictions__expected (
    customer_id varchar, cutoff_date date, is_current_spec boolean,
    probability_alive double,
    expected_purchases_365d double, clv_365d double
);
create table clv_intermediate.int_contracts__listed (
    customer_id varchar, plan varchar, billing_period_days bigint
);
create table clv_intermediate.int_customers__status (
    customer_id varchar, is_suppressed boolean
);
"""


class Refreshes:
    """A warehouse in which the segment models run without dbt, refresh by refresh."""

    def __init__(self, folder, log, **variables):
        build = Build(folder)
        with duckdb.connect(str(build.database)) as connection:
            connection.execute(STATE)
        # The memory exists, so dbt compiles how it goes on, not how it starts.
        build.call(
            "dbt",
            "--no-use-colors",
            "compile",
            "--select",
            *HISTORIES,
            *MEASURES,
            *(FROZEN, CUT, RULED, MEMORY),
            "--vars",
            json.dumps({"clv_backtest_days": [], **variables}),
            knows=variables.keys() <= HARMLESS,
        )
        compiled = folder / "target" / "compiled" / "clv" / "models"
        self.sql = {path.stem: path.read_text() for path in compiled.rglob("*.sql")}
        self.connection = duckdb.connect(str(build.database))
        self.connection.register("log", log)
        self.connection.execute(
            """
            create table purchase_days as
            select
                user_id as customer_id, true as is_purchase, count(*) as order_count,
                sum(amount)::decimal(18, 4) as value_amount,
                value_amount as revenue_amount, value_amount as margin_amount,
                ts::date as purchase_date, ts::date as known_from,
                null::date as known_until
            from log group by user_id, ts::date
            """
        )

    def create(self, name):
        """Build a table from what its model selects."""
        self.connection.execute(
            f"create or replace table clv_intermediate.{name} as {self.sql[name]}"
        )

    def merge(self, name, date):
        """Add what an incremental model selects, in place of the rows of this date."""
        self.connection.execute(
            f"create or replace temp table added as {self.sql[name]}"
        )
        self.connection.execute(
            f"delete from clv_state.{name} where {date} = "
            "(select as_of_date from clv_intermediate.int_as_of)"
        )
        self.connection.execute(f"insert into clv_state.{name} by name from added")

    def start(self, as_of):
        """Histories as of a date."""
        self.connection.execute(
            f"""
            create or replace table clv_intermediate.int_as_of as
            select date '{as_of.date()}' as as_of_date;
            create or replace table clv_intermediate.int_cutoffs as
            select true as is_production, as_of_date as cutoff_date, as_of_date
            from clv_intermediate.int_as_of;
            create or replace table clv_intermediate.int_purchase_days as
            from purchase_days where purchase_date <= '{as_of.date()}';
            """
        )
        for name in HISTORIES:
            self.create(name)
        return self.connection.sql(
            "from clv_intermediate.int_histories__observed order by customer_id"
        ).df()

    def publish(self, predictions):
        """Cut-points from what is predicted."""
        self.connection.register("predictions", predictions)
        self.connection.execute(
            "create or replace table clv_intermediate.int_scores__served as "
            "from predictions"
        )
        for name in MEASURES:
            self.create(name)

    def without_memory(self):
        """Segments by this refresh's own cut-points."""
        self.connection.execute(
            f"create or replace table clv_intermediate.{CUT} "
            "as from clv_intermediate.int_segments__computed_cut_points"
        )
        self.create(RULED)
        return self.ruled()

    def with_memory(self):
        """Segments by frozen cut-points, as remembered."""
        self.merge(FROZEN, "effective_date")
        self.create(CUT)
        self.create(RULED)
        self.merge(MEMORY, "refreshed_on")
        return self.read(
            f"select segment from clv_state.{MEMORY} qualify row_number() over "
            "(partition by customer_id order by refreshed_on desc) = 1"
        )

    def ruled(self):
        """Segments by the cut-points in force, as if nothing were remembered."""
        return self.read(f"select segment from clv_intermediate.{RULED}")

    def read(self, query):
        """Segments that a query finds, in the order of customers."""
        found = self.connection.sql(query + " order by customer_id").fetchnumpy()
        return found["segment"].astype(str)


def expected_purchases(params, x, t_x, age, days):
    """P(alive) and E[N(days)] of BG/NBD: Fader, Hardie & Lee (2005), equation 10."""
    r, alpha, a, b = params
    gone = (x > 0) * a / np.maximum(b + x - 1, 1e-9)
    alive = 1 / (1 + gone * ((alpha + age) / (alpha + t_x)) ** (r + x))
    tail = hyp2f1(r + x, b + x, a + b + x - 1, days / (alpha + age + days))
    kept = ((alpha + age) / (alpha + age + days)) ** (r + x) * tail
    return alive, alive * (a + b + x - 1) / (a - 1) * (1 - kept)


@pytest.fixture(scope="module")
def weeks(tmp_path_factory, purchases, gamma_gamma):
    """Segments and purchase days of every customer at every refresh."""
    path = ROOT / "seeds" / "demo" / "transactions.csv.gz"
    log = pd.read_csv(path, dtype={"user_id": str}, parse_dates=["ts"])
    log = log[log["amount"] > 0]
    first = log.groupby("user_id")["ts"].transform("min")
    log = log[(first <= FIRST) & log["user_id"].str.endswith(SHARD)]
    refreshes = Refreshes(tmp_path_factory.mktemp("refreshes"), log)
    rng = np.random.default_rng(5)
    found = {"off": [], "on": [], "rules": [], "purchase_days": []}
    for week in range(REFRESHES):
        histories = refreshes.start(FIRST + pd.Timedelta(weeks=week))
        columns = ("frequency", "recency_days", "age_days", "purchase_days")
        x, t_x, age, n = (histories[each].to_numpy(float) for each in columns)
        value = histories["capped_mean_value"].to_numpy(float)
        drawn = rng.choice(len(histories), FITTED)
        timing = purchases.fit_purchases("bgnbd", x[drawn], t_x[drawn], age[drawn])
        p, q, gamma = gamma_gamma.fit_gamma_gamma(n[drawn], value[drawn])["params"]
        assert timing["converged"]
        alive, expected = expected_purchases(timing["params"], x, t_x, age, 365)
        per_purchase = p * (gamma + n * value) / (p * n + q - 1)
        refreshes.publish(
            pd.DataFrame(
                {
                    "customer_id": histories["customer_id"],
                    "frequency": histories["frequency"],
                    "probability_alive": alive,
                    "expected_purchases_365d": expected,
                    "clv_365d": expected * per_purchase,
                }
            )
        )
        found["off"].append(refreshes.without_memory())
        found["on"].append(refreshes.with_memory())
        found["rules"].append(refreshes.ruled())
        found["purchase_days"].append(n)
    refreshes.connection.close()
    return {name: np.array(rows) for name, rows in found.items()}


def unexplained(segments, purchase_days):
    """Changes per customer-year, and A-B-A flaps per 1,000, none with a purchase."""
    years = segments.shape[1] * (len(segments) - 1) / 52
    changed = segments[1:] != segments[:-1]
    quiet = purchase_days[1:] == purchase_days[:-1]
    flaps = changed[1:] & quiet[1:] & quiet[:-1] & (segments[2:] == segments[:-2])
    return (changed & quiet).sum() / years, 1000 * flaps.sum() / years


def test_memory_ends_flapping(weeks):
    """Printed with pytest -s; `changes` are mostly the clock, which is meant."""
    rates = {
        name: unexplained(weeks[name], weeks["purchase_days"]) for name in ("off", "on")
    }
    for name, (changes, flaps) in rates.items():
        print(f"memory {name}: {changes:.2f} changes, {flaps:.1f} flaps per 1,000")
    assert rates["on"][1] < 5 < rates["off"][1]


def test_memory_does_not_hold_customers_where_they_no_longer_belong(weeks):
    """It delays moves by one refresh, and those at the edge of a tier for longer."""
    agrees = weeks["on"] == weeks["rules"]
    print(
        f"as the rules of the day: {agrees.mean():.2%}, {agrees[-1].mean():.2%} at last"
    )
    assert agrees.mean() > 0.97
    bought = weeks["purchase_days"][1:] != weeks["purchase_days"][:-1]
    assert bought.sum() > 1000
    assert agrees[1:][bought].mean() > 0.99
