"""scripts/check_project.py: a sound project passes, every planted fault is found."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
spec = importlib.util.spec_from_file_location(
    "check_project", SCRIPTS / "check_project.py"
)
check_project = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_project)

CODE = "-- grain: one row per order\nselect order_id from {{ ref('stg_orders') }}\n"


def model(name, file):
    return {
        "resource_type": "model",
        "package_name": "clv",
        "unique_id": f"model.clv.{name}",
        "name": name,
        "alias": name,
        "schema": "clv",
        "language": "sql",
        "original_file_path": file,
        "raw_code": CODE,
        "columns": {"order_id": {}},
        "config": {"materialized": "table"},
    }


def singular_test(name, code="select 1"):
    return {
        "resource_type": "test",
        "package_name": "clv",
        "unique_id": f"test.clv.{name}",
        "name": name,
        "language": "sql",
        "original_file_path": f"tests/{name}.sql",
        "raw_code": code,
    }


@pytest.fixture
def manifest():
    every = [
        model("stg_orders", "models/staging/stg_orders.sql"),
        model("orders", "models/marts/orders.sql"),
        singular_test("assert_orders_add_up"),
    ]
    return {
        "metadata": {"project_name": "clv"},
        "sources": {},
        "nodes": {node["unique_id"]: node for node in every},
    }


@pytest.fixture
def files():
    return {
        "dbt_project.yml": "vars: {clv_value: margin}",
        "macros/money.sql": "{# Money. #}\n{% macro money() %}{{ var('clv_value') }}"
        "{% endmacro %}\n\n{% macro bigquery__money() %}{% endmacro %}\n",
        "models/marts/orders.sql": CODE,
        "models/_models.yml": "data_type: \"{{ 'x' if target.type == 'y' }}\"",
        "requirements.lock": "dbt-core==1.11.16 --hash=sha256:0",
    }


def test_a_sound_project_passes(manifest, files):
    built = {("clv", "stg_orders"): ["order_id"], ("clv", "orders"): ["order_id"]}
    assert list(check_project.check_relations(manifest)) == []
    assert check_project.check_texts(files) == []
    assert list(check_project.check_built(manifest, built)) == []


@pytest.mark.parametrize("relation", ["clv.x", '"clv"."x"'])
def test_a_fixed_relation_is_found(manifest, relation):
    node = manifest["nodes"]["model.clv.orders"]
    node["raw_code"] += f"inner join {relation} on true"
    found = [each.rule for each in check_project.check_relations(manifest)]
    assert found == ["relation"]


@pytest.mark.parametrize(
    "code",
    [
        "select extract(day from orders.ts) from {{ ref('orders') }} as orders",
        "select one.x is distinct from two.x from one",
        "select 1 from {{ ref('orders') }} as orders -- from clv.orders",
        "select x from {{ source('raw', 'orders') }}.x",
        "select x from one cross join unnest(one.items) as x",
    ],
)
def test_what_only_looks_like_a_relation_passes(manifest, code):
    test = singular_test("assert_it", code)
    manifest["nodes"][test["unique_id"]] = test
    assert list(check_project.check_relations(manifest)) == []


@pytest.mark.parametrize(
    ("file", "text", "report"),
    [
        ("models/a.sql", "{{ target.type }}", "adapter: models/a.sql"),
        ("models/a.yml", "  x: {{ target . type }}", "adapter: models/a.yml: line 1"),
        ("macros/a.sql", "{% macro a() %}{% endmacro %}", "macro: macros/a.sql"),
        (
            "macros/a.sql",
            "{# A. #}\n{%- macro a() %}{% endmacro %}\n{% macro b(x) %}{% endmacro %}",
            "macro: macros/a.sql: no comment {# ... #} stands above b",
        ),
        ("tests/generic/a.sql", "{% test a(model) %}{% endtest %}", "macro: "),
        ("models/a.sql", "{{ var('clv_typo') }}", "variable: models/a.sql"),
        (
            "python_models/a.py",
            "a = \"{{ var('x') }}\"",
            "variable: python_models/a.py",
        ),
        ("dbt_project.yml", "vars: {clv_value: 1, clv_idle: 2}", "variable: dbt_"),
        ("notes.txt", "", "layout: notes.txt"),
        ("README.md", "see " + "/".join(["", "home", "me", "x"]), "path: README.md"),
        ("README.md", "see .." + "/".join(["", "work", "x"]), "path: README.md"),
        ("requirements.lock", "--index-url https:" + "//example.com", "path: "),
    ],
)
def test_a_fault_of_a_file_is_found(files, file, text, report):
    files[file] = text
    found = [str(violation) for violation in check_project.check_texts(files)]
    assert len(found) == 1
    assert found[0].startswith(report)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (None, "orders is not in the built database"),
        (["order_id", "amount"], "orders has undocumented columns: amount"),
        ([], "orders documents columns it has not: order_id"),
    ],
)
def test_built_columns_are_the_documented_ones(manifest, columns, sentence):
    built = {("clv", "stg_orders"): ["order_id"]}
    if columns is not None:
        built["clv", "orders"] = columns
    found = [each.sentence for each in check_project.check_built(manifest, built)]
    assert found == [sentence]


def test_tables_of_state_have_the_documented_columns(manifest):
    manifest["sources"] = {
        "source.clv.clv_state.export_runs": {
            "name": "export_runs",
            "source_name": "clv_state",
            "original_file_path": "models/state/_state__sources.yml",
            "schema": "clv_state",
            "identifier": "export_runs",
            "columns": {"run_id": {}},
            "config": {},
        }
    }
    built = {("clv", "stg_orders"): ["order_id"], ("clv", "orders"): ["order_id"]}
    built["clv_state", "export_runs"] = ["run_id", "target"]
    found = [each.sentence for each in check_project.check_built(manifest, built)]
    assert found == ["export_runs has undocumented columns: target"]
