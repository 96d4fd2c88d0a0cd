"""dbt, quicker: what it works out again for every node it works out once.

A build of a small shop is mostly dbt's own work: it compiles the same templates, makes
the same thousand macros for each of a node's contexts, and writes events that nobody
reads. What comes out is the same. For what builds again and again: the tests, the
analyzer, the emulator. It adapts dbt's internals: 1.11.
"""

import functools
import importlib

# Variables of which the project reads nothing before it runs, but for tests.
HARMLESS = {
    *("clv_as_of_date", "clv_accept_load", "clv_backtest_days"),
    *("clv_canary_share", "clv_consent"),
}
READ_BY_TESTS = {"clv_as_of_date"}
PACKAGES = (
    *("duckdb", "lightgbm", "numpy", "pandas", "statsmodels.tsa.holtwinters"),
    *("scipy.interpolate", "scipy.linalg", "scipy.optimize", "scipy.special"),
    "scipy.stats",
)


@functools.cache
def hurry():
    """Have the dbt of this process do these things once."""
    compile_templates_once()
    make_macros_at_once()
    validate_once()
    look_up_modules_once()
    learn_dates_once()
    write_read_events_only()
    read_again_for_what_matters()


def prepare(manifest):
    """Do what every build of a project does, before it is forked."""
    from dbt_common.clients.jinja import template_cache

    for macro in manifest.macros.values():
        template_cache.get_node_template(macro)
    # What Python models use.
    for name in PACKAGES:
        importlib.import_module(name)


def main():
    """Be the command `dbt`, quicker."""
    from dbt.cli.main import cli

    hurry()
    cli(prog_name="dbt")


def compile_templates_once():
    """Keep the code of a template and what it is parsed to, by its text."""
    from dbt_common.clients.jinja import MacroFuzzEnvironment

    def once(plain):
        known = {}

        def keep(self, source, *arguments, **options):
            if any(arguments) or options or not isinstance(source, str):
                return plain(self, source, *arguments, **options)
            key = type(self), source
            if key not in known:
                known[key] = plain(self, source, *arguments)
            return known[key]

        return keep

    MacroFuzzEnvironment.compile = once(MacroFuzzEnvironment.compile)
    MacroFuzzEnvironment._parse = once(MacroFuzzEnvironment._parse)


def make_macros_at_once():
    """Make the namespace of a context without a call for each of its macros."""
    from dbt.clients.jinja import MacroGenerator
    from dbt.context.macros import (
        GLOBAL_PROJECT_NAME,
        MacroNamespace,
        MacroNamespaceBuilder,
    )

    class Names(dict):
        """What a `MacroNamespace` finds, by name."""

        get_from_package = MacroNamespace.get_from_package

    def make(macro, context, node, stack):
        made = MacroGenerator.__new__(MacroGenerator)
        made.__dict__ = {
            "macro": macro,
            "context": context,
            "node": node,
            "stack": stack,
        }
        return made

    def build_namespace(self, macros_by_package, ctx):
        node, stack = self.node, self.thread_ctx
        made = {
            package: {
                name: make(macro, ctx, node, stack) for name, macro in macros.items()
            }
            for package, macros in macros_by_package.items()
        }
        internal = {}
        for package in reversed(self.internal_package_names_order):
            internal.update(made.get(package, {}))
        packages = {
            name: macros
            for name, macros in made.items()
            if name not in self.internal_package_names
        }
        local = packages.get(self.search_package, {})
        root = packages.get(self.root_package, {})
        # What is found first comes last.
        names = Names(internal)
        for found in ({GLOBAL_PROJECT_NAME: internal}, packages, root, local):
            names.update(found)
        names.local_namespace, names.global_namespace = local, root
        names.global_project_namespace, names.packages = internal, packages
        return names

    MacroNamespaceBuilder.build_namespace = build_namespace


def validate_once():
    """Keep what has been found to follow its schema."""
    from dbt_common.dataclass_schema import dbtClassMixin

    plain, known = dbtClassMixin.validate.__func__, set()

    def validate(cls, data):
        key = cls, repr(data)
        if key not in known:
            plain(cls, data)
            known.add(key)

    dbtClassMixin.validate = classmethod(validate)


def look_up_modules_once():
    """Keep the Python modules that templates may use."""
    from dbt.context import base

    base.get_context_modules = functools.cache(base.get_context_modules)


def learn_dates_once():
    """Keep what the reader of dates in rows knows: each result of a query has one."""
    import parsedatetime

    parsedatetime.Constants = functools.cache(parsedatetime.Constants)


def write_read_events_only():
    """Make no event that is for debugging where nothing writes it."""
    import logging

    from dbt_common.events.base_types import BaseEvent, EventLevel
    from dbt_common.events.event_manager import EventManager

    plain_fire, plain_make = EventManager.fire_event, BaseEvent.__init__

    def make_later(self, *arguments, **fields):
        if arguments:
            plain_make(self, *arguments, **fields)
        else:
            object.__setattr__(self, "fields", fields)

    def get(self, name):
        if name == "pb_msg":
            plain_make(self, **object.__getattribute__(self, "fields"))
            return object.__getattribute__(self, "pb_msg")
        return getattr(self.pb_msg, name)

    def put(self, name, value):
        if name == "pb_msg":
            object.__setattr__(self, name, value)
        else:
            setattr(self.pb_msg, name, value)

    def fire(self, e, level=None, node=None, force_warn_or_error_handling=False):
        is_for_debugging = (level or e.level_tag()) == EventLevel.DEBUG
        if (
            is_for_debugging
            and not force_warn_or_error_handling
            and not any(
                each._python_logger.isEnabledFor(logging.DEBUG) for each in self.loggers
            )
        ):
            return
        plain_fire(self, e, level, node, force_warn_or_error_handling)

    BaseEvent.__init__, BaseEvent.__getattr__ = make_later, get
    BaseEvent.__setattr__ = put
    EventManager.fire_event = fire


def read_again_for_what_matters():
    """Have a project that was read stay so when variables change that it did not read.

    As dbt does when none changes: it compares what it prints of them.
    """
    import pprint
    from types import SimpleNamespace

    from dbt.flags import get_flags
    from dbt.parser import manifest

    def printed(value):
        if isinstance(value, dict):
            excluded = getattr(get_flags(), "EXCLUDE_RESOURCE_TYPES", None) or ()
            has_tests = "test" not in map(str, excluded)
            ignored = HARMLESS - (READ_BY_TESTS if has_tests else set())
            value = {name: value[name] for name in value if name not in ignored}
        return pprint.pformat(value)

    manifest.pprint = SimpleNamespace(pformat=printed)
