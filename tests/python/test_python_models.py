"""Functions that Python models repeat, since each file runs alone, stay the same."""

import ast
from collections import defaultdict

import pytest
from warm_dbt import ROOT

# Alike in name only: of other arguments, or of other likelihoods.
OF_EACH = {
    *("model", "log_likelihood", "expected_purchases", "warped_times", "typed"),
    *("lifetimes_fit", "second_opinion", "fit_rows", "fit_strata", "fit_all", "adopt"),
}


def functions():
    """Name → file → code without docstring, of functions that stand in several."""
    found = defaultdict(dict)
    for path in sorted((ROOT / "python_models").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name not in OF_EACH:
                if ast.get_docstring(node):
                    node.body = node.body[1:]
                found[node.name][path.name] = ast.unparse(node)
    return {name: files for name, files in found.items() if len(files) > 1}


@pytest.mark.parametrize("name", sorted(functions()))
def test_a_function_that_stands_in_several_files_is_the_same_in_each(name):
    assert len(set(functions()[name].values())) == 1


def test_those_that_are_alike_in_name_only_stand_in_several_files():
    texts = [path.read_text() for path in (ROOT / "python_models").rglob("*.py")]
    for name in OF_EACH:
        assert sum(f"\ndef {name}(" in text for text in texts) > 1, name
