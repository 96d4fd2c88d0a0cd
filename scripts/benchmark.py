"""Measure time and memory of this project and of other tools for the same numbers.

usage: benchmark.py --customers N [--json] [--legs NAME ...] [--folder DIR] [--seed N]
                    [--pymc PYTHON]

Makes a log of N customers, the same for the same seed: purchases after BG/NBD, values
after Gamma-Gamma, two years, some ten lines a customer, half of them one-time buyers.
Then every leg goes from that Parquet file, in processes of its own:

  floor      one bare `group by` of DuckDB: purchase days, first, last, sum by customer
  score      this project up to customer_lifetime_value: four horizons with ranges
  fit        from its tables: the fit of all histories, and the expectations, alone
  lookup     from its tables: one customer's CLV, and score_history for one history
  build      this project, all of it: five cutoffs, segments, marts, data tests
  daily      this project, the day after: selector daily_scoring, on what build left
  lifetimes  its summary, fits, predictions and customer_lifetime_value; no ranges
  pymc       PyMC-Marketing's, maximum a posteriori, with the interpreter --pymc

Wall and processor seconds and the largest resident memory come from the operating
system; compare processor seconds where others use the machine. `rows read` are those
that DuckDB's profiler counts in scans of the log and of what is made from it by line or
purchase day. Files stay in --folder, where a log is used again; else they are removed.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FIRST_DAY, DAYS = date(2023, 1, 1), 730
AS_OF = FIRST_DAY + timedelta(days=DAYS - 1)
HORIZONS = (30, 90, 180, 365)
# The truth: BG/NBD in days, and Gamma-Gamma per purchase.
TRUTH = {
    "r": 0.30,
    "alpha": 25.0,
    "a": 0.6,
    "b": 4.0,
    "p": 6.0,
    "q": 4.0,
    "gamma": 15.0,
}
LINES_A_PURCHASE = 2.6
CHUNK = 250_000  # customers made at once

# Stage by name of what dbt ran, else by folder, in the order of the table.
STAGES = {
    "staging": ("staging", "loads", "calendar", "seed", "operation"),
    "lines and customers": ("transactions", "identity", "customers"),
    "histories": ("histories", "rfm"),
    "fit": ("fits",),
    "expectations": (
        "int_expectations",
        "int_expectations__wide",
        "int_expectations__pairs",
    ),
    "score": ("predictions", "serving", "customer_lifetime_value"),
    "evaluation": ("evaluation",),
    "segments": ("segments",),
    "marts": (
        *("forecasts", "int_tracking_curve", "marts", "export"),
        *("monitoring", "economics", "campaigns", "overlay"),
    ),
    "tests": ("test",),
}
LEGS = ("floor", "score", "fit", "lookup", "build", "daily", "lifetimes", "pymc")
NO_TESTS = ("--exclude-resource-type", "unit_test")
HISTORY = ("transactions", "int_transactions__resolved", "int_purchase_days")


# -- The log -------------------------------------------------------------------


def quantile_tables(connection):
    """Tables of ln quantiles over z = ln(u / (1 - u)), fine in both tails.

    A draw is then one hash, one look-up and one interpolation, for any number of rows.
    """
    import numpy as np
    import pandas as pd
    from scipy import special

    z = np.linspace(-30, 30, 6001)
    low, high = special.expit(z), special.expit(-z)

    def gamma(shape):
        below = special.gammaincinv(shape, low)
        return np.where(z < 0, below, special.gammainccinv(shape, high))

    draws = {
        "rate": gamma(TRUTH["r"]),
        "leaving": special.betaincinv(TRUTH["a"], TRUTH["b"], low),
        "scale": gamma(TRUTH["q"]),
        "spend": gamma(TRUTH["p"]),
    }
    for name, values in draws.items():
        ln = np.log(np.maximum(values, 1e-300))
        frame = pd.DataFrame({"node": np.arange(6000), "base": ln[:-1]})
        frame["slope"] = np.diff(ln)
        connection.register("frame", frame)
        connection.execute(f"create table {name} as from frame")


def make_log(folder, customers, seed):
    """Write transactions.parquet and log.json, which says what was made."""
    import duckdb

    scratch = folder / "making.duckdb"
    scratch.unlink(missing_ok=True)
    connection = duckdb.connect(str(scratch))
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set preserve_insertion_order = false")
    quantile_tables(connection)
    # A number in (0, 1) that depends on nothing but the seed and its arguments. Hashed
    # twice, since hashes of several values that differ in one are alike.
    connection.execute(
        "create macro uniform(kind, i, j) as "
        f"(cast(hash(hash({seed}, kind, i, j)) >> 11 as double) + 0.5) / {2**53}"
    )
    connection.execute("create macro z(u) as ln(u / (1 - u))")
    connection.execute("create macro node(z) as cast(floor((z + 30) * 100) as integer)")
    connection.execute(
        "create macro at_z(z, base, slope) as "
        "exp(base + slope * ((z + 30) * 100 - floor((z + 30) * 100)))"
    )
    connection.execute(
        "create table lines (user_id bigint, ts timestamp, order_number integer, "
        "sku integer, amount decimal(18, 2))"
    )
    for first in range(0, customers, CHUNK):
        connection.execute(
            f"""
            insert into lines
            with uniforms as (
                select
                    i,
                    z(uniform('rate', i, 0)) as rate_z,
                    z(uniform('leaving', i, 0)) as leaving_z,
                    z(uniform('scale', i, 0)) as scale_z,
                    {DAYS} * uniform('entry', i, 0) as entry
                from range({first}, {min(first + CHUNK, customers)}) as t (i)
            ),
            people as (
                select
                    i,
                    entry,
                    at_z(rate_z, rate.base, rate.slope) / {TRUTH["alpha"]} as rate,
                    {TRUTH["gamma"]} / at_z(scale_z, scale.base, scale.slope)
                        as value_scale,
                    -- Repeat purchases until they leave: geometric.
                    ceil(ln(uniform('stay', i, 0)) / ln(1 - least(
                        at_z(leaving_z, leaving.base, leaving.slope), 1 - 1e-12
                    ))) as stays
                from uniforms
                inner join rate on rate.node = node(rate_z)
                inner join leaving on leaving.node = node(leaving_z)
                inner join scale on scale.node = node(scale_z)
            ),
            -- More purchases than can lie before the last day.
            numbered as (
                select
                    i,
                    entry,
                    value_scale,
                    rate,
                    unnest(range(0, cast(least(
                        stays, rate * ({DAYS} - entry)
                        + 6 * sqrt(rate * ({DAYS} - entry)) + 6
                    ) as bigint) + 1)) as j
                from people
            ),
            purchases as (
                select
                    i,
                    j,
                    value_scale,
                    entry + sum(
                        case when j > 0 then -ln(uniform('gap', i, j)) / rate else 0 end
                    ) over (partition by i order by j) as at_day,
                    z(uniform('spend', i, j)) as spend_z
                from numbered
            ),
            valued as (
                select
                    i,
                    j,
                    at_day,
                    value_scale * at_z(spend_z, spend.base, spend.slope) as spent,
                    1 + cast(floor(
                        ln(uniform('lines', i, j)) / ln(1 - 1 / {LINES_A_PURCHASE})
                    ) as integer) as line_count
                from purchases
                inner join spend on spend.node = node(spend_z)
                where at_day < {DAYS}
            )
            select
                i,
                timestamp '{FIRST_DAY}'
                + to_seconds(cast(floor(at_day * 86400) as bigint)),
                j,
                cast((hash(i, j) % 100000 + 7919 * unnest(range(line_count))) % 100000
                    as integer),
                greatest(spent / line_count, 0.01)
            from valued
            """
        )
    file = folder / "input" / "transactions.parquet"
    # In the order of time, as a shop writes it, not of customers.
    connection.execute(
        f"""
        copy (
            select
                printf('c%08d', user_id) as user_id,
                ts,
                amount,
                printf('%d-%d', user_id, order_number) as order_id,
                printf('s%05d', sku) as sku
            from lines
            order by ts, user_id, order_number, sku
        ) to '{file}' (format parquet, compression zstd)
        """
    )
    made = connection.execute(
        "select count(*), count(distinct (user_id, order_number)), "
        "count(distinct user_id), sum(amount) from lines"
    ).fetchone()
    once = connection.execute(
        "select avg(cast(days = 1 as integer)) from (select count(distinct "
        "cast(ts as date)) as days from lines group by user_id)"
    ).fetchone()[0]
    connection.close()
    scratch.unlink()
    names = ("lines", "purchases", "customers", "revenue", "one_time_share")
    log = dict(zip(names, map(float, (*made, once)), strict=True))
    (folder / "log.json").write_text(json.dumps(log))
    return log


# -- The legs, each run in a process of its own -------------------------------


def leg_floor(folder):
    """The floor: work that every tool needs."""
    import duckdb

    duckdb.sql(
        "create table histories as select user_id, count(distinct cast(ts as date)), "
        "min(ts), max(ts), sum(amount) "
        f"from '{folder / 'input' / 'transactions.parquet'}' group by 1"
    )
    return {"customers": duckdb.sql("select count(*) from histories").fetchone()[0]}


def leg_lifetimes(folder):
    """As in its documentation."""
    import pandas as pd
    from lifetimes import BetaGeoFitter, GammaGammaFitter
    from lifetimes.utils import summary_data_from_transaction_data

    log = pd.read_parquet(
        folder / "input" / "transactions.parquet", columns=["user_id", "ts", "amount"]
    ).astype({"amount": "float64"})
    stages, since = {}, time.perf_counter()

    def done(stage):
        nonlocal since
        stages[stage], since = time.perf_counter() - since, time.perf_counter()

    summary = summary_data_from_transaction_data(
        log, "user_id", "ts", "amount", observation_period_end=AS_OF
    )
    done("histories")
    x, t_x, age = summary["frequency"], summary["recency"], summary["T"]
    purchases, values = BetaGeoFitter(), GammaGammaFitter()
    purchases.fit(x, t_x, age)
    repeats = summary[(x > 0) & (summary["monetary_value"] > 0)]
    values.fit(repeats["frequency"], repeats["monetary_value"])
    done("fit")
    for horizon in HORIZONS:
        purchases.conditional_expected_number_of_purchases_up_to_time(
            horizon, x, t_x, age
        )
    purchases.conditional_probability_alive(x, t_x, age)
    money = x, summary["monetary_value"]
    values.conditional_expected_average_profit(*money)
    values.customer_lifetime_value(
        purchases, x, t_x, age, money[1], time=12, freq="D", discount_rate=0.008
    )
    done("score")
    return {"customers": len(summary), "stages": stages, **purchases.params_}


def leg_pymc(folder):
    """The same with PyMC-Marketing, at the mode of the posterior."""
    import pandas as pd
    from pymc_marketing import clv

    log = pd.read_parquet(
        folder / "input" / "transactions.parquet", columns=["user_id", "ts", "amount"]
    ).astype({"amount": "float64"})
    summary = clv.utils.rfm_summary(
        log, "user_id", "ts", "amount", observation_period_end=str(AS_OF), time_unit="D"
    )
    purchases, values = clv.BetaGeoModel(), clv.GammaGammaModel()
    purchases.fit(summary, method="map", progressbar=False)
    repeats = summary[(summary["frequency"] > 0) & (summary["monetary_value"] > 0)]
    values.fit(repeats, method="map", progressbar=False)
    for horizon in HORIZONS:
        purchases.expected_purchases(summary, future_t=horizon)
    purchases.expected_probability_alive(summary)
    values.expected_customer_lifetime_value(
        purchases, repeats, future_t=12, time_unit="D", discount_rate=0.008
    )
    return {"customers": len(summary)}


def python_model(name):
    """A Python model as a module, without dbt."""
    path = next((PROJECT / "python_models").glob(f"*/{name}.py"))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leg_fit(folder):
    """Processor seconds of BG/NBD's fit and of the expectations, and their sizes."""
    import duckdb

    connection = duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True)
    connection.execute("use warehouse.clv_intermediate")

    def table(name):
        return connection.execute(f"from {name}").df()

    fitting, tabulating = map(
        python_model, ("int_purchases__parameters", "int_expectations")
    )
    histories = table("int_histories__compressed")
    histories = histories[histories["cutoff_date"] == histories["cutoff_date"].max()]
    columns = ("frequency", "recency_days", "age_days", "customers")
    arrays = [histories[column].to_numpy("float64") for column in columns]
    pairs = table("int_expectations__pairs")
    inputs = pairs, table("int_parameters"), table("int_season"), HORIZONS, 0.10
    start = time.process_time()
    fitting.fit_purchases("bgnbd", *arrays)
    fitted = time.process_time()
    tabulating.expectation_tables(*inputs)
    return {
        "histories": len(histories),
        "fit_cpu": fitted - start,
        "pairs": len(pairs),
        "expectations_cpu": time.process_time() - fitted,
    }


def leg_lookup(folder):
    """Milliseconds of one customer's row, and of score_history for their history."""
    import duckdb

    connection = duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True)
    connection.execute("use warehouse.clv")
    people = connection.execute(
        "select customer_id, frequency, recency_days, age_days, mean_value "
        "from customer_lifetime_value order by hash(customer_id) limit 200"
    ).fetchall()
    found = {}
    for name, query, arguments in (
        ("clv", "from customer_lifetime_value where customer_id = $1", slice(0, 1)),
        ("score_history", "from score_history($1, $2, $3, $4)", slice(1, 5)),
    ):
        times = []
        for person in people:
            start = time.perf_counter()
            rows = connection.execute(query, person[arguments]).fetchall()
            times.append(1000 * (time.perf_counter() - start))
            assert rows, f"{name} finds nothing for {person}"
        times.sort()
        found[f"{name}_p50_ms"] = times[len(times) // 2]
        found[f"{name}_p95_ms"] = times[int(0.95 * len(times))]
    return found


def leg_rows(folder):
    """Rows that the statements of the last run scan, by table, of HISTORY."""
    import duckdb

    connection = duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True)
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set enable_profiling = 'no_output'")
    scanned = Counter()

    def walk(operator):
        table = operator.get("extra_info", {}).get("Table", "").split(".")[-1]
        if table in HISTORY:
            scanned[table] += operator["operator_rows_scanned"]
        for child in operator.get("children", ()):
            walk(child)

    results = json.loads((folder / "target" / "run_results.json").read_text())
    for result in results["results"]:
        name = result["unique_id"]
        if name.startswith("model.") and "select" in (result["compiled_code"] or ""):
            if "def model(" in result["compiled_code"]:
                continue
            connection.execute(f"select count(*) from ({result['compiled_code']}\n)")
            walk(json.loads(connection.get_profiling_information(format="json")))
    return {"rows_read": dict(scanned), "all": sum(scanned.values())}


# -- Measuring ------------------------------------------------------------------


def measured(command, environment=None):
    """Run a command; return what it printed, and what it took of the machine.

    The memory is that of its largest process. This process stays small: a child's peak
    starts from that of its parent.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=PROJECT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{printed[-3000:]}")
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return printed, {
        "wall": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / scale,
    }


def own(leg, folder, python=sys.executable):
    """A leg of this script; its last line is what it found."""
    printed, taken = measured([python, __file__, "--run-leg", leg, "--folder", folder])
    return {**taken, **json.loads(printed.strip().splitlines()[-1])}


def rows_read(folder):
    found = own("rows", folder)
    return {name: found[name] for name in ("rows_read", "all")}


def stages_of(target):
    """Seconds by stage of the last dbt run, and from its first node to its last."""
    results = json.loads((target / "run_results.json").read_text())["results"]
    nodes = json.loads((target / "manifest.json").read_text())["nodes"]
    seconds, moments = Counter(), []
    for result in results:
        node = nodes.get(result["unique_id"])
        if node is None:  # an exposure, which is noted and not run
            continue
        path = (node["resource_type"], node["name"], *node["fqn"])
        found = {name: s for s, names in STAGES.items() for name in names}
        stage = next((found[part] for part in path if part in found), "other")
        seconds[stage] += result["execution_time"]
        moments += [
            datetime.fromisoformat(moment.replace("Z", "+00:00"))
            for timing in result["timing"]
            for moment in (timing["started_at"], timing["completed_at"])
            if moment
        ]
    ordered = {stage: seconds[stage] for stage in (*STAGES, "other") if seconds[stage]}
    return ordered, (max(moments) - min(moments)).total_seconds()


def dbt(folder, *options, variables=None):
    """Run dbt on the folder's warehouse; `work` is from its first node to its last."""
    command = [Path(sys.executable).parent / "dbt", "--quiet", *options]
    if variables:
        command += ["--vars", json.dumps(variables)]
    _, taken = measured(command, surroundings(folder))
    if options[0] == "build":
        taken["stages"], taken["work"] = stages_of(folder / "target")
    return taken


def surroundings(folder):
    return {
        "CLV_DUCKDB_PATH": str(folder / "warehouse.duckdb"),
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "CLV_TARGET": "duckdb",
    }


def from_files(folder, *options, variables=None):
    """Load the file into an empty warehouse and build; loading is a stage."""
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    _, loading = measured(
        [sys.executable, "scripts/load_input.py", "--input", folder / "input"],
        surroundings(folder),
    )
    taken = dbt(folder, *options, variables=variables)
    taken["start_up"] = taken["wall"] - taken["work"]
    for measure in ("wall", "cpu"):
        taken[measure] += loading[measure]
    taken["work"] += loading["wall"]
    taken["peak_mib"] = max(taken["peak_mib"], loading["peak_mib"])
    taken["stages"] = {"load": loading["wall"], **taken["stages"]}
    return taken


def run_leg(leg, folder, pymc):
    """One leg, from the outside."""
    if leg == "score":
        selection = ("--select", "+customer_lifetime_value", *NO_TESTS)
        selection += ("--exclude-resource-type", "test")
        return from_files(
            folder, "build", *selection, variables={"clv_backtest_days": []}
        )
    if leg == "build":
        return from_files(folder, "build", *NO_TESTS) | rows_read(folder)
    if leg == "daily":
        tomorrow = str(AS_OF + timedelta(days=1))
        variables = {"clv_run": "daily", "clv_as_of_date": tomorrow}
        taken = dbt(folder, "build", "--selector", "daily_scoring", variables=variables)
        taken["start_up"] = taken["wall"] - taken["work"]
        return taken | rows_read(folder)
    return own(leg, folder, pymc if leg == "pymc" else sys.executable)


# -- What is printed ------------------------------------------------------------


def table_of(report):
    """The report as Markdown."""
    log, legs = report["log"], report["legs"]
    lines = [
        f"{log['customers']:,.0f} customers, {log['lines']:,.0f} lines, "
        f"{log['one_time_share']:.0%} one-time buyers; {report['cores']} cores, load "
        f"{report['load_before']:.1f} before and {report['load_after']:.1f} after.",
        "",
        "| | wall s | processor s | times the floor (processor) | peak MiB |",
        "|---|---|---|---|---|",
    ]
    floor = legs.get("floor", {}).get("cpu")
    for leg, taken in legs.items():
        if leg not in ("fit", "lookup"):
            ratio = f"{taken['cpu'] / floor:.1f}" if floor else ""
            lines.append(
                f"| {leg} | {taken['wall']:.1f} | {taken['cpu']:.1f} | {ratio} "
                f"| {taken['peak_mib']:,.0f} |"
            )
    staged = {leg: taken for leg, taken in legs.items() if "stages" in taken}
    if staged:
        names = dict.fromkeys(n for taken in staged.values() for n in taken["stages"])
        lines += ["", f"| seconds | {' | '.join(staged)} |"]
        lines += ["|---" * (len(staged) + 1) + "|"]
        for name in ("start_up", *names):
            cells = (
                taken.get(name, taken["stages"].get(name)) for taken in staged.values()
            )
            shown = " | ".join("" if cell is None else f"{cell:.1f}" for cell in cells)
            lines.append(f"| {name.replace('_', '-')} | {shown} |")
    if "parse" in report:
        seconds = (
            f"{report['parse']['wall']:.1f} s, processor {report['parse']['cpu']:.1f}"
        )
        lines += ["", f"dbt parse from nothing: {seconds} s"]
    if "fit" in legs:
        alone = legs["fit"]
        lines += [
            "",
            f"alone, processor seconds: fit of {alone['histories']:,} histories "
            f"{alone['fit_cpu']:.1f}, expectation table of {alone['pairs']:,} pairs at "
            f"{len(HORIZONS)} horizons {alone['expectations_cpu']:.1f}",
        ]
    if "lookup" in legs:
        found = {k: v for k, v in legs["lookup"].items() if k.endswith("_ms")}
        lines += ["", "; ".join(f"{k[:-3]} {v:.0f} ms" for k, v in found.items())]
    read = {leg: taken["all"] for leg, taken in legs.items() if "all" in taken}
    if read:
        shown = "; ".join(f"{leg} {rows:,}" for leg, rows in read.items())
        lines += ["", f"rows read of the log and its lines and days: {shown}"]
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, metavar="N", help="in the log")
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    parser.add_argument("--legs", nargs="+", choices=LEGS, default=LEGS, help="to run")
    parser.add_argument("--folder", type=Path, help="where files stay")
    parser.add_argument("--seed", type=int, default=1, help="of the log")
    parser.add_argument("--pymc", metavar="PYTHON", help="that has PyMC-Marketing")
    parser.add_argument("--run-leg", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as scripts/lib.sh: every leg
    if options.run_leg == "log":
        print(json.dumps(make_log(options.folder, options.customers, options.seed)))
        return
    if options.run_leg:
        print(json.dumps(globals()[f"leg_{options.run_leg}"](options.folder)))
        return
    if not options.customers:
        parser.error("--customers says how many")
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).resolve()
        name = f"{options.customers}-{options.seed}"
        report = benchmark(folder / name, options)
    print(json.dumps(report, indent=2) if options.json else table_of(report))


def benchmark(folder, options):
    (folder / "input").mkdir(parents=True, exist_ok=True)
    if not (folder / "log.json").exists():
        making = ["--customers", options.customers, "--seed", options.seed]
        command = [sys.executable, __file__, "--run-leg", "log", "--folder", folder]
        measured([*command, *making])
    report = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    report["log"] = json.loads((folder / "log.json").read_text())
    report["legs"] = {}
    if {"score", "build", "daily"} & set(options.legs):
        # dbt keeps what it parsed: only the first start-up has to read the project.
        report["parse"] = dbt(folder, "parse", "--no-partial-parse")
    for leg in options.legs:
        if leg == "pymc" and not options.pymc:
            print("pymc: left out, no --pymc interpreter given", file=sys.stderr)
            continue
        report["legs"][leg] = run_leg(leg, folder, options.pymc)
        print(f"{leg}: {report['legs'][leg]}", file=sys.stderr)
    report["load_after"] = os.getloadavg()[0]
    return report


if __name__ == "__main__":
    main()
