"""Suppression of small cells in the page and the summary."""

from collections.abc import Mapping, Sequence
from typing import Any

FEWEST = 10  # as var clv_min_cell
NOTHING = "–"


def marks(
    rows: Sequence[Mapping[str, Any]],
    people: str,
    fewest: int = FEWEST,
    whole: str | None = None,
) -> list[str]:
    """The mark shown instead of the count of each row; '' where the row is shown.

    Where rows with one value of `whole` (all rows, if it is '') are parts of a total
    that may be known, a hidden count would follow as a difference: the next smallest
    rows are hidden too, until there are two and their sum is not below `fewest`.
    """
    told = [""] * len(rows)
    groups: dict[Any, list[tuple[float, int]]] = {}
    for at, row in enumerate(rows):
        if row[people]:
            part = row[whole] if whole else None
            groups.setdefault(part, []).append((row[people], at))
    for cells in groups.values():
        cells.sort()
        few = [cell for cell in cells if cell[0] < fewest]
        for _, at in few:
            told[at] = f"<{fewest}"
        rest = cells[len(few) :]
        while whole is not None and few and rest:
            if len(few) > 1 and sum(size for size, _ in few) >= fewest:
                break
            few.append(rest.pop(0))
            told[few[-1][1]] = NOTHING
    return told


def shown(rows, people: str, fewest: int = FEWEST) -> list:
    """The rows with enough people, where they are not parts of a total."""
    hidden = marks(rows, people, fewest)
    return [row for row, mark in zip(rows, hidden, strict=True) if not mark]
