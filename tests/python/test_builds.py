"""Whole builds on DuckDB: published numbers, every optional input, leakage, faults."""

import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from plant_faults import FinishedBuild
from planted_faults import FAULTS
from scipy.special import betainc
from scipy.stats import nbinom, norm, ttest_ind
from warm_dbt import Dbt

sys.path.insert(0, str(ROOT / "scripts"))
import erase_customer
from quick_dbt import HARMLESS

DBT = Dbt()
BIN = Path(sys.executable).parent
LOAD = ROOT / "scripts" / "load_input.py"
CUTOFF = pd.Timestamp("1997-09-30")


@functools.cache
def descriptions(with_tests):
    """Path → text of every yml file of models, as it is or without its tests."""
    found = {}
    for path in (
        p for top in ("models", "python_models") for p in ROOT.glob(f"{top}/**/*.yml")
    ):
        text = path.read_text(encoding="utf-8")
        if not with_tests:
            content = yaml.load(text, yaml.CSafeLoader)
            content.pop("unit_tests", None)
            for each in content.get("models", []):
                for part in (each, *each.get("columns", [])):
                    part.pop("data_tests", None)
            text = yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False)
        found[path.relative_to(ROOT)] = text
    return found


class Warehouse:
    """A warehouse file, to look into."""

    def __init__(self, database):
        self.database = database

    def read(self, query):
        """Rows of a query as a frame."""
        # clv.duckdb would be confused with its schema clv
        with duckdb.connect() as connection:
            connection.execute(f"attach '{self.database}' as warehouse (read_only)")
            connection.execute("use warehouse")
            return connection.sql(query).df()


class Build(Warehouse):
    """A copy of the project with one warehouse file, to load, run and look into."""

    def __init__(self, folder, seeds=()):
        super().__init__(folder / "warehouse.duckdb")
        self.folder = folder
        for name in ("models", "macros", "seeds", "tests", "python_models"):
            shutil.copytree(ROOT / name, folder / name)
        for name in ("dbt_project.yml", "profiles.yml", "selectors.yml"):
            shutil.copy(ROOT / name, folder / name)
        for name, text in dict(seeds).items():
            (folder / "seeds" / "reference" / f"{name}.csv").write_text(text)
        self.is_tested = True
        self.is_plain = not seeds

    def declare_tests(self, wanted):
        """Have the project with its tests, or without, which dbt reads faster."""
        if wanted == self.is_tested:
            return
        self.is_tested = wanted
        for path in sorted((ROOT / "tests").glob("[im]*/*.sql")):
            copy = self.folder / path.relative_to(ROOT)
            shutil.copy(path, copy) if wanted else copy.unlink()
        for name, text in descriptions(wanted).items():
            (self.folder / name).write_text(text, encoding="utf-8")

    def load(self, **inputs):
        """Load frames as the input tables."""
        source = self.folder / "input"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        for name, frame in inputs.items():
            frame.to_parquet(source / f"{name}.parquet", index=False)
        self.call(LOAD, "--input", source)
        return self

    def build(self, *options, tests=False, may_fail=False, knows=False, **variables):
        """Run `dbt build`, with data tests or without; return what it printed."""
        self.declare_tests(tests)
        skipped = ["unit_test"] + ([] if tests else ["test"])
        knows = knows or (self.is_plain and variables.keys() <= HARMLESS)
        return self.call(
            *("dbt", "--no-use-colors"),
            # Only faults are planted by the manifest, in a project that is not known.
            *(["--no-write-json"] if knows else []),
            "build",
            *options,
            *(f"--exclude-resource-type={kind}" for kind in skipped),
            "--vars",
            json.dumps(variables),
            may_fail=may_fail,
            knows=knows,
        )

    def operate(self, name, may_fail=False, **variables):
        """Run an operation; return what it printed."""
        command = ("dbt", "run-operation", name, "--vars", json.dumps(variables))
        return self.call(*command, may_fail=may_fail, knows=True)

    def call(self, *command, may_fail=False, knows=False):
        """Run a command on this project and this file only; see `Dbt.run`."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DBT_", "CLV_"))
        }
        environment |= {
            "CLV_DUCKDB_PATH": str(self.database),
            "DBT_PROFILES_DIR": str(self.folder),
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "DBT_LOG_LEVEL_FILE": "none",
        }
        if command[0] in ("dbt", LOAD):
            code, printed = DBT.run(
                *(command[1:], self.folder, environment),
                knows=knows,
                script=None if command[0] == "dbt" else str(LOAD),
            )
        else:
            done = subprocess.run(
                [str(part) for part in command],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            code, printed = done.returncode, done.stdout
        assert may_fail or code == 0, printed[-6000:]
        self.exit_code = code
        return printed


HOLDOUT = {
    "clv_horizons": [30, 90, 180, 273, 365],
    "clv_backtest_days": [273],
    "clv_purchase_model": "bgnbd",
}


@pytest.fixture(scope="module")
def published(sample, tmp_path_factory):
    """The calibration period of the sample; orders of nothing count, as published."""
    build = Build(tmp_path_factory.mktemp("published"))
    build.load(transactions=sample[sample["ts"] <= CUTOFF])
    build.build("--select", "+int_predictions__scored", clv_value="none", **HOLDOUT)
    return build


@pytest.fixture(scope="module")
def holdout(log, tmp_path_factory):
    """All of CDNOW, with the calibration period's end as a backtest cutoff."""
    build = Build(tmp_path_factory.mktemp("holdout")).load(transactions=log)
    build.build(
        *("--select", "+cohort_clv", "+int_predictions__scored"),
        clv_discount_rate=0,
        **HOLDOUT,
    )
    return build


# -- How large a campaign must be


def test_a_plan_says_what_it_detects_and_when_the_shop_is_too_small(holdout):
    known = " ".join(holdout.operate("plan_campaign", **HOLDOUT).split())
    assert "power 80 %" in known
    assert "two-sided alpha 5 %" in known
    value = holdout.read(
        "select cast(outcomes.value_90d as double) as value, clv_90d "
        "from clv_intermediate.int_histories__held_out as outcomes "
        "inner join clv_intermediate.int_predictions__scored as predictions "
        "using (customer_id, cutoff_date) "
        "where is_current_spec and value_90d is not null"
    )
    rest = 1 - value["value"].corr(value["clv_90d"]) ** 2
    spread = 2 * (norm.ppf(0.975) + norm.ppf(0.8)) ** 2 * value["value"].var()
    for lift in (5, 10, 20):
        arm = spread / (value["value"].mean() * lift / 100) ** 2
        found = re.search(
            rf"of {lift} % it needs 2 x ([\d,]+) customers, or 2 x ([\d,]+) with CLV "
            r"as covariate\.( The shop[^.]*)?",
            known,
        )
        plain, adjusted = (int(found[k].replace(",", "")) for k in (1, 2))
        assert plain == pytest.approx(arm, abs=1)
        assert adjusted == pytest.approx(arm * rest, abs=1)
        expected = None
        if 2 * arm > len(value):
            expected = f" The shop has enough, {len(value):,}, with CLV only"
        if 2 * arm * rest > len(value):
            expected = f" The shop has too few customers: {len(value):,}"
        assert found[3] == expected
    assert "too few" in known
    least = 100 * np.sqrt(2 * spread / len(value)) / value["value"].mean()
    assert f"detect a difference of {least:.1f} % or more" in known


# -- Published numbers, from the transaction log through SQL and the fit


def test_the_fit_of_the_sample_is_the_published_one(published):
    fit = published.read("from clv_intermediate.int_purchases__parameters").iloc[0]
    histories = published.read(
        "select sum(customers) n, sum(customers * frequency) x "
        "from clv_intermediate.int_histories__compressed"
    ).iloc[0]
    assert (histories["n"], histories["x"]) == (2357, 2457)
    # the test suite of CLVTools 0.12.1, on unrounded weeks
    weeks = [fit["r"], fit["alpha"] / 7, fit["a"], fit["b"]]
    assert weeks == pytest.approx([0.2425945, 4.4136019, 0.7929199, 2.4258881], 1e-5)
    in_weeks = fit["log_likelihood"] + histories["x"] * np.log(7)
    assert in_weeks == pytest.approx(-9582.4292, abs=5e-5)
    assert not fit["is_flagged"]


def test_single_customers_have_the_published_expectation(published):
    # CLVTools 0.12.1, BG/NBD on unrounded weeks, 39 weeks ahead
    theirs = pd.DataFrame(
        {
            "customer_id": ["1", "10", "100"],
            "expected_purchases": [1.22599333, 0.19479357, 0.62685178],
            "probability_alive": [0.72661975, 1, 0.64699130],
        }
    ).set_index("customer_id")
    ours = published.read(
        "select customer_id, expected_purchases_273d as expected_purchases, "
        "probability_alive from clv_intermediate.int_predictions__scored "
        "where customer_id in ('1', '10', '100')"
    ).set_index("customer_id")
    # its optimum and ours agree to about five digits
    pd.testing.assert_frame_equal(ours.sort_index(), theirs.sort_index(), rtol=5e-5)


@pytest.mark.parametrize(
    ("level", "name"), [(0.1, "p10_raw"), (0.5, "p50"), (0.9, "p90_raw")]
)
def test_the_quantiles_sql_interpolates_have_their_level(holdout, level, name):
    rows = holdout.read(
        f"""
        select
            frequency as x, age_days as age, purchase_days as n,
            gamma + purchase_days * greatest(mean_value, 0) as scale,
            probability_alive, r, alpha, a, b, p, q,
            clv_273d_{name} / clv_273d * expected_purchases_273d * expected_value
                as spend
        from clv_intermediate.int_predictions__scored
        inner join clv_intermediate.int_histories__observed
            using (customer_id, stratum, cutoff_date)
        inner join clv_intermediate.int_parameters
            using (model_version, stratum, cutoff_date)
        where
            clv_273d_{name} > 0
            -- no window had ended by it, so that nothing is corrected
            and cutoff_date = (
                select min(cutoff_date) from clv_intermediate.int_cutoffs
            )
        order by hash(customer_id)
        limit 300
        """
    )
    # P(spend <= s) = 1 - sum over k of P(N = k) P(S_k > s), term by term
    survival = np.zeros(len(rows))
    r, alpha, a, b, p, q = (
        rows[key].to_numpy() for key in ["r", "alpha", "a", "b", "p", "q"]
    )
    x, age, n = (rows[key].to_numpy() for key in ["x", "age", "n"])
    alive = np.ones(len(rows))
    success = (alpha + age) / (alpha + age + 273)
    at_least = [alive * nbinom.sf(0, r + x, success)]
    for k in range(1, 400):
        alive = alive * (b + x + k - 1) / (a + b + x + k - 1)
        at_least.append(alive * nbinom.sf(k, r + x, success))
    at_least = np.array(at_least)
    counts = at_least[:-1] - at_least[1:]
    share = rows["spend"] / rows["scale"]
    for k, probability in enumerate(counts, start=1):
        survival += probability * (1 - betainc(p * k, q + p * n, share / (1 + share)))
    reached = 1 - rows["probability_alive"] * survival
    assert len(rows) > 20
    assert np.abs(reached - level).max() < 2e-3


# -- Other purchase models


@pytest.fixture(scope="module")
def mixed(log, tmp_path_factory):
    """Of everyone in CDNOW, one month in three: every model beside every other."""
    log = log[log["user_id"].astype(int) % 12 == 0]
    months = log.groupby("user_id")["ts"].transform("min").dt.month
    build = Build(tmp_path_factory.mktemp("mixed"))
    build.load(transactions=log.assign(channel="m" + months.astype(str)))
    build.build(
        tests=True,
        clv_strata=["first_channel"],
        clv_min_stratum_customers=500,
        clv_purchase_model={"default": "paretonbd", "m1": "bgnbd"},
        clv_challenger_models=["mbgnbd"],
        clv_backtest_days=[182],
    )
    return build


def test_strata_have_their_own_purchase_model(mixed):
    found = mixed.read(
        """
        select
            stratum, model_version, purchase_model, is_production, is_current_spec,
            a is null as is_pareto
        from clv.model_parameters
        order by stratum, is_production, is_current_spec
        """
    )
    assert found["stratum"].unique().tolist() == ["m1", "m2", "m3"]
    spec = found[found["is_current_spec"]]
    assert set(spec["model_version"]) == {"mixed"}
    models = spec[spec["is_production"]].set_index("stratum")["purchase_model"]
    assert models.to_dict() == {"m1": "bgnbd", "m2": "paretonbd", "m3": "paretonbd"}
    assert (found["is_pareto"] == (found["purchase_model"] == "paretonbd")).all()
    # the challenger is fitted where it can be compared, not where it is published
    rivals = found[~found["is_current_spec"]]
    assert rivals["model_version"].tolist() == ["mbgnbd"] * 3
    assert not rivals["is_production"].any()


def test_marts_hold_the_current_spec_only(mixed):
    sources = mixed.read(
        """
        select clv_source, count(*) as customers
        from clv.customer_lifetime_value group by 1 order by 1
        """
    )
    names = ["bgnbd_gamma_gamma", "cohort_prior", "paretonbd_gamma_gamma"]
    assert sources["clv_source"].tolist() == names
    counted = mixed.read(
        """
        select
            (select sum(customers) from clv.cohort_clv where horizon_days = 30) as told,
            (select count(*) from clv_intermediate.int_histories__observed) as seen,
            (select count(*) from clv_intermediate.int_predictions__scored) as scored,
            (
                select count(*) from clv_intermediate.int_predictions__scored
                where not is_current_spec
            ) as rivals
        """
    ).iloc[0]
    assert counted["told"] == counted["seen"]
    assert counted["scored"] == counted["seen"] + counted["rivals"]
    assert counted["rivals"] * 2 == counted["seen"]


@pytest.mark.parametrize("purchase_model", ["mbgnbd", "paretonbd"])
def test_the_sample_has_the_published_fit_of_another_model(
    sample, tmp_path, purchase_model
):
    """What all tests say of each: the demo, which MBG/NBD serves, and `mixed`."""
    build = Build(tmp_path).load(transactions=sample[sample["ts"] <= CUTOFF])
    build.build(
        *("--select", "+model_parameters", "+customer_lifetime_value"),
        clv_purchase_model=purchase_model,
        clv_backtest_days=[],
    )
    fit = build.read("from clv.model_parameters").iloc[0]
    assert fit["purchase_model"] == purchase_model
    assert not fit["is_flagged"]
    # BTYDplus 1.2.0 and CLVTools 0.12.1 on unrounded weeks; orders of 0.00 do not count
    theirs = {
        "mbgnbd": [0.5248, 6.1831 * 7, 0.8914, 1.614],
        "paretonbd": [0.55327, 10.5778 * 7, 0.60602, 11.66391 * 7],
    }[purchase_model]
    leaving = ["s", "beta"] if purchase_model == "paretonbd" else ["a", "b"]
    ours = fit[["r", "alpha", *leaving]].astype(float)
    assert ours.to_numpy() == pytest.approx(theirs, rel=0.05)
    alive = build.read(
        "select max(probability_alive) as highest from clv.customer_lifetime_value "
        "where frequency = 0"
    )
    assert 0.2 < alive["highest"][0] < 1


# -- Every optional input, with everything that goes wrong in real logs


def rich_inputs():
    """A small shop with refunds, currencies, shared identities and bad lines."""
    rng = np.random.default_rng(11)
    start, last_day, lines = pd.Timestamp("2023-01-01 12:00"), 545, []
    for customer in range(900):
        # BG/NBD and Gamma-Gamma, so that the fits have something to find
        rate, dropout = rng.gamma(0.8) / 40, rng.beta(0.8, 2.5)
        level = 20 / rng.gamma(4)
        day, order = rng.uniform(0, 400), 0
        while day <= last_day:
            for line in range(rng.integers(1, 4)):
                amount = round(float(level * rng.gamma(6)), 2) + 0.01
                lines.append(
                    {
                        # several user ids for one person
                        "user_id": f"u{customer:03d}{'b' if order % 2 else 'a'}",
                        "order_id": f"o{customer}-{order}" if customer % 5 else None,
                        "ts": start + pd.Timedelta(days=int(day)),
                        "amount": amount,
                        "sku": f"s{line}",
                        "currency": ["USD", "EUR", None][customer % 3],
                        "channel": ["web", "store"][customer % 7 > 3],
                        "category": ["toys", "books", None][line % 3],
                        "is_refund": False,
                        "variable_cost": round(amount * 0.4, 2) if line else None,
                    }
                )
            if rng.random() < dropout * (order > 0):
                break
            day, order = day + rng.exponential(1 / rate), order + 1
    sales = pd.DataFrame(lines)
    back = sales.sample(frac=0.12, random_state=1).assign(is_refund=True)
    back["ts"] += pd.to_timedelta(rng.integers(0, 90, len(back)), unit="D")
    back["order_id"] = back["order_id"].where(rng.random(len(back)) < 0.7)
    half = rng.random(len(back)) < 0.5
    back["amount"] = np.where(half, -back["amount"], back["amount"])
    strays = sales.head(6).assign(user_id=None)
    early = sales.head(1).assign(user_id="nobody", is_refund=True, order_id=None)
    repeated = sales[sales["order_id"].notna()].head(40)
    log = pd.concat([sales, back, strays, early, repeated], ignore_index=True)
    log = log[log["ts"] < "2024-07-01"]
    people = sales["user_id"].str[:4].unique()
    buyers = pd.DataFrame({"user_id": [f"{each}a" for each in people]})
    buyers["signup_ts"] = pd.Timestamp("2022-12-01")
    buyers["country"] = ["DE", "US"] * (len(buyers) // 2)
    buyers["account_id"] = [f"acc{k // 4}" for k in range(len(buyers))]
    # some on a plan that they may pay at any time
    on_plan = np.arange(len(buyers)) % 15 < 2
    buyers["plan"] = np.where(on_plan, "club", None)
    buyers["billing_period_days"] = pd.array(np.where(on_plan, 91, None), "Int64")
    prospects = pd.DataFrame({"user_id": [f"p{k}" for k in range(150)]})
    prospects["signup_ts"] = pd.Timestamp("2023-02-01")
    prospects["country"] = "DE"
    return {
        "transactions": log,
        "customers": pd.concat([buyers, prospects], ignore_index=True),
        # the link goes over a shared device for some
        "identities": pd.DataFrame(
            [
                pair
                for number, each in enumerate(people)
                for pair in (
                    [(f"{each}a", f"{each}b")]
                    if number % 2
                    else [(f"{each}a", f"device{each}"), (f"{each}b", f"device{each}")]
                )
            ]
            + [(f"{each}a", "till") for each in people],
            columns=["user_id", "other_id"],
        ),
        "events": pd.DataFrame(
            {
                "user_id": ["u000a", "u000b"] * 5,
                "ts": pd.date_range("2023-08-01", "2024-04-01", 10),
                "event_name": ["visit", "search", "visit", "visit", "search"] * 2,
            }
        ),
        "text_signals": pd.DataFrame(
            {
                "user_id": ["u003b", "u004a"] * 5,
                "ts": pd.date_range("2023-08-01", "2024-04-01", 10),
                "source": "review",
                "sentiment": np.linspace(-1, 1, 10),
                "topic": "delivery",
            }
        ),
        # television wins nobody, and one day is still to come
        "ad_spend": pd.DataFrame(
            [
                (channel, start.normalize() + pd.Timedelta(days=day), spend)
                for channel, spend in (("Web", 40.25), ("store", 90.0), ("tv", 5.0))
                for day in range(0, 540, 9)
            ]
            + [("tv", pd.Timestamp("2024-12-24"), 99.5)],
            columns=["channel", "spend_date", "spend"],
        ),
        "campaign_assignments": pd.DataFrame(
            {
                "campaign_id": "c1",
                "user_id": [f"{each}{'ab'[k % 2]}" for k, each in enumerate(people)],
                "arm": np.where(rng.random(len(people)) < 0.3, "Holdout", "Mail"),
                "assigned_at": pd.Timestamp("2024-02-01 09:30"),
            }
        ).assign(
            cost=lambda d: np.where(d["arm"] == "Mail", 1.5, 0),
            # every fifth redeems, and two thirds of them after the as-of date
            redeemed_at=lambda d: (
                pd.Timestamp("2024-02-20")
                + pd.to_timedelta(
                    np.where(d.index % 5, np.nan, d.index % 3 * 150), unit="D"
                )
            ),
        ),
        # two thirds say yes; every fourth says no later, under another id, and every
        # eighth yes again; what is said after the as-of date counts later
        "consents": pd.DataFrame(
            [
                (f"{each}{id_}", "Email", is_granted, said_on)
                for number, each in enumerate(people)
                for id_, is_granted, said_on, every in (
                    ("a", number % 3 > 0, "2023-06-01", 1),
                    ("b", False, "2024-03-01", 4),
                    ("a", True, "2024-05-01", 8),
                    ("a", True, "2024-08-01", 12),
                )
                if number % every == 0
            ]
            + [("p1", "push", True, None), ("p2", "email", True, None)],
            columns=["user_id", "channel", "is_granted", "updated_at"],
        ).astype({"updated_at": "datetime64[us]"}),
        "customer_status": pd.DataFrame(
            {
                "user_id": ["u001b", "u001b", "u002a"],
                "status": ["Fraud", "Closed", "Fraud"],
                "effective_at": pd.to_datetime(
                    ["2024-01-01", "2024-02-01", "2024-06-30"]
                ),
            }
        ),
    }


SEEDS = {
    "currency_rates": "currency,valid_from,rate\n"
    "EUR,2023-01-01,1.1\nEUR,2024-01-01,1.25\n",
    "margin_rates": "dimension,key,margin_rate\ncategory,toys,0.5\nchannel,web,0.25\n",
    "campaign_plans": "campaign_id,arm,planned_share,planned_lift,planned_cost_amount,"
    "planned_redemption_rate\nc1,control,0.3,,,\nc1,mail,0.7,0.1,2000,0.06\n",
}
RICH = {
    "clv_currency": "USD",
    "clv_strata": ["first_channel", "country"],
    "clv_min_stratum_customers": 210,
    "clv_backtest_days": [182],
    "clv_overlay": True,
    "clv_overlay_min_customers": 300,
    "clv_holdout_share": {"c1": 0.1, "unmeasured": 0.1},
    "clv_fail_on": "page",
}


@pytest.fixture(scope="module")
def inputs():
    return rich_inputs()


@pytest.fixture(scope="module")
def rich(inputs, tmp_path_factory):
    """All of it, built with all its tests."""
    build = Build(tmp_path_factory.mktemp("rich"), SEEDS).load(**inputs)
    build.build(tests=True, **RICH)
    return build


@pytest.mark.slow
def test_every_fault_is_noticed_by_its_guard_and_every_guard_has_one(rich, tmp_path):
    build = FinishedBuild(rich.folder, tmp_path)
    assert build.plant_all(FAULTS) + build.without_fault(FAULTS) == []


def test_revenue_is_what_a_reader_of_the_log_would_add_up(rich, inputs):
    log = inputs["transactions"]
    log = log[log["user_id"].notna()]
    named = log["order_id"].notna()
    log = pd.concat([log[named].drop_duplicates(), log[~named]])
    rate = np.where(log["ts"] < "2024-01-01", 1.1, 1.25)
    amount = log["amount"].abs() * np.where(log["is_refund"], -1, 1)
    amount = (amount * np.where(log["currency"] == "EUR", rate, 1)).round(4)
    happened = rich.read("from clv.revenue_reconciliation")
    unmatched = happened[happened["disposition"] == "unmatched_refund"]
    # nobody's, and what refunds at a later rate take beyond all that was bought
    aside = float(unmatched["revenue_amount"].sum())
    assert -100 < aside < amount[log["user_id"] == "nobody"].sum()
    expected = amount.sum() - aside
    found = rich.read("select sum(revenue_amount) as total from clv.customers")
    assert found["total"][0] == pytest.approx(expected, abs=0.01)
    total = inputs["transactions"]["amount"].sum()
    assert float(happened["delivered_amount"].sum()) == pytest.approx(total, abs=0.001)
    counted = happened[happened["is_counted"]]
    assert float(counted["revenue_amount"].sum()) == pytest.approx(expected, abs=0.01)
    euros = happened[happened["currency"] == "EUR"].set_index("disposition")
    assert (
        euros.loc["purchase", "revenue_amount"]
        > euros.loc["purchase", "delivered_amount"]
    )
    counts = happened.groupby("disposition")["line_count"].sum()
    assert counts["no_user"] == 6
    assert counts["duplicate"] == 40
    assert counts["unmatched_refund"] == 1
    assert counts.sum() == len(inputs["transactions"])


def test_user_ids_of_one_person_are_one_customer_and_a_till_links_nobody(rich, inputs):
    log = inputs["transactions"]["user_id"].dropna()
    people = log[log != "nobody"].str[:4].nunique()
    found = rich.read("select customer_id from clv.customers")["customer_id"]
    # and 150 prospects, and the one who only ever returned something
    assert len(found) == people + 151
    assert found.str.startswith("u").sum() == people
    assert not found.str.endswith("b").any()


def test_a_later_status_that_suppresses_too_does_not_hide_a_fraud(rich):
    found = rich.read(
        "select customer_id, status from clv.customers where status > '' order by 1"
    )
    assert found.to_numpy().tolist() == [["u001a", "fraud"], ["u002a", "fraud"]]


def test_a_status_without_a_later_purchase_suppresses(rich):
    found = rich.read(
        "select customer_id, clv_365d, mean_value > 0 as has_history, clv_segment, "
        "is_contactable from clv.customer_lifetime_value "
        "inner join clv.customer_segments using (customer_id) "
        "where is_suppressed order by 1"
    )
    assert found.to_numpy().tolist() == [
        [customer, 0, True, "suppressed", False] for customer in ("u001a", "u002a")
    ]


def test_who_is_erased_is_in_no_table_and_no_byte(rich, tmp_path, monkeypatch, capsys):
    for file in rich.folder.glob("warehouse.duckdb*"):
        shutil.copy(file, tmp_path)
    copy = Warehouse(tmp_path / "warehouse.duckdb")
    waiting = []

    def at_the_destination(destination, _):
        with duckdb.connect(str(copy.database)) as connection:
            held = "clv_state.export_deletions where target = ?"
            waiting.extend(
                connection.execute(
                    f"select target, customer_key from {held}", [destination]
                ).fetchall()
            )
            connection.execute(f"delete from {held}", [destination])
        return True

    with duckdb.connect(str(copy.database)) as connection:
        connection.execute(
            "insert into clv_state.export_ledger (target, customer_id, customer_key) "
            "values ('sfmc', 'u010a', 'key-of-u10'), ('sfmc', null, 'key-of-u10')"
        )
    before = copy.read("select count(*) as n from clv.customers")["n"][0]
    monkeypatch.setattr(erase_customer, "erase_at", at_the_destination)
    monkeypatch.setenv("CLV_DUCKDB_PATH", str(copy.database))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    options = ["--vars", json.dumps(RICH)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("u010b\n"))
    assert erase_customer.main(["--ordered-by", "the privacy desk", *options]) == 0
    assert waiting == [("sfmc", "key-of-u10")]
    for file in tmp_path.rglob("*.*"):
        found = file.read_bytes() if file.is_file() else b""
        for name in (b"u010a", b"u010b", b"deviceu010", b"key-of-u10"):
            assert name not in found, (file, name)
    proof = copy.read("from clv_state.erasures").iloc[0]
    assert proof["ordered_by"] == "the privacy desk"
    assert proof["table_count"] > 20
    assert copy.read("select count(*) as n from clv.customers")["n"][0] == before - 1
    monkeypatch.setattr(sys, "stdin", io.StringIO("u010b\n"))
    with pytest.raises(SystemExit):
        erase_customer.main(["--show", *options])
    assert "no table holds a customer of that id" in capsys.readouterr().err


def test_prospects_have_the_prior_of_their_country(rich):
    found = rich.read(
        "select * from clv.customer_lifetime_value where clv_source = 'cohort_prior'"
    )
    assert len(found) >= 150
    assert found["first_purchase_date"].isna().all()
    assert found["clv_365d"].notna().all()


def test_who_has_refunds_only_is_no_prospect_and_pages_nobody(rich):
    found = rich.read(
        "select clv_source, scores.clv_365d is null as is_null, segments.clv_segment, "
        "exclusion_reason from clv.customer_lifetime_value as scores "
        "inner join clv.customer_segments as segments using (customer_id) "
        "inner join clv_export.export_marketing_cloud__candidates using (customer_id) "
        "where customer_id = 'nobody'"
    )
    expected = ["refunds_only", True, "refunds_only", "suppressed"]
    assert found.to_numpy().tolist() == [expected]
    coverage = rich.read("from clv.score_coverage where is_total").iloc[0]
    people = rich.read("select count(*) as n from clv.customers")["n"][0]
    assert coverage["customers"] == coverage["scored_customers"] == people - 1
    alerts = rich.read("select rule from clv.alerts where severity = 'page'")
    assert "scores_invalid" not in alerts["rule"].tolist()


def test_channels_have_their_spend_and_those_who_first_bought(rich, inputs):
    found = rich.read("from clv.channel_economics")
    spend = inputs["ad_spend"].assign(channel=lambda d: d["channel"].str.lower())
    spend = spend[spend["spend_date"] < "2024-07-01"]
    month = spend["spend_date"].dt.to_period("M").dt.to_timestamp()
    expected = spend.groupby(["channel", month.rename("cohort_month")])["spend"].sum()
    found = found.set_index(["channel", "cohort_month"]).sort_index()
    amounts = found["acquisition_spend"].astype(float).to_dict()
    assert amounts == pytest.approx(expected.to_dict())
    buyers = rich.read(
        "select first_channel as channel, "
        "date_trunc('month', first_purchase_date) as cohort_month, "
        "count(*) as customers from clv.customers "
        "where first_purchase_date is not null group by all"
    ).set_index(["channel", "cohort_month"])["customers"]
    found_buyers = found.loc[found["new_customers"] > 0, "new_customers"]
    assert found_buyers.to_dict() == buyers.to_dict()
    assert set(found.loc["tv", "status"]) == {"red"}
    assert set(found["status"]) > {"red", "green"}
    # what has come entirely is known, what has not has a range
    ended = found[found["share_expected"] == 0]
    assert (ended["predicted_clv_p10"] == ended["predicted_clv_p90"]).all()
    rest = found[found["share_expected"] > 0]
    assert len(rest) > 10
    assert (rest["predicted_clv_p10"] < rest["predicted_clv"]).all()
    assert (rest["predicted_clv"] < rest["predicted_clv_p90"]).all()


def test_uplift_is_welchs_with_and_without_the_covariate(rich):
    found = rich.read("from clv.campaign_uplift").iloc[0]
    assert found["covariate_date"] == pd.Timestamp("2023-12-31")
    assert found[["is_completed", "is_adjusted"]].all()
    assert found["ratio_check"] == "passed"
    assert found["predicted_uplift"] > 0
    outcomes = rich.read("from clv_intermediate.int_campaigns__outcomes")
    margin = outcomes["margin_amount"].astype(float)
    is_treated = outcomes["arm"] == "mail"
    assert len(outcomes) == found["treated_customers"] + found["control_customers"]
    within = outcomes.assign(margin_amount=margin).groupby("arm")
    within = within[["margin_amount", "covariate"]].transform(lambda d: d - d.mean())
    slope = within.product(axis=1).sum() / (within["covariate"] ** 2).sum()
    adjusted = margin - slope * outcomes["covariate"]
    for estimate, values in (("uplift_raw", margin), ("uplift", adjusted)):
        test = ttest_ind(values[is_treated], values[~is_treated], equal_var=False)
        lower, upper = test.confidence_interval()
        assert found[f"{estimate}_lower_95"] == pytest.approx(lower, rel=1e-6)
        assert found[f"{estimate}_upper_95"] == pytest.approx(upper, rel=1e-6)


def test_redemptions_are_counted_to_date_beside_the_plan(rich, inputs):
    found = rich.read("from clv.campaign_guardrails").iloc[0]
    outcomes = rich.read("from clv_intermediate.int_campaigns__outcomes")
    assert found["customers"] == (outcomes["arm"] == "mail").sum()
    sent = inputs["campaign_assignments"]
    known = sent["redeemed_at"] < "2024-07-01"
    redeemed = (sent["arm"].eq("Mail") & known).sum()
    assert found["redeemed_customers"] == redeemed > 10
    assert sent["redeemed_at"].notna().sum() > known.sum()
    share = redeemed / found["customers"]
    expected = (share - 0.5 / found["customers"] - 0.06) / np.sqrt(
        0.06 * 0.94 / found["customers"]
    )
    assert found["redemption_z"] == pytest.approx(expected)
    assert not found[["is_frozen", "is_over_budget"]].any()


def test_an_offer_is_capped_by_what_its_campaign_significantly_earned(rich):
    lower = rich.read("from clv.campaign_uplift")["uplift_lower_95"][0]
    found = rich.read("from clv_export.export_marketing_cloud__candidates")
    gets = found["campaigns"].str.contains("|c1|", regex=False)
    assert 0.05 < 1 - gets.mean() < 0.15
    assert found.loc[gets, "offer_cap_by_uplift"].unique() == [max(lower, 0)]
    assert found.loc[~gets, "offer_cap_by_uplift"].isna().all()
    assert (found.loc[gets, "offer_cap"] <= max(lower, 0)).all()
    assert "uplift" not in set(found.loc[~gets, "offer_cap_source"])
    audience = rich.read("from clv_export.export_marketing_cloud__audience")
    assert not audience.columns.str.startswith("offer_cap_").any()


def test_small_strata_inherit_their_parent(rich):
    found = rich.read(
        "select stratum, fitted_stratum, method from clv.model_parameters "
        "where is_production"
    )
    fitted = found.set_index("stratum")["fitted_stratum"].to_dict()
    assert fitted == {
        "web|DE": "web|DE",
        "web|US": "web|US",
        "store|DE": "store",
        "store|US": "store",
    }
    assert set(found.loc[found["stratum"].str[:3] == "web", "method"]) == {"mle"}


def test_nothing_after_a_cutoff_reaches_back(rich, inputs, tmp_path):
    cutoff = pd.Timestamp("2023-12-31")
    log = inputs["transactions"]
    assert (log["is_refund"] & (log["ts"] > cutoff)).sum() > 20
    kept = {
        name: inputs[name][inputs[name]["ts"] < cutoff + pd.Timedelta(days=1)]
        for name in ("transactions", "events", "text_signals")
    }
    # Customers on a plan are in no backtest, but would be scored on that day.
    on_plan = rich.read(
        "select coalesce(ids.identifier, listed.customer_id) as user_id "
        "from clv_intermediate.int_contracts__listed as listed "
        "left join clv_intermediate.int_identities__resolved as ids using (customer_id)"
    )["user_id"]
    lines = kept["transactions"]
    kept["transactions"] = lines[~lines["user_id"].isin(on_plan)]
    build = Build(tmp_path, SEEDS).load(**(inputs | kept))
    # a backtest cutoff of its own would teach it ranges for which the other has none
    alone = {"clv_as_of_date": str(cutoff.date()), "clv_backtest_days": []}
    build.build(**(RICH | alone))
    for relation in (
        "int_histories__observed",
        "int_predictions__scored",
        "int_customer_features",
    ):
        first, second = (
            each.read(
                f"from clv_intermediate.{relation} "
                f"where cutoff_date = '{cutoff.date()}' order by customer_id"
            )
            for each in (rich, build)
        )
        assert len(first) > 300
        # a backtest is named after its spec, what serves after its version
        for each in (first, second):
            each.drop(columns="model_version", errors="ignore", inplace=True)
        pd.testing.assert_frame_equal(first, second, rtol=1e-9)


# -- Rolling backtest and ranges


@pytest.fixture(scope="module")
def rolling(log, tmp_path_factory):
    """All of CDNOW with the default cutoffs: the demo, when it is built already."""
    if demo := os.environ.get("CLV_TEST_DEMO"):
        return Warehouse(Path(demo))
    build = Build(tmp_path_factory.mktemp("rolling")).load(transactions=log)
    build.build(
        *("--select", "+model_backtest", "+customer_equity", "+segment_comparison"),
        "+cohort_forecast_backtest",
    )
    return build


def test_ranges_cover_what_they_say_out_of_time(rolling):
    coverage = rolling.read(
        """
        select cutoff_date, horizon_days, coverage_80, coverage_80_raw
        from clv.model_backtest
        where method = 'auto' and group_type = 'all'
        order by horizon_days, cutoff_date
        """
    )
    print(coverage)
    assert coverage.groupby("horizon_days").size().tolist() == [4, 4, 3, 1]
    assert coverage["coverage_80"].between(0.77, 0.83).all()
    learned = rolling.read(
        """
        select windows, interval_source
        from clv_intermediate.int_calibration
        where horizon_days = 90 and range_class = 'one purchase, 1'
        order by cutoff_date
        """
    )
    assert learned["windows"].tolist() == [0, 1, 2, 3, 4]
    assert learned["interval_source"].tolist() == ["model"] + ["calibrated"] * 4


def test_the_model_beats_every_naive_row(rolling):
    found = rolling.read(
        """
        select
            method, mse_above_model / mse_above_model_se as squared,
            mae_above_model / mae_above_model_se as absolute
        from clv.model_backtest
        where
            group_type = 'all' and method not in ('auto', 'purchase_model')
            and horizon_days in (90, 180)
        """
    )
    assert set(found["method"]) == {"last_horizon", "mean", "rfm_cell_mean"}
    # one-sided 95 %, on the same customers
    assert (found[["squared", "absolute"]] > 1.645).all(axis=None)


def test_the_backtest_of_cohorts_is_what_a_reader_would_add_up(rolling):
    told = rolling.read(
        "select * from clv.cohort_forecast_backtest where horizon_days = 90"
    )
    rows = rolling.read(
        """
        select forecasts.*, actuals.actual_value_amount as actual
        from clv_intermediate.int_cohort_forecast as forecasts
        inner join clv_intermediate.int_cohorts__predicted as actuals
            using (cutoff_date, cohort_month)
        where
            day = 90 and actuals.horizon_days = 90
            and actuals.actual_value_amount is not null
        """
    )
    ages = pd.cut(rows["closed_weeks"], [-1, 12, 51, 999])
    rows["age_class"] = ages.cat.rename_categories(
        ["0 to 12 weeks", "13 to 51 weeks", "52 weeks and more"]
    )
    methods = ["purchase_model", "combined", "recent_mean", "holt_winters"]
    errors = (
        rows[methods].sub(rows["actual"], axis=0).abs().assign(actual=rows["actual"])
    )
    every = errors.groupby(rows["cutoff_date"]).sum()
    single = told[told["group_level"].eq("cohort_country")]
    wape = single[single["age_class"].eq("all")].pivot(
        index="cutoff_date", columns="method", values="wape"
    )
    for method in methods:
        expected = every[method] / every["actual"]
        assert wape[method].to_numpy() == pytest.approx(expected.to_numpy())
    by_class = errors.groupby(rows["age_class"], observed=True).sum()
    windows = rows.groupby("age_class", observed=True)["cutoff_date"].nunique()
    best = by_class[methods].idxmin(axis=1).where(windows > 1, "purchase_model")
    serving = single[single["is_serving"]].groupby("age_class")["method"].unique()
    assert {age: list(names) for age, names in serving.items()} == {
        age: [name] for age, name in best.items()
    }
    # a year after their month cohorts have been seen once only
    assert windows["52 weeks and more"] == 1
    assert not told.loc[told["group_level"] != "cohort_country", "is_serving"].any()


@pytest.mark.slow
def test_cohorts_of_cdnow_are_forecast_within_a_tenth(log, tmp_path):
    """Six cutoffs, half a window of 90 days apart, the last one just completed."""
    build = Build(tmp_path).load(transactions=log)
    days = [90 + 45 * place for place in range(6)]
    build.build("--select", "+cohort_forecast_backtest", clv_backtest_days=days)
    found = build.read(
        """
        select
            method,
            sum(abs_error) / sum(actual) as wape,
            sum(serving_error) / sum(actual) as serving_wape
        from (
            select
                method, wape * actual_value_amount as abs_error,
                actual_value_amount as actual,
                if(is_serving, wape * actual_value_amount, 0) as serving_error
            from clv.cohort_forecast_backtest
            where
                horizon_days = 90 and group_level = 'cohort_country'
                and age_class != 'all'
        )
        group by method
        """
    ).set_index("method")
    print(found)
    wape = found["wape"]
    assert wape["combined"] <= 0.10
    # what serves each class, all classes together
    assert found["serving_wape"].sum() <= 0.10
    # alone the purchase model knows no December
    assert wape["purchase_model"] <= 0.12
    assert wape["purchase_model"] < wape["holt_winters"]


def test_clv_segments_tell_more_of_the_next_90_days_than_rfm_segments(rolling):
    found = rolling.read(
        "select distinct cutoff_date, scheme, between_segment_r2 "
        "from clv.segment_comparison where horizon_days = 90"
    ).pivot(index="cutoff_date", columns="scheme", values="between_segment_r2")
    assert len(found) == 4
    assert (found["clv"] >= 1.5 * found["rfm"]).all()


def test_metrics_from_bins_are_those_of_customers(rolling):
    rows = rolling.read(
        """
        select
            expected_value_90d as predicted,
            cast(value_90d as double) as actual
        from clv_intermediate.int_predictions__expected
        inner join clv_intermediate.int_histories__held_out
            using (customer_id, cutoff_date)
        where cutoff_date = '1997-09-30'
        """
    )
    found = rolling.read(
        """
        from clv.model_backtest
        where
            cutoff_date = '1997-09-30' and horizon_days = 90 and method = 'auto'
            and group_type = 'all'
        """
    ).iloc[0]
    error = rows["actual"] - rows["predicted"]
    assert found["mae"] == pytest.approx(error.abs().mean())
    assert found["rmse"] == pytest.approx((error**2).mean() ** 0.5)
    # ranks and deciles are those of 1 % wide bins
    ranks = rows.rank() - (len(rows) + 1) / 2
    gini = ranks.mul(rows["actual"], axis=0).sum()
    best = rows.nlargest(len(rows) // 10, "predicted")["actual"].sum()
    assert found["spearman"] == pytest.approx(ranks.corr().iloc[0, 1], abs=1e-3)
    gini = gini["predicted"] / gini["actual"]
    assert found["normalised_gini"] == pytest.approx(gini, abs=1e-3)
    best = best / rows["actual"].sum()
    assert found["top_decile_capture"] == pytest.approx(best, abs=3e-3)
    deciles = rows.groupby(
        rows["predicted"].rank(method="first") * 10 // len(rows)
    ).sum()
    gap = (deciles["predicted"] - deciles["actual"]).abs().sum()
    gap = gap / rows["actual"].sum()
    assert found["decile_calibration_error"] == pytest.approx(gap, abs=5e-3)


def test_nothing_after_a_cutoff_moves_its_ranges(sample, tmp_path_factory):
    cutoff = pd.Timestamp("1997-12-30")
    built = []
    for log, days in (
        (sample, [91, 182, 273, 365]),
        (sample[sample["ts"] < cutoff + pd.Timedelta(days=1)], [91, 183]),
    ):
        build = Build(tmp_path_factory.mktemp("known")).load(transactions=log)
        build.build(
            *("--select", "+customer_equity", "+int_predictions__scored"),
            clv_backtest_days=days,
            clv_as_of_date="1998-06-30" if log is sample else "1997-12-30",
        )
        built.append(build)
    for relation, key in {
        "clv_intermediate.int_calibration": "stratum, range_class, horizon_days",
        "clv_intermediate.int_shared_errors": "group_level, horizon_days",
        "clv_intermediate.int_predictions__scored": "customer_id",
        "clv.customer_equity": "horizon_days",
    }.items():
        full, cut = (
            each.read(
                f"from {relation} where cutoff_date = '1997-12-30' order by {key}"
            )
            for each in built
        )
        sources = [name for name in full if name.startswith("interval_source")]
        assert (full[sources] == "calibrated").any(axis=None)
        # a backtest is named after its spec, what serves after its version
        later = ("actual_", "is_", "model_version")
        later = [name for name in full if name.startswith(later)]
        pd.testing.assert_frame_equal(
            full.drop(columns=later), cut.drop(columns=later), rtol=1e-9
        )


# -- Holdout on all of CDNOW


def test_the_holdout_of_cdnow_is_as_the_readme_says(holdout):
    """Fitted to 1997-09-30, then 39 weeks; printed with pytest -s."""
    coverage = holdout.read(
        """
        with scored as (
            select
                frequency, clv_273d_p10 as p10, clv_273d_p90 as p90,
                cast(value_273d as double) as spend,
                1 - probability_purchase_273d as no_purchase
            from clv_intermediate.int_predictions__scored
            inner join clv_intermediate.int_histories__observed
                using (customer_id, cutoff_date)
            inner join clv_intermediate.int_histories__held_out
                using (customer_id, cutoff_date)
        )
        select
            count(*) as customers,
            avg(case when frequency > 0 then cast(spend between p10 and p90 as int) end)
                as repeat_buyers,
            avg(case when p10 > 0 then cast(spend between p10 and p90 as int) end)
                as both_ends_positive,
            -- no spend falls anywhere within its probability, so it is shared out
            avg(
                case
                    when spend > 0 then cast(spend between p10 and p90 as int)
                    else greatest(least(no_purchase, 0.9) - 0.1, 0) / no_purchase
                end
            ) as everyone
        from scored
        """
    ).iloc[0]
    totals = (
        holdout.read(
            """
        select
            sum(value_to_date_amount) as before, sum(expected_value) as expected,
            sum(actual_value_amount) as actual,
            sum(expected_purchases) as expected_purchases,
            sum(actual_purchases) as actual_purchases
        from clv.cohort_clv
        where horizon_days = 273 and is_completed
        """
        )
        .astype(float)
        .iloc[0]
    )
    print(coverage, totals, sep="\n")
    assert coverage["customers"] == 23500
    for group in ("both_ends_positive", "everyone"):
        assert 0.78 <= coverage[group] <= 0.84
    # the model's own, wider than it says: no window had ended to calibrate it by
    assert 0.78 <= coverage["repeat_buyers"] <= 0.85
    assert totals["actual"] == pytest.approx(776_870.70)
    # Revenue from the first order on, the published tracking measure, is within 10 %.
    cumulative = (totals["before"] + totals["expected"]) / (
        totals["before"] + totals["actual"]
    )
    assert abs(cumulative - 1) < 0.10
    # The holdout alone holds December, and BG/NBD knows no season.
    assert -0.21 < totals["expected"] / totals["actual"] - 1 < -0.17


# -- Faults


OPTIONAL = (
    *("currency", "channel", "sku", "country", "is_refund", "variable_cost"),
    *("order_id", "category", "discount_amount"),
)
WITHOUT_OPTIONAL = {"clv_input_columns": {"transactions": dict.fromkeys(OPTIONAL)}}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A build whose marts must survive what is done to it."""
    build = Build(tmp_path_factory.mktemp("small"))
    rng = np.random.default_rng(3)
    days = pd.to_timedelta(rng.integers(0, 300, 900), unit="D")
    log = pd.DataFrame(
        {
            "user_id": rng.integers(0, 300, 900).astype(str),
            "ts": pd.Timestamp("2024-01-01") + days,
            "amount": rng.lognormal(3, 0.5, 900).round(2),
        }
    )
    build.load(transactions=log)
    build.build("--select", "+customer_lifetime_value", **WITHOUT_OPTIONAL)
    return build


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "create table {raw} as select '7' as user_id, 'soon' as ts, 1.5 as amount",
            "clv: transactions.ts cannot be read as timestamp in 1 of 1 rows; "
            "see them with: select * from",
        ),
        (
            "create table {raw} as select '7' as user_id, date '2024-01-01' as ts, "
            "'dear' as amount",
            "clv: transactions.amount cannot be read as decimal(18, 4) in 1 of 1 rows; "
            "see them with: select * from",
        ),
        (
            "create table {raw} as select '7' as user_id, date '2024-01-01' as ts, "
            "null::decimal as amount",
            "clv: transactions.amount is null in 1 of 1 rows; "
            "var clv_value: none is for visits without amounts; see them with: select",
        ),
        (
            "create table {raw} as select '7' as user_id, 1.5 as amount",
            "clv: transactions (table transactions) has no column ts; its 2 columns "
            "are user_id, amount; say in dbt_project.yml which is which:",
        ),
        (
            "create table {raw} as select '7' as user_id, date '2024-01-01' as ts, "
            "1.5 as amount limit 0",
            "clv: transactions is empty",
        ),
    ],
)
def test_a_bad_warehouse_table_stops_the_build_with_a_sentence(small, change, sentence):
    before = small.read("from clv.customer_lifetime_value order by customer_id")
    with duckdb.connect(str(small.database)) as connection:
        connection.execute("drop table clv_raw.transactions")
        connection.execute(change.format(raw="clv_raw.transactions"))
    printed = small.build(may_fail=True, **WITHOUT_OPTIONAL)
    assert small.exit_code != 0
    assert sentence in " ".join(printed.split())
    after = small.read("from clv.customer_lifetime_value order by customer_id")
    pd.testing.assert_frame_equal(before, after)


def test_the_currency_of_some_lines_is_not_that_of_all(small):
    with duckdb.connect(str(small.database)) as connection:
        connection.execute(
            "create or replace table clv_raw.transactions as select 'c' || n as "
            "user_id, date '2024-01-01' as ts, 36.0 as amount, "
            "case when n = 3 then 'JPY' else '' end as currency from range(9) as t (n)"
        )
    select = ("--select", "stg_transactions")
    printed = small.build(*select, may_fail=True)
    assert small.exit_code != 0
    assert (
        "clv: transactions names no currency in 8 of 9 lines, and JPY in the others: "
        "name the currency of these lines there, or if all are of one, in var "
        "clv_currency."
    ) in " ".join(printed.split())
    small.build(*select, clv_currency="JPY")


def test_a_link_to_nobody_stops_the_build(small):
    """With the log of the test before, some of whose lines name a currency."""
    with duckdb.connect(str(small.database)) as connection:
        connection.execute(
            "create or replace table clv_raw.identities as select 'c' || n as user_id, "
            "if(n < 2, ' Guest', 'dev-' || n) as other_id from range(9) as t (n)"
        )
    printed = small.build(
        "--select", "stg_identities", may_fail=True, clv_currency="JPY"
    )
    assert small.exit_code != 0
    assert (
        "clv: identities.other_id stands for nobody, such as guest or null, in 2 of 9 "
        "rows, which would be one person: leave these links out; see them with: select"
    ) in " ".join(printed.split())


def test_a_chain_of_more_links_than_are_followed_stops_the_build(small):
    ids = [f"u{number:02d}" for number in range(14)]
    log = pd.DataFrame(
        {"user_id": ids, "ts": pd.Timestamp("2024-01-31"), "amount": 9.5}
    )
    links = pd.DataFrame({"user_id": ids[:-1], "other_id": ids[1:]})
    select = ("--select", "+int_identities__resolved")
    small.load(transactions=log, identities=links)
    printed = small.build(*select, may_fail=True)
    assert small.exit_code != 0
    assert "clv: identities has chains of more than 13 linked ids" in (
        " ".join(printed.split())
    )
    small.load(transactions=log, identities=links[:-1])
    small.build(*select)
    found = small.read("select * from clv_intermediate.int_identities__resolved")
    assert (len(found), set(found["customer_id"])) == (13, {"u00"})


@pytest.fixture(scope="module")
def macros(tmp_path_factory):
    """A project of which operations are run."""
    return Build(tmp_path_factory.mktemp("macros"))


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"clv_value": "profit"},
            "var 'clv_value' must be one of margin, revenue, none; it is \"profit\"",
        ),
        (
            {"clv_horizons": [30, 90]},
            "var 'clv_horizons' must be a list of rising whole days",
        ),
        (
            {"clv_purchase_model": {"DE": "bgnbd"}},
            "var 'clv_purchase_model' must be one of auto, bgnbd, mbgnbd, paretonbd, "
            "bgcnbd, mbgcnbd, or one for each stratum, such as "
            "{default: bgnbd, DE: paretonbd}; it is",
        ),
        (
            {"clv_purchase_model": {"default": "bgnbd", "DE": "bgnbbd"}},
            "var 'clv_purchase_model' must be one of auto, bgnbd, mbgnbd, paretonbd, ",
        ),
        (
            {"clv_exit_band": 0.8},
            "there is no variable 'clv_exit_band' any more: its default is a constant "
            "of the model that used it",
        ),
        (
            {"clv_overlay_horizon_days": 90},
            "there is no variable 'clv_overlay_horizon_days' any more: "
            "clv_gate_horizon_days is used",
        ),
        (
            {"clv_challenger_models": ["bgnbd"], "clv_purchase_model": "bgnbd"},
            "var 'clv_challenger_models' must be a list of bgnbd, mbgnbd, paretonbd, "
            "bgcnbd, mbgcnbd, "
            'without clv_purchase_model; it is ["bgnbd"]',
        ),
        (
            {"clv_purchase_model": "bgbb"},
            "'clv_purchase_model' may have bgbb, which knows months only, with "
            'clv_period: month alone; it is "bgbb".',
        ),
        (
            {"clv_challenger_models": ["bgbb"]},
            "'clv_challenger_models' may have bgbb, which knows months only, with "
            'clv_period: month alone; it is ["bgbb"].',
        ),
        (
            {"clv_period": "month", "clv_as_of_date": "2024-06-15"},
            "'clv_as_of_date' must be the last day of a month with clv_period: month, "
            "such as 2024-12-31: a month that is not over has not had all of its "
            'purchases; it is "2024-06-15".',
        ),
        (
            {"clv_season": "warped"},
            "'clv_season' must be one of auto, none; it is \"warped\".",
        ),
        (
            {"clv_period": "month", "clv_horizons": [7, 30, 90, 180, 365]},
            "'clv_horizons' must be whole months, 30 or 31 days each, with clv_period: "
            "month; it is [7, 30, 90, 180, 365].",
        ),
        (
            {"clv_period": "month", "clv_backtest_days": [91, 120]},
            "'clv_backtest_days' must be more than a month apart with clv_period: "
            "month; it is [91, 120].",
        ),
        (
            {"clv_period": "week"},
            "'clv_period' must be one of day, month; it is \"week\".",
        ),
    ],
)
def test_a_bad_variable_stops_the_build_with_a_sentence(macros, variables, sentence):
    printed = macros.operate("check_config", may_fail=True, **variables)
    assert macros.exit_code != 0
    assert sentence in " ".join(printed.split())


def test_the_variables_are_good_and_are_checked_before_anything_is_built(macros):
    macros.operate("check_config")
    assert macros.exit_code == 0
    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text())
    assert project["on-run-start"][0] == "{{ check_config() }}"


# -- One list, two places


def test_the_grid_of_the_expectation_table_is_the_one_sql_looks_up(expectations):
    macro = (ROOT / "macros" / "clv" / "spend_grid.sql").read_text()
    nodes, first, step = expectations.LEVELS, expectations.FIRST_Z, expectations.STEP_Z
    assert f"'nodes': {nodes}, 'first': {first}, 'step': {step}" in macro


def test_loader_and_dbt_agree_on_ids_that_are_no_customer():
    from load_input import NOBODY, PERHAPS, SUMS

    macro = (ROOT / "macros" / "checks" / "check_inputs.sql").read_text()
    words = {
        kind: set(re.findall(r"'([^']+)'", listed))
        for kind, listed in re.findall(r"'(nobody|zero|sum)': \[(.*?)\]", macro, re.S)
    }
    assert words["nobody"] == set(NOBODY)
    assert words["zero"] == set(PERHAPS)
    may_be_ids = {"all", "sum", "ergebnis", "insgesamt"}
    assert words["sum"] == set(SUMS) - may_be_ids


def test_loader_and_dbt_agree_on_the_input_contract():
    sys.path.insert(0, str(ROOT / "scripts"))
    from load_input import CONTRACT

    macro = (ROOT / "macros" / "checks" / "check_inputs.sql").read_text()
    body = macro.split("do return({")[1].split("}) -%}")[0]
    for table, columns in CONTRACT.items():
        listed = body.split(f"'{table}': {{")[1].split("}")[0]
        assert [
            part.split("'")[1] for part in listed.split(",") if "'" in part
        ] == list(columns)
