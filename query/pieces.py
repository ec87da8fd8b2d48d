"""Vectors over parts of a range, cut out of and put together into whole ones."""

from collections.abc import Sequence

import numpy as np

from promql.columns import Labels
from promql.result import Vector
from promql.series import Signature, prune, signature
from query.blocks import Steps


def cut(vector: Vector, have: Steps, want: Steps) -> Vector:
    """Return the steps `want` of a vector over `have`, which holds them all."""
    first = (want.first_ms - have.first_ms) // have.step_ms
    part = slice(first, first + want.size)
    return prune(Vector(vector.labels, vector.values[:, part], vector.present[:, part]))


def join(pieces: Sequence[tuple[Steps, Vector]], want: Steps) -> Vector:
    """Return one vector over `want` from pieces that cover it; what reaches beyond is cut off."""
    places: dict[Signature, int] = {}
    labels: list[Labels] = []
    rows = []
    for _, vector in pieces:
        mine = np.empty(len(vector.labels), np.int64)
        for row, one in enumerate(vector.labels):
            mine[row] = place = places.setdefault(signature(one), len(labels))
            if place == len(labels):
                labels.append(one)
        rows.append(mine)
    values = np.zeros((len(labels), want.size))
    present = np.zeros((len(labels), want.size), np.bool_)
    for (have, vector), mine in zip(pieces, rows, strict=True):
        low = max(have.first_ms, want.first_ms)
        high = min(have.last_ms, want.last_ms)
        if low > high:
            continue
        size = (high - low) // want.step_ms + 1
        source = (low - have.first_ms) // want.step_ms
        target = (low - want.first_ms) // want.step_ms
        values[mine, target : target + size] = vector.values[:, source : source + size]
        present[mine, target : target + size] = vector.present[:, source : source + size]
    return prune(Vector(labels, values, present))
