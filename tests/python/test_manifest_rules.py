"""pyproject.toml's rules over dbt's manifest: a sound one passes, no fault does."""

import json

from conftest import ROOT
from dbt_bouncer import run_bouncer

RAW, STATE = "source.clv.clv_raw.orders", "source.clv.clv_state.versions"
MARTS, INTERMEDIATE = "models/marts/core", "models/intermediate"
ONE_KEY = {"key": "order_id"}
VIEW, NO_KEY = {"materialized": "view"}, {"not_null": "order_id"}
TWO_HALVES = {"unique": "order_id", "not_null": "user_id"}
MUTE = {"order_id": {"description": " "}}


def node(file, *parents, keys=None, **fields):
    """A node of the manifest, with the tests of its key: test → column."""
    folder, _, name = file.rpartition("/")
    name, _, language = name.partition(".")
    kind = {"seeds": "seed", "tests": "test"}.get(folder.split("/")[0], "model")
    common = {"package_name": "clv", "depends_on": {"nodes": parents}}
    made = {
        "resource_type": kind,
        "unique_id": f"{kind}.clv.{name}",
        "name": name,
        "original_file_path": file,
        "language": {"py": "python"}.get(language, language),
        "raw_code": "{{ config(\n    tags='x') }}\n\n-- grain: one row per order\n",
        "description": "One row per order.",
        "columns": {"order_id": {"description": "The order."}},
        "contract": {"enforced": True},
    }
    tests = [
        {
            "resource_type": "test",
            "unique_id": f"test.clv.{test}_{name}",
            "original_file_path": f"{folder}/_models.yml",
            "attached_node": made["unique_id"],
            "column_name": column,
            "test_metadata": {"name": test},
        }
        for test, column in (keys or {"unique_combination": None}).items()
        if kind == "model"
    ]
    return [common | made | fields, *(common | test for test in tests)]


SOUND = [
    node("models/staging/stg_orders.sql", RAW, keys=TWO_HALVES),
    node(f"{INTERMEDIATE}/transactions/int_orders.sql", "model.clv.stg_orders"),
    node("python_models/fits/int_fit.py", "model.clv.int_orders", raw_code=""),
    node(f"{INTERMEDIATE}/fits/int_parameters.sql", "model.clv.int_fit", STATE),
    node(f"{MARTS}/orders.sql", "model.clv.int_parameters", "seed.clv.rates"),
    node(f"{MARTS}/customers.sql", "model.clv.orders", keys=ONE_KEY),
    node(f"{MARTS}/returns.sql", "model.clv.orders", keys=NO_KEY, config=VIEW),
    node("models/export/marketing_cloud/export_orders.sql", "model.clv.orders"),
    node("seeds/rates.csv"),
    node("tests/invariants/assert_orders_add_up.sql"),
]
FAULTS = {
    "check_model_reads_rooms_above": [
        node(f"{INTERMEDIATE}/loads/int_upward.sql", "model.clv.int_orders"),
        node(f"{INTERMEDIATE}/histories/int_circle.sql", "model.clv.int_fit"),
        node(f"{INTERMEDIATE}/monitoring/int_of_a_mart.sql", "model.clv.orders"),
        node(f"{MARTS}/of_an_export.sql", "model.clv.export_orders"),
        node(f"{INTERMEDIATE}/int_roomless.sql"),
    ],
    "check_model_directories": [node("models/fits/int_elsewhere.sql")],
    "check_lineage_source_cannot_be_used": [node(f"{MARTS}/raw_orders.sql", RAW)],
    "check_model_names": [
        node("models/staging/fct_orders.sql", RAW),
        node(f"{INTERMEDIATE}/fits/parameters.sql"),
        node("python_models/fits/fit.py", raw_code=""),
        node(f"{MARTS}/int_daily.sql"),
        node("models/export/marketing_cloud/exported.sql"),
    ],
    "check_test_names": [node("tests/invariants/orders_ok.sql")],
    "check_model_code_does_not_contain_regexp_pattern": [
        node(f"{MARTS}/grainless.sql", raw_code="select 1")
    ],
    "check_model_description_contains_regexp_pattern": [
        node(f"{MARTS}/undescribed.sql", description=""),
        node(f"{MARTS}/misdescribed.sql", description="Orders."),
    ],
    "check_model_column_description_populated": [
        node(f"{MARTS}/mute.sql", columns=MUTE)
    ],
    "check_seed_description_populated": [node("seeds/unknown.csv", description="")],
    "check_seed_columns_described": [node("seeds/mute_rates.csv", columns=MUTE)],
    "check_model_has_contracts_enforced": [node(f"{MARTS}/loose.sql", contract={})],
    "check_model_has_tested_key": [
        node(f"{MARTS}/keyless.sql", keys=NO_KEY),
        node(
            *(f"{MARTS}/grouped.sql", "model.clv.orders"),
            **{"keys": NO_KEY, "config": VIEW},
            raw_code="-- grain: one row per order\nselect 1 group by 1",
        ),
        node(f"{MARTS}/half_a_key_twice.sql", keys=TWO_HALVES),
    ],
}


def test_every_planted_fault_is_found_and_nothing_else(tmp_path, monkeypatch):
    made = SOUND + [each for faults in FAULTS.values() for each in faults]
    nodes = {each["unique_id"]: each for part in made for each in part}
    readers = [key for key, each in nodes.items() if RAW in each["depends_on"]["nodes"]]
    manifest = {
        "metadata": {"project_name": "clv", "dbt_version": "1.11.16"},
        "nodes": nodes,
        "sources": {RAW: {"fqn": ["clv", "staging", "clv_raw", "orders"]}},
        "child_map": {RAW: readers},
    }
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("DBT_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("DBT_BOUNCER_DISABLE_CONF_CACHE", "1")
    report = tmp_path / "report.json"
    config = ROOT / "pyproject.toml"
    assert run_bouncer(config, output_file=report, output_only_failures=True) == 1
    found = [each["check_run_id"].split(":") for each in json.loads(report.read_text())]
    planted = [(rule, each[0]["name"]) for rule in FAULTS for each in FAULTS[rule]]
    assert sorted((rule, name) for rule, _, name in found) == sorted(planted)
