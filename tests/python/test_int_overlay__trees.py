"""The overlay's trees: how they are fitted; SQL scores them as LightGBM does."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, dbt_runner, load

CUTOFF = pd.Timestamp("2024-03-31").date()
SCORING = ["int_overlay__feature_names", "int_overlay__packed_trees"]
CANDIDATES = ["offset", "free", "two_stage"]


@pytest.fixture(scope="module")
def trees():
    return load("int_overlay__trees")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The SQL of the overlay as dbt sends it, by model."""
    folder = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLV_DUCKDB_PATH", str(folder / "warehouse.duckdb"))
        done = dbt_runner().invoke(
            [
                *("compile", "--quiet", "--project-dir", str(ROOT)),
                *("--profiles-dir", str(ROOT), "--target-path", str(folder)),
                *("--log-path", str(folder), "--select", *SCORING),
                *("int_overlay__scored", "int_overlay__contributions"),
                *(
                    "--vars",
                    f"{{clv_overlay: true, clv_overlay_candidates: {CANDIDATES}}}",
                ),
            ]
        )
    assert done.success, done.exception
    return {each.node.name: each.node.compiled_code for each in done.result.results}


@pytest.fixture(scope="module")
def features(compiled):
    """Names of the features, in the order of SQL."""
    rows = duckdb.sql(compiled["int_overlay__feature_names"]).fetchall()
    return [name for name, *_ in sorted(rows, key=lambda row: row[1])]


def customers(features, number, seed, missing=0.2):
    """Customers whose spend depends on discounts, which the baseline does not know."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(0, 1, (number, len(features))), columns=features)
    frame["age_days"] = rng.integers(0, 400, number).astype(float)
    frame["baseline_value"] = rng.gamma(2, 20, number)
    frame["discounted_share"] = rng.uniform(0, 1, number)
    unknown = rng.uniform(size=number) < missing
    frame.loc[unknown, ["discounted_share", "gap_mean_days"]] = np.nan
    factor = np.where(frame["discounted_share"] > 0.6, 2.0, 0.7)
    bought = rng.uniform(size=number) < 0.7
    frame["actual"] = (
        bought * frame["baseline_value"] * factor * rng.gamma(4, 0.3, number)
    )
    frame["offset_value"] = frame["baseline_value"] + 0.4
    frame["cutoff_date"], frame["train_cutoff_date"] = CUTOFF, CUTOFF
    frame["row_key"] = [f"{k:06d}" for k in range(number)]
    return frame


@pytest.fixture(scope="module")
def sample(features):
    return customers(features, 1500, seed=1)


@pytest.fixture(scope="module")
def scored(trees, compiled, features, sample):
    """The warehouse after SQL has scored other customers, and who they are."""
    others = customers(features, 700, seed=2)
    # LightGBM saw no missing value here, and reads one as 0
    others.loc[::3, ["value_30d", "frequency"]] = np.nan
    others["customer_id"] = others["row_key"]
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as warehouse")
    connection.execute("create schema warehouse.clv_intermediate")
    connection.execute("use warehouse.clv_intermediate")
    connection.register("fitted", trees.overlays(sample, CANDIDATES))
    connection.register("others", others)
    connection.execute("create table int_overlay__trees as from fitted")
    connection.execute("create table int_customer_features as from others")
    connection.execute(
        f"create table int_cutoffs as select date '{CUTOFF}' as cutoff_date, "
        "true as is_production"
    )
    connection.execute(
        "create table int_overlay__gated as select customer_id, cutoff_date, "
        "true as is_overlay, 'offset' as candidate from int_customer_features"
    )
    for name in (*SCORING, "int_overlay__scored", "int_overlay__contributions"):
        connection.execute(f"create table {name} as {compiled[name]}")
    yield connection, others
    connection.close()


def test_sql_scores_as_lightgbm_does(trees, scored, features, sample):
    connection, others = scored
    found = connection.sql("from int_overlay__scored order by customer_id").df()
    assert len(found) == len(others)
    for component in ("offset", "free", "buys", "amount", "p50", "p90"):
        booster = trees.fit(component, sample)
        theirs = booster.predict(others[features], raw_score=True)
        assert np.ptp(theirs) > 0.1
        assert np.abs(found[f"{component}_score"] - theirs).max() < 1e-8


def test_contributions_add_up_to_the_score(trees, scored, features, sample):
    connection, others = scored
    found = connection.sql(
        """
        select customer_id, offset_score - sum(contribution) as rest
        from int_overlay__contributions
        inner join int_overlay__scored using (customer_id)
        group by customer_id, offset_score
        """
    ).df()
    assert len(found) == len(others)
    assert np.ptp(found["rest"]) < 1e-9
    # what LightGBM says by Shapley values is the same rest, and the same order
    booster = trees.fit("offset", sample)
    theirs = booster.predict(others[features], pred_contrib=True)
    assert found["rest"].iloc[0] == pytest.approx(theirs[0, -1], abs=1e-6)
    ours = connection.sql(
        "select feature, avg(abs(contribution)) as size, "
        "sum(contribution) filter (customer_id = '000000') as one "
        "from int_overlay__contributions group by 1 order by size desc"
    ).df()
    assert ours["feature"].iloc[0] == "discounted_share"
    assert np.abs(theirs[:, :-1]).mean(0).argmax() == features.index("discounted_share")


def test_the_overlay_finds_what_the_baseline_does_not_know(trees, features, sample):
    booster = trees.fit("offset", sample)
    later = customers(features, 2000, seed=3)
    predicted = later["offset_value"] * np.exp(
        booster.predict(later[features], raw_score=True)
    )
    ours = (predicted - later["actual"]).pow(2).mean()
    theirs = (later["baseline_value"] - later["actual"]).pow(2).mean()
    assert ours < 0.8 * theirs


@pytest.mark.parametrize(
    ("ages", "together"),
    [
        (np.repeat(np.arange(0, 360, 30), 10), "month"),
        (np.repeat(np.arange(0, 35), 10), "week"),
        (np.zeros(350, int), "nobody"),
    ],
)
def test_a_cohort_is_judged_together(trees, ages, together):
    folds = trees.folds(ages, CUTOFF)
    assert len(folds) == trees.FOLDS
    judged = np.concatenate([rows for _, rows in folds])
    assert sorted(judged) == list(range(len(ages)))
    first = pd.Timestamp(CUTOFF) - pd.to_timedelta(ages, unit="D")
    groups = {"month": first.to_period("M"), "week": first.to_period("W")}.get(together)
    for fit, judge in folds:
        assert not set(fit) & set(judge)
        if groups is not None:
            assert not set(groups[fit]) & set(groups[judge])


def test_too_few_customers_grow_no_trees(trees, sample):
    assert trees.fit("offset", sample.head(150)) is None
    nothing = trees.overlays(sample.head(150), ["offset"])
    assert list(nothing) == list(trees.NODES)
    assert nothing.empty


def test_quantiles_are_fitted_for_the_last_cutoff_only(trees, sample):
    earlier = sample.assign(cutoff_date=pd.Timestamp("2023-12-31").date())
    both = pd.concat([sample, earlier])
    found = trees.overlays(both, ["offset"])
    assert found.groupby("cutoff_date")["component"].unique().map(list).tolist() == [
        ["offset"],
        ["offset", "p50", "p90"],
    ]
    # the same customers, in whatever order, give the same trees
    again = trees.overlays(sample.sample(frac=1, random_state=1), ["offset"])
    first = found[found["cutoff_date"] == CUTOFF]
    pd.testing.assert_frame_equal(again, first.reset_index(drop=True))


def test_the_model_reads_what_dbt_gives(trees, fake_dbt, sample, stored):
    frames = {"int_overlay__sample": sample}
    dbt = fake_dbt(frames, candidates=["offset"])
    found = trees.model(dbt, None)
    assert set(found["component"]) == {"offset", "p50", "p90"}
    types = stored(found)
    assert types["cutoff_date"] == "DATE"
    empty = fake_dbt({"int_overlay__sample": sample.head(0)})
    assert stored(trees.model(empty, None)) == types
