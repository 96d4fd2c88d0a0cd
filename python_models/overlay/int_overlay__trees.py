"""Trees that correct the purchase model: gradient boosting (LightGBM, Ke et al. 2017).

The value of a customer over a horizon is learnt from a sample of customers at the
latest cutoff whose outcomes were known at the cutoff to score. Components:

* offset: trees on top of ln(baseline), so that the prediction is the baseline times
  exp(sum of leaves). Free models over-forecast an ageing cohort; this one stays close;
* free: the same loss without the baseline as offset (it is a feature);
* buys, amount: log-odds of a purchase, and ln of the value given a purchase;
* p50, p90: quantiles of their value.

Means are fitted with Tweedie's loss. A loss for medians would lose most of the total:
on CDNOW, where 77 % do not buy, such a mean is 44 to 61 % too low.

The number of rounds comes from cross-validation over groups of customers who first
bought at the same time (months, else weeks, else the order of the sample), and nothing
else does: all folds are of one period and cannot test the next one, which the gate does
in SQL.

Grain: one row per cutoff to score, component, tree and node. A row of features goes
left where its feature is at most the threshold, or missing and `is_default_left`; a
leaf has itself as both children. `value` is the leaf's, of inner nodes the mean of the
leaves below, weighted by rows: what a step down the tree adds explains the prediction.
"""

import lightgbm as lgb
import numpy as np
import pandas as pd

ROUNDS, LEAST_ROUNDS, PATIENCE = 200, 20, 40
FOLDS = 5
SETTINGS = {
    "learning_rate": 0.06,
    "num_leaves": 15,
    "max_depth": 6,  # as in macros/overlay/overlay_scores.sql
    "min_data_in_leaf": 100,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "seed": 1,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,  # deterministic sums
    "verbosity": -1,
}
TWEEDIE = {"objective": "tweedie", "tweedie_variance_power": 1.5}
LOSSES = {
    "offset": TWEEDIE,
    "free": TWEEDIE,
    "buys": {"objective": "binary"},
    "amount": {"objective": "gamma"},
    "p50": {"objective": "quantile", "alpha": 0.5},
    "p90": {"objective": "quantile", "alpha": 0.9},
}
# Candidate → its components.
COMPONENTS = {"offset": ["offset"], "free": ["free"], "two_stage": ["buys", "amount"]}
NOT_FEATURES = ["cutoff_date", "train_cutoff_date", "row_key", "actual"]
NODES = {
    "cutoff_date": "date32[pyarrow]",
    "component": "string",
    "tree": "int64",
    "node": "int64",
    "feature": "string",
    "threshold": "float64",
    "is_default_left": "bool",
    "left_node": "int64",
    "right_node": "int64",
    "value": "float64",
    "training_rows": "int64",
}


def folds(ages, train_cutoff, number=FOLDS):
    """Rows of each fold; customers who first bought in the same period share one.

    Args:
        ages: days since the first purchase, shape (n,).
        train_cutoff: date that they count back from.
        number: number of folds.

    Returns:
        List of (rows to fit, rows to evaluate).
    """
    first = pd.Timestamp(train_cutoff) - pd.to_timedelta(pd.Index(ages), unit="D")
    for unit in ("M", "W"):
        codes, _ = pd.factorize(first.to_period(unit))
        sizes = np.bincount(codes)
        if len(sizes) >= number and sizes.max() <= len(codes) / 2:
            break
    else:
        codes = np.arange(len(ages)) % number
        sizes = np.bincount(codes)
    # the largest group goes to the fold that is emptiest so far
    filled, fold_of = np.zeros(number), np.zeros(len(sizes), int)
    for group in np.argsort(-sizes, kind="stable"):
        fold_of[group] = np.argmin(filled)
        filled[fold_of[group]] += sizes[group]
    fold = fold_of[codes]
    return [
        (np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(number)
    ]


def fit(component, sample):
    """Fit one component; None where there is too little to learn from.

    Args:
        component: its name.
        sample: frame of features with `actual` and `offset_value`.
    """
    if component == "amount":
        sample = sample[sample["actual"] > 0].reset_index(drop=True)
    parameters = SETTINGS | LOSSES[component]
    target = sample["actual"].to_numpy()
    if component != "p50" and component != "p90":
        target = np.maximum(target, 0)  # refunds of earlier purchases
    offset = sample["offset_value"].to_numpy()
    start = None
    if component == "buys":
        target = (target > 0).astype(float)
    elif component == "offset":
        start = np.log(offset)
    if len(target) < 2 * SETTINGS["min_data_in_leaf"] or np.ptp(target) == 0:
        return None
    data = lgb.Dataset(
        sample.drop(columns=[*NOT_FEATURES, "offset_value"]),
        target,
        init_score=start,
        free_raw_data=False,
    )
    judged = lgb.cv(
        parameters,
        data,
        ROUNDS,
        folds=folds(sample["age_days"], sample["train_cutoff_date"].iloc[0]),
        callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
    )
    rounds = max(len(next(iter(judged.values()))), LEAST_ROUNDS)
    return lgb.train(parameters, data, rounds)


def nodes(booster):
    """List the nodes of every tree of a booster, in the columns of NODES."""
    dump = booster.dump_model()
    names = dump["feature_names"]
    rows = []

    def add(tree, node):
        """Add a node and those below it; return its number, value and rows."""
        at = len(rows) - first
        row = {"tree": tree, "node": at, "feature": None, "threshold": 0.0}
        rows.append(row | {"is_default_left": True})
        row = rows[-1]
        if "leaf_value" in node:
            row |= {"left_node": at, "right_node": at, "value": node["leaf_value"]}
            row["training_rows"] = node.get("leaf_count", 1)
            return at, row["value"], row["training_rows"]
        left, left_value, left_rows = add(tree, node["left_child"])
        right, right_value, right_rows = add(tree, node["right_child"])
        total = left_rows + right_rows
        row |= {
            "feature": names[node["split_feature"]],
            "threshold": node["threshold"],
            # without a missing value in training LightGBM reads one as 0
            "is_default_left": node["default_left"]
            if node["missing_type"] == "NaN"
            else node["threshold"] >= 0,
            "left_node": left,
            "right_node": right,
            "value": (left_value * left_rows + right_value * right_rows) / total,
            "training_rows": total,
        }
        return at, row["value"], total

    for tree, each in enumerate(dump["tree_info"]):
        first = len(rows)
        add(tree, each["tree_structure"])
    return pd.DataFrame(rows)


def overlays(samples, candidates):
    """Fit every component for every cutoff.

    Args:
        samples: int_overlay__sample.
        candidates: names, as in COMPONENTS.

    Returns:
        DataFrame with the columns of NODES.
    """
    components = [part for name in candidates for part in COMPONENTS[name]]
    frames = []
    last = samples["cutoff_date"].max()
    for cutoff, sample in samples.sort_values(["cutoff_date", "row_key"]).groupby(
        "cutoff_date"
    ):
        sample = sample.reset_index(drop=True)
        # quantiles are published for the last cutoff only
        for component in components + (["p50", "p90"] if cutoff == last else []):
            booster = fit(component, sample)
            if booster is not None:
                frames.append(
                    nodes(booster).assign(
                        cutoff_date=pd.Timestamp(cutoff).date(), component=component
                    )
                )
    if not frames:
        return pd.DataFrame(columns=list(NODES)).astype(NODES)
    return pd.concat(frames, ignore_index=True)[list(NODES)]


def _to_pandas(relation):
    # DuckDB gives relations, BigQuery frames.
    return relation if isinstance(relation, pd.DataFrame) else relation.df()


def model(dbt, session):
    """Fit what int_overlay__sample holds."""
    dbt.config(materialized="table")
    frame = overlays(
        _to_pandas(dbt.ref("int_overlay__sample")),
        dbt.config.meta_get("candidates", ["offset"]),
    )
    return frame
