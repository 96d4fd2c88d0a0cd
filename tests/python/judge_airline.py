"""Judge forecasts of the simulated airline by what only the simulation knows.

usage: judge_airline.py [--seeds N ...] [--members N] [--keep DIR]

Each seed is a programme of scripts/simulate_airline.py, built up to
customer_lifetime_value with the variables of the airline demo, and compared with the
year after its log: parameters with those simulated, in standard errors; the share of
members within their 80 % ranges; how well the forecast ranks members, beside their
trips of the last year and beside the true rates; and the total. test_airline.py plays
the seed of the demo.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from conftest import ROOT
from test_builds import Build

sys.path.insert(0, str(ROOT / "scripts"))
import simulate_airline

VARIABLES = yaml.safe_load((ROOT / "scripts" / "demo_airline.yml").read_text())
LEVELS = ("p10", "p90")


def build(folder, programme, **variables) -> pd.DataFrame:
    """Build a programme; return the build, with its marts that are judged."""
    made = Build(folder).load(**programme.inputs)
    marts = ("+customer_lifetime_value", "+model_parameters")
    made.build("--select", *marts, **(VARIABLES | variables))
    return made


def parameters_of(made, programme) -> pd.DataFrame:
    """One row per parameter: tier, truth, estimate, and error in standard errors.

    Errors are those of the logs, in which the fits have their covariance.
    """
    fits = made.read("select * from clv.model_parameters where is_production")
    fits = fits.set_index("stratum")
    rows = []
    for tier, simulated in programme.parameters["tiers"].items():
        truth = {name: simulated[name] for name in ("r", "alpha", "a", "b")}
        model = fits.loc[tier, "purchase_model"]
        for name, true in (truth | programme.parameters["fares"]).items():
            found, error = fits.loc[tier, [name, f"se_{name}"]]
            errors = np.log(found / true) * found / error
            rows.append((tier, model, name, true, found, errors))
    columns = ["tier", "purchase_model", "parameter", "truth", "estimate", "errors"]
    return pd.DataFrame(rows, columns=columns)


def season_of(made) -> np.ndarray:
    """The season that was learned, by week of the year."""
    (season,) = made.read(
        "select distinct season from clv.model_parameters where is_production"
    )["season"]
    return np.array([float(each) for each in (season or "").split(",") if each])


def true_season() -> np.ndarray:
    days = pd.date_range("2023-01-01", periods=364)
    index = simulate_airline.season_index(days).reshape(52, 7).mean(axis=1)
    return index / index.mean()


def members_of(made, programme) -> pd.DataFrame:
    """Members who have flown and not cancelled: forecast, past year and future."""
    scored = made.read("select * from clv.customer_lifetime_value")
    scored = scored[scored["frequency"].notna() & ~scored["is_suppressed"]]
    members = programme.members.rename(columns={"user_id": "customer_id"})
    members = scored.merge(members, on="customer_id", validate="one_to_one")
    lines = programme.inputs["transactions"]
    since = simulate_airline.AS_OF - pd.Timedelta(days=365)
    year = lines[(lines["ts"] > since) & lines["order_id"].str.startswith("B")]
    year = year.groupby("user_id").agg(
        trips=("order_id", "nunique"), fares=("amount", "sum")
    )
    year = year.reindex(members["customer_id"], fill_value=0)
    members["trips_last_year"] = year["trips"].to_numpy()
    members["fares_last_year"] = year["fares"].to_numpy()
    return members


def expected_trips(members: pd.DataFrame) -> pd.Series:
    """The true expectation of a member's trips, which no forecast can surpass.

    Given their own rate and probability of leaving, and whether they have left; over a
    whole year, in which the season is 1 on average.
    """
    leaving = members["rate"] * members["dropout"]
    ahead = members["rate"] * 365 * -np.expm1(-365 * leaving) / (365 * leaving)
    return ahead.where(~members["has_left"], 0.0)


def held(members: pd.DataFrame, horizon: int) -> float:
    """Share of members within their 80 % range.

    Many ranges begin at no trip, which is more than a tenth of what may happen: of
    those who do not fly, that part counts as within that lies between a tenth and nine
    tenths of the distribution, as in model_backtest.
    """
    actual = members[f"discounted_{horizon}d"]
    low, high = (members[f"clv_{horizon}d_{level}"] for level in LEVELS)
    none = 1 - members[f"probability_purchase_{horizon}d"]
    within = ((none.clip(upper=0.9) - 0.1).clip(lower=0) / none).fillna(0)
    return np.where(actual > 0, (low <= actual) & (actual <= high), within).mean()


def captured(score: pd.Series, actual: pd.Series, share: float = 0.1) -> float:
    """Share of the actual held by the best share by score; ties count in part."""
    people = share * len(score)
    groups = actual.groupby(score).agg(["size", "sum"]).sort_index(ascending=False)
    before = groups["size"].cumsum() - groups["size"]
    part = ((people - before) / groups["size"]).clip(0, 1)
    return (groups["sum"] * part).sum() / actual.sum()


def ranking_of(members: pd.DataFrame) -> pd.DataFrame:
    """One row per way to rank members: Spearman's rho, and what the top tenth holds."""
    trips, fares = members["trips_365d"], members["discounted_365d"]
    true = expected_trips(members)
    ways = {
        "forecast": (members["expected_purchases_365d"], members["clv_365d"]),
        "last year": (members["trips_last_year"], members["fares_last_year"]),
        "truth": (true, true * members["mean_fare"]),
    }
    rows = {
        way: {
            "trips rho": of_trips.corr(trips, method="spearman"),
            "trips top tenth": captured(of_trips, trips),
            "fares rho": of_fares.corr(fares, method="spearman"),
            "fares top tenth": captured(of_fares, fares),
        }
        for way, (of_trips, of_fares) in ways.items()
    }
    return pd.DataFrame(rows).T


def judge(folder, members: int, seed: int) -> dict:
    """Build and judge one seed; print it."""
    programme = simulate_airline.simulate(members, seed)
    made = build(folder, programme)
    found = parameters_of(made, programme)
    people = members_of(made, programme)
    ranks = ranking_of(people)
    season = season_of(made)
    season = season if len(season) else np.ones(52)  # none was learned
    off = np.sqrt(np.mean((season - true_season()) ** 2))
    total = people["expected_purchases_365d"].sum() / people["trips_365d"].sum() - 1
    value = people["clv_365d"].sum() / people["discounted_365d"].sum() - 1
    print(f"\n== seed {seed}: {len(people):,} members who have flown")
    print(found.round(3).to_string(index=False))
    print(f"season: off by {off:.3f} (root mean square)")
    for horizon in simulate_airline.HORIZONS:
        print(f"80 % ranges, {horizon} days: hold {held(people, horizon):.1%}")
    print(f"365 days: trips {total:+.1%}, fares {value:+.1%} off")
    print(ranks.round(3).to_string(), flush=True)
    return {
        "errors": found["errors"],
        "models": found["purchase_model"],
        "season": off,
        "total": total,
        "value": value,
        "ranks": ranks,
        **{f"held_{days}d": held(people, days) for days in simulate_airline.HORIZONS},
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--members", type=int, default=simulate_airline.MEMBERS)
    parser.add_argument("--keep", type=Path, help="folder that keeps the builds")
    options = parser.parse_args(arguments)
    judged = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            folder = (options.keep or Path(scratch)) / f"seed_{seed}"
            folder.mkdir(parents=True)
            judged.append(judge(folder, options.members, seed))
    errors = np.stack([each["errors"] for each in judged])
    print(f"\n== {len(judged)} seeds")
    print(f"parameters within 1.96 standard errors: {(abs(errors) < 1.96).mean():.0%}")
    print(f"worst: {abs(errors).max():.1f} standard errors")
    chosen = np.concatenate([each["models"] for each in judged])
    print(f"the true purchase model: {(chosen == 'mbgnbd').mean():.0%} of the tiers")
    horizons = [f"held_{days}d" for days in simulate_airline.HORIZONS]
    for name in ("season", "total", "value", *horizons):
        values = [each[name] for each in judged]
        mean = sum(values) / len(values)
        print(f"{name}: {min(values):.3f} to {max(values):.3f}, on average {mean:.3f}")
    ranks = sum(each["ranks"] for each in judged) / len(judged)
    print(ranks.round(3).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
