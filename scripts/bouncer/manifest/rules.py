"""Rules over dbt's manifest that dbt-bouncer has not; pyproject.toml applies them."""

import re

from dbt_bouncer.check_framework.decorator import check, fail


def room_of(model):
    """The folder of a model below its layer; Python models share the room of SQL."""
    folder = model.original_file_path.rpartition("/")[0]
    return re.sub("^(models/intermediate|python_models|models)/", "", folder)


@check
def check_model_reads_rooms_above(model, ctx, *, rooms: list[str]):
    """A model stands in one of the rooms, and reads that room and those above it."""
    room = room_of(model)
    if room not in rooms:
        fail(f"`{model.name}` stands in {room}, which is no room.")
    open_to_it = rooms[: rooms.index(room) + 1]
    models = ctx.models_by_unique_id
    for parent in [models[each] for each in model.depends_on.nodes if each in models]:
        if room_of(parent) not in open_to_it:
            read = f"`{parent.name}` of {room_of(parent)}"
            fail(f"`{model.name}` of {room} reads {read}, a room below it.")


@check
def check_model_has_tested_key(model, ctx):
    """A column is tested to be unique and not_null, or several a unique_combination."""
    tested: dict[str, set[str | None]] = {}
    for test in ctx.tests_by_attached_node.get(model.unique_id, []):
        tested.setdefault(test.test_metadata.name, set()).add(test.column_name)
    one_column = tested.get("unique", set()) & tested.get("not_null", set())
    if not one_column and None not in tested.get("unique_combination", set()):
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
