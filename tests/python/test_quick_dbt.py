"""scripts/quick_dbt.py: what the quicker dbt finds is what dbt finds."""

import logging
import re
from types import SimpleNamespace

import pytest
from conftest import ROOT, dbt_runner
from dbt.artifacts.resources import NodeConfig
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt_common.dataclass_schema import ValidationError
from dbt_common.events.base_types import EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.events.types import Note
from quick_dbt import HARMLESS, READ_BY_TESTS
from test_builds import descriptions

PACKAGES = {
    "dbt": ("here", "there", "everywhere", "adapted"),
    "dbt_duckdb": ("adapted", "of_duckdb"),
    "clv": ("here", "ours"),
    "theirs": ("there", "of_theirs", "here"),
}


@pytest.mark.parametrize("package", ["clv", "theirs", "dbt"])
def test_a_macro_is_found_where_dbt_finds_it(package):
    macros = {
        name: {
            each: SimpleNamespace(name=each, package_name=name, macro_sql="")
            for each in found
        }
        for name, found in PACKAGES.items()
    }

    def builder():
        return MacroNamespaceBuilder("clv", package, None, ["dbt_duckdb", "dbt"])

    plain = builder()
    for found in macros.values():
        plain.add_macros(found.values(), {})
    internal = plain.internal_packages
    expected = MacroNamespace(
        plain.globals,
        plain.locals,
        internal["dbt"] | internal["dbt_duckdb"],
        plain.packages,
    )
    dbt_runner()
    found = builder().build_namespace(macros, {})

    def origin(namespace, name):
        one = namespace[name]
        if isinstance(one, dict):
            return {each: one[each].macro.package_name for each in one}
        return one.macro.package_name

    assert {*found} == {*expected}
    for name in expected:
        assert origin(found, name) == origin(expected, name), name
    for of in (None, "dbt", "clv", "theirs"):
        for name in ("here", "there", "adapted"):
            one, other = (each.get_from_package(of, name) for each in (found, expected))
            assert (one and one.macro) is (other and other.macro), (of, name)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_an_event_is_made_for_who_writes_it(level):
    dbt_runner()
    written = []
    manager = EventManager()
    log = logging.Logger("asked", level)
    manager.loggers = [
        SimpleNamespace(
            _python_logger=log,
            filter=lambda _: True,
            write_line=lambda message: written.append(message.info.msg),
        )
    ]
    manager.fire_event(Note(msg="for debugging"), level=EventLevel.DEBUG)
    assert written == (["for debugging"] if level == logging.DEBUG else [])


def test_what_breaks_its_schema_is_refused_each_time():
    dbt_runner()
    for _ in range(2):
        NodeConfig.validate({"enabled": True})
        with pytest.raises(ValidationError):
            NodeConfig.validate({"enabled": "perhaps"})


def test_variables_that_decide_nothing_are_in_no_setting():
    """What a setting of a model says, dbt takes from when it read the project."""

    def reads(names, text):
        return re.search(rf"var\(\s*['\"]({'|'.join(names)})['\"]", text)

    for path, text in descriptions(with_tests=False).items():
        assert not reads(HARMLESS, text), path
    for path, text in descriptions(with_tests=True).items():
        assert not reads(HARMLESS - READ_BY_TESTS, text), path
    for path in ROOT.glob("models/**/*.sql"):
        settings = re.findall(r"\{\{\s*config\((.*?)\)\s*\}\}", path.read_text(), re.S)
        assert not reads(HARMLESS, "".join(settings)), path
