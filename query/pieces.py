"""Vectors over parts of a range, cut out of and put together into whole ones."""

from collections.abc import Sequence

import numpy as np

from promql.columns import Labels
from promql.holding import VALUE
from promql.result import Vector
from promql.series import Signature, prune, signature
from query.blocks import Steps
from query.errors import refused
from query.spent import keep


def cut(vector: Vector, have: Steps, want: Steps) -> Vector:
    """Return the steps `want` of a vector over `have`, which holds them all."""
    first = (want.first_ms - have.first_ms) // have.step_ms
    part = slice(first, first + want.size)
    return prune(Vector(vector.labels, vector.values[:, part], vector.present[:, part]))


def join(pieces: Sequence[tuple[Steps, Vector]], want: Steps, max_cells: int) -> Vector:
    """Return one vector over `want` from pieces that cover it; what reaches beyond is cut off.

    Refused where it would have more than max_cells, as the whole evaluated at once would be.
    """
    parts = []
    for have, vector in pieces:
        low, high = max(have.first_ms, want.first_ms), min(have.last_ms, want.last_ms)
        if low <= high:
            part = Steps(low, high, want.step_ms)
            parts.append((part, cut(vector, have, part)))
    places: dict[Signature, int] = {}
    labels: list[Labels] = []
    rows = []
    for _, vector in parts:
        mine = np.empty(len(vector.labels), np.int64)
        for row, one in enumerate(vector.labels):
            mine[row] = place = places.setdefault(signature(one), len(labels))
            if place == len(labels):
                labels.append(one)
        rows.append(mine)
    if len(labels) * want.size > max_cells:
        limit = f"{max_cells} (TIDEGAUGE_QUERY_MAX_CELLS)"
        raise refused("TG-query-cells", f"{len(labels)} series x {want.size} steps are more than {limit}")
    # The parts were cut out of pieces, and are copied once more.
    keep(2 * len(labels) * want.size * VALUE)
    values = np.zeros((len(labels), want.size))
    present = np.zeros((len(labels), want.size), np.bool_)
    for (part, vector), mine in zip(parts, rows, strict=True):
        target = (part.first_ms - want.first_ms) // want.step_ms
        values[mine, target : target + part.size] = vector.values
        present[mine, target : target + part.size] = vector.present
    return Vector(labels, values, present)
