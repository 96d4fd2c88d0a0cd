"""Rules over dbt's manifest that dbt-bouncer has not; pyproject.toml applies them."""

import re

from dbt_bouncer.check_framework.decorator import check, fail


def room_of(model):
    """The folder of a model below its layer; Python models share the folder of SQL."""
    folder = model.original_file_path.rpartition("/")[0]
    return re.sub("^(models/intermediate|python_models|models)/", "", folder)


@check
def check_model_reads_rooms_above(model, ctx, *, rooms: list[str]):
    """A model is in one of the folders, and reads only it and those above it."""
    room = room_of(model)
    if room not in rooms:
        fail(f"`{model.name}` is in {room}, which is not a listed folder.")
    open_to_it = rooms[: rooms.index(room) + 1]
    models = ctx.models_by_unique_id
    for parent in [models[each] for each in model.depends_on.nodes if each in models]:
        if room_of(parent) not in open_to_it:
            read = f"`{parent.name}` of {room_of(parent)}"
            fail(f"`{model.name}` of {room} reads {read}, a folder below it.")


COMBINES = re.compile(r"\b(?:join|union|group|distinct|unnest)\b", re.IGNORECASE)
NOISE = re.compile(r"\{#.*?#\}|--[^\n]*", re.DOTALL)


def is_excerpt(model, models) -> bool:
    """Whether a view only leaves out rows and columns of one other model."""
    parents = model.depends_on.nodes
    return (
        getattr(model.config, "materialized", "") == "view"
        and len(parents) == 1
        and parents[0] in models
        and not COMBINES.search(NOISE.sub("", model.raw_code))
    )


@check
def check_model_has_tested_key(model, ctx):
    """A model has test key or unique_combination, or has the key of what it reads."""
    of = model
    while is_excerpt(of, ctx.models_by_unique_id):
        of = ctx.models_by_unique_id[of.depends_on.nodes[0]]
    own = ctx.tests_by_attached_node.get(of.unique_id, [])
    tested = {test.test_metadata.name for test in own}
    # One test judges the keys of several relations in a statement.
    for tests in ctx.tests_by_attached_node.values():
        for test in tests:
            if test.test_metadata.name == "unique_combination" and of.unique_id in (
                test.depends_on.nodes
            ):
                tested.add("unique_combination")
    if not tested & {"key", "unique_combination"}:
        fail(f"`{model.name}` has no tested key.")


@check
def check_seed_columns_described(seed):
    """Every column that a seed lists has a description."""
    for name, column in seed.columns.items():
        if not column.description.strip():
            fail(f"`{seed.name}.{name}` has no description.")


@check
def check_test_names(test, *, test_name_pattern: str):
    """A test's name matches the pattern."""
    if not re.match(test_name_pattern, test.name):
        fail(f"`{test.name}` does not match `{test_name_pattern}`.")
