"""Every rule of seeds/reference/alert_rules.csv rings when what it is about is wrong.

The fault is planted in a table of the demo that is there already; the project's own SQL
makes the alerts from it, in memory. A rule without a case fails.
"""

import csv
import os
import re
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT
from test_builds import Build
from test_selectors import daily_nodes

pytestmark = pytest.mark.slow  # it compiles the project

with (ROOT / "seeds" / "reference" / "alert_rules.csv").open(newline="") as lines:
    RULES = [row["rule"] for row in csv.DictReader(lines)]

# What lies between a fault and an alert, in the order in which it is made.
CHAIN = (
    *("int_purchases__regularity", "int_loads__checked", "score_distribution"),
    *("int_drift__histograms", "feature_drift", "model_calibration"),
    *("model_parameters", "score_coverage", "segment_stability", "data_freshness"),
    *("alert_measures", "alerts"),
)
FAILS_THE_BUILD = "assert_no_alert_is_loud_enough_to_fail_the_build"
AS_OF, FULL_RUN, BEFORE = "1998-06-30", "1998-06-28", "1998-06-29"
# The demo, as if it were two days after a full run and nothing were wrong with it.
HEALTHY = {
    "int_closed_until": f"select date '{FULL_RUN}' as as_of_date",
    "int_calibration__histograms": (
        "select * replace (actual_purchases as expected_purchases, "
        "buyers::double as probability) from {}"
    ),
    "score_profiles": (
        f"select * replace (date '{BEFORE}' as as_of_date) "
        "from warehouse.clv_state.score_profiles"
    ),
    "customer_segments": (
        f"select * replace (date '{FULL_RUN}' as segment_since, "
        "clv_segment as previous_segment, 'confirmation' as moved_by) from {}"
    ),
}


def moved(condition):
    """A fifth of a segment left it without a purchase."""
    return (
        "select * replace (case when hash(customer_id) % 5 = 0 then as_of_date "
        f"else date '{FULL_RUN}' end as segment_since, 'inactivity' as moved_by, "
        f"clv_segment as previous_segment) from {{}} where {condition}"
    )


def changed(**columns):
    """A table in which columns have other values."""
    values = ", ".join(f"{value} as {name}" for name, value in columns.items())
    return f"select * replace ({values}) from {{}}"


def campaign(budget_used, redemption_z):
    return (
        f"select 'c' as campaign_id, 'mail' as arm, {budget_used} as budget_used, "
        f"{redemption_z} as redemption_z, date '{AS_OF}' as last_assigned_date, "
        f"date '{AS_OF}' as as_of_date"
    )


def if_latest(column, value):
    return f"case when transaction_month = '1998-06-01' then {value} else {column} end"


def if_current(column, value):
    return f"case when period = 'current' then {value} else {column} end"


# Rule → table → what it holds instead of what is there, which is called {}.
FAULTS = {
    "data_stale": {"customer_lifetime_value": changed(scored_on="scored_on - 3")},
    "fit_stale": {"registry_parameters": changed(fitted_until="fitted_until - 99")},
    "score_coverage_low": {
        "customer_lifetime_value": changed(
            clv_365d="case when hash(customer_id) % 5 > 0 then clv_365d end"
        )
    },
    "scores_invalid": {
        "customer_lifetime_value": changed(
            clv_365d="if(row_number() over () = 1, 'nan'::double, clv_365d)"
        )
    },
    "score_drift_high": {"customer_lifetime_value": changed(clv_365d="3 * clv_365d")},
    "forecasts_withheld": {
        "int_readiness": changed(is_forecast="false", reason="'too short'")
    },
    "forecasts_unchecked": {
        "int_readiness": changed(status="'unchecked'", reason="'no window'")
    },
    "log_looks_contractual": {
        "int_purchase_days": (
            "select 'c' || customer as customer_id, "
            "date '1997-01-01' + 30 * month::int as purchase_date, "
            "9 as revenue_amount, true as is_purchase, null::date as known_until "
            "from range(50) as a (customer), range(12) as b (month)"
        )
    },
    "fits_flagged": {"int_purchases__parameters": changed(is_flagged="true")},
    "rate_value_correlation_high": {
        "int_gamma_gamma__parameters": changed(rate_value_correlation="-0.5")
    },
    "feature_drift_high": {
        "int_drift__observed": changed(channel=if_current("channel", "'app'"))
    },
    "feature_level_shift_high": {
        "int_drift__observed": changed(
            order_value=if_current("order_value", "1.5 * order_value")
        )
    },
    "brier_skill_low": {
        "int_calibration__histograms": changed(squared_error="2 * squared_error")
    },
    "probabilities_miscalibrated": {
        "int_calibration__histograms": changed(probability="0.5 * probability")
    },
    "decile_miscalibrated": {
        "int_calibration__histograms": changed(
            probability="probability * case when probability_bin > 3000 then 0.5 "
            "else 1 end"
        )
    },
    "purchase_bias_high": {
        "int_calibration__histograms": changed(
            expected_purchases="1.3 * actual_purchases"
        )
    },
    "tracking_error_in_sample_high": {
        "model_tracking": changed(
            expected_cumulative="expected_cumulative * if(is_in_sample, 1.3, 1)"
        )
    },
    "tracking_error_after_fit_high": {
        "model_tracking": changed(
            expected_cumulative="expected_cumulative * if(is_in_sample, 1, 1.3)"
        )
    },
    "capped_value_rate_high": {
        "int_histories__observed": changed(capped_mean_value="0.9 * mean_value")
    },
    "lines_without_user_rising": {
        "int_loads__profiled": changed(
            lines_without_user=if_latest("lines_without_user", "line_count // 2")
        )
    },
    "identity_too_large": {
        "int_identities__resolved": (
            "select 'u' || number as identifier, 'u0' as customer_id "
            "from range(200) as numbers (number)"
        )
    },
    "accounts_merged": {
        "int_identities__resolved": (
            "select unnest(['account:1', 'account:2']) as identifier, "
            "'u1' as customer_id"
        )
    },
    "ids_differ_in_case_or_blanks": {
        "int_customers__profiled": (
            "from {} union all by name select unnest(['U 1', 'u1']) as customer_id"
        )
    },
    "first_load_inconsistent": {
        "accepted_loads": "from {} limit 0",
        "int_loads__profiled": changed(
            median_sale_amount=if_latest(
                "median_sale_amount", "100 * median_sale_amount"
            )
        ),
    },
    "segments_unstable": {"customer_segments": moved("true")},
    "vip_loss_high": {"customer_segments": moved("clv_segment = '02_loyal_vip'")},
    "campaigns_over_budget": {"campaign_guardrails": campaign(2.0, 0.0)},
    "redemptions_above_plan": {"campaign_guardrails": campaign(0.5, 9.0)},
}
STATE = ("registry_parameters", "accepted_loads", "score_profiles")


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    """From a fault to the alerts, and the tables that it changed on the way."""
    demo = Path(os.environ.get("CLV_TEST_DEMO") or ROOT / "warehouse.duckdb")
    if not demo.exists():
        assert os.environ.get("CI") != "true", "there is no built demo"
        pytest.skip("no built demo: run scripts/build.sh first")
    build = Build(tmp_path_factory.mktemp("rules"))
    build.call(
        *("dbt", "compile", "--no-introspect", "--select", *CHAIN, FAILS_THE_BUILD),
        *("--vars", "{clv_fail_on: page}"),
    )
    folder = build.folder / "target" / "compiled" / "clv"
    texts = {path.stem: path.read_text() for path in folder.rglob("*.sql")}
    # one thread adds up in one order
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(f"attach '{demo}' as warehouse (read_only)")
    # "database"."schema"."name" is a table of that name here
    sql = {
        name: re.sub(r'"\w+"\."\w+"\."(\w+)"', r"\1", texts[name])
        for name in (*CHAIN, FAILS_THE_BUILD)
    }
    places = dict(
        connection.sql(
            "select table_name, table_schema from information_schema.tables "
            "where table_catalog = 'warehouse' order by table_schema = 'clv_raw' desc"
        ).fetchall()
    )

    def make(fault):
        replaced = HEALTHY | fault
        for name in places.keys() - set(CHAIN):
            schema = places[name]
            text = replaced.get(name, "from {}").format(f"warehouse.{schema}.{name}")
            connection.execute(f"create or replace view {name} as {text}")
        marks = {}
        for name in CHAIN:
            connection.execute(f"create or replace temp table {name} as {sql[name]}")
            marks[name] = connection.sql(
                f"select count(*), bit_xor(hash(each)) from {name} as each"
            ).fetchone()
        alerts = connection.sql("from alerts").df().set_index("rule")
        failing = {row[0] for row in connection.sql(sql[FAILS_THE_BUILD]).fetchall()}
        loud = alerts["muted_because"].isna() & (alerts["severity"] == "page")
        assert failing == set(alerts.index[loud])
        return alerts, marks

    yield make
    connection.close()


@pytest.fixture(scope="module")
def healthy(ring):
    alerts, marks = ring({})
    assert alerts.empty, alerts
    return marks


@pytest.fixture(scope="module")
def daily(tmp_path_factory):
    """The models of selector daily_scoring."""
    return {
        node["name"]
        for node in daily_nodes(tmp_path_factory.mktemp("target"))
        if node["resource_type"] == "model"
    }


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_rings_when_its_fault_is_planted(ring, healthy, daily, rule):
    assert rule in FAULTS, f"{rule} has no case: plant what it is about"
    alerts, marks = ring(FAULTS[rule])
    assert rule in alerts.index, alerts
    # what a daily run makes anew from end to end is as of its day, the rest of before
    touched = {name for name in CHAIN if marks[name] != healthy[name]}
    touched |= FAULTS[rule].keys() - set(STATE)
    day = AS_OF if touched <= daily else FULL_RUN
    assert str(alerts.loc[rule, "as_of_date"])[:10] == day, touched - daily


def test_every_case_is_of_a_rule():
    assert list(FAULTS) == RULES
