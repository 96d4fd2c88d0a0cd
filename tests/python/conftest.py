"""Fixtures: the Python models as modules, and CDNOW."""

import importlib.util
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
# Files that take longest, to be begun first: then no worker is late at the end.
LONGEST = (
    "test_emulator",
    "test_builds",
    "test_scripts_export_segments",
    "test_logs",
    "test_first_days",
    "test_readiness",
    "test_registry",
    "test_sequences",
    "test_scripts_check_bigquery",
    "test_overlay",
    "test_season",
    "test_scripts_benchmark",
    "test_load_checks",
)


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.stem
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


def dbt_runner():
    """What runs commands of dbt in this process, as quickly as scripts/quick_dbt.py."""
    from dbt.cli.main import dbtRunner
    from quick_dbt import hurry

    hurry()
    return dbtRunner()


def load(name):
    """A Python model as a module, without dbt."""
    path = next((ROOT / "python_models").glob(f"*/{name}.py"))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def purchases():
    return load("int_purchases__parameters")


@pytest.fixture(scope="session")
def gamma_gamma():
    return load("int_gamma_gamma__parameters")


@pytest.fixture(scope="session")
def expectations():
    return load("int_expectations")


@pytest.fixture(scope="session")
def cdnow():
    """The 2,357 customers of Fader, Hardie & Lee (2005), in weeks."""
    return pd.read_csv(ROOT / "tests" / "fixtures" / "cdnow_summary.csv")


@pytest.fixture(scope="session")
def grocery():
    """Histories of the 1,525 customers of groceryElog by the end of 2006, in days."""
    return pd.read_csv(ROOT / "tests" / "fixtures" / "grocery_histories.csv")


@pytest.fixture(scope="session")
def log():
    """The demo's transactions."""
    path = ROOT / "seeds" / "demo" / "transactions.csv.gz"
    return pd.read_csv(path, dtype={"user_id": str}, parse_dates=["ts"])


@pytest.fixture(scope="session")
def sample(log):
    """The published 1/10 sample of it, customers numbered as published."""
    ids = pd.read_csv(ROOT / "tests/fixtures/cdnow_sample_ids.csv", dtype=str)
    return log.merge(ids).assign(user_id=lambda d: d["sample_id"])


class FakeDbt:
    """What `model()` uses of dbt: config, meta and ref."""

    def __init__(self, relations, **meta):
        self.relations, self.meta, self.config = relations, meta, self

    def __call__(self, **_):
        """Stand for dbt.config(...)."""

    def meta_get(self, key, default=None):
        """A variable, as dbt.config.meta_get gives it."""
        return self.meta.get(key, default)

    def ref(self, name):
        """A relation, as dbt.ref gives it."""
        return self.relations[name]


@pytest.fixture(params=["pandas", "duckdb"])
def fake_dbt(request):
    """Factory of `FakeDbt` over pandas frames or over DuckDB relations."""
    connection = duckdb.connect()

    def make(frames, **meta):
        if request.param == "duckdb":
            frames = {name: connection.from_df(f) for name, f in frames.items()}
        return FakeDbt(frames, **meta)

    yield make
    connection.close()


@pytest.fixture
def stored():
    """Types a frame gets when DuckDB stores it, as {column: type}."""

    def store(frame):
        relation = duckdb.connect().from_df(frame)
        return dict(zip(relation.columns, map(str, relation.types), strict=True))

    return store


@pytest.fixture(scope="session")
def simulate():
    """Histories of a purchase model in continuous time: (x, t_x, T).

    With days ahead also the purchases in those, and the sum of the logs of their gaps.
    """

    def histories(
        params,
        customers,
        seed=1,
        longest=730.0,
        purchase_model="bgnbd",
        k=1,
        ahead=0,
    ):
        r, alpha, a, b = params
        rng = np.random.default_rng(seed)
        rate = rng.gamma(r, 1 / alpha, customers)
        dropout, end = np.zeros(customers), np.full(customers, np.inf)
        if purchase_model == "paretonbd":
            end = rng.exponential(size=customers) / rng.gamma(a, 1 / b, customers)
        elif a:
            dropout = rng.beta(a, b, customers)
        age = rng.uniform(30, longest, customers)
        end = np.minimum(end, age + ahead)
        x, t_x, clock, later, ln_gaps = (np.zeros(customers) for _ in range(5))
        active = np.arange(customers)
        if purchase_model.startswith("m"):  # the first purchase may be the last
            active = active[rng.random(customers) >= dropout]
        while len(active):
            gaps = rng.gamma(k, size=len(active)) / rate[active]
            clock[active] += gaps
            inside = clock[active] <= end[active]
            active, gaps = active[inside], gaps[inside]
            past = clock[active] <= age[active]
            later[active] += ~past
            ln_gaps[active] += past * np.log(gaps)
            x[active] += past
            t_x[active[past]] = clock[active[past]]
            active = active[rng.random(len(active)) >= dropout[active]]
        return (x, t_x, age, later, ln_gaps) if ahead else (x, t_x, age)

    return histories
