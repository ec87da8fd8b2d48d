"""count_values: how many series of a group have each value, with the value as a label."""

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from promql.columns import NAME, Floats, Int64s, Labels, Mask
from promql.errors import EXECUTION, PromqlError
from promql.relabel import valid_name
from promql.result import Vector
from promql.series import Signature, quoted, signature
from promql.windows import Check

# Cells whose values are told apart at once: a quarter of a second.
SLICE = 1 << 20


def count_values(
    vector: Vector, label: str, names: tuple[str, ...], without: bool, allow: Callable[[int], None], check: Check
) -> Vector:
    """Return one series for each group and value; label takes the value's text and is one of the names of `by`.

    allow: raises PromqlError for more series than there may be: here they may be more than were selected. check: called
    as the work goes on.
    """
    if not valid_name(label):
        raise PromqlError(EXECUTION, f"invalid label name {quoted(label)}")
    kept = label not in (*names, NAME) if without else True
    groups: dict[Signature, int] = {}
    owners = np.array(
        [groups.setdefault(signature(_group(one, label, names, without)), len(groups)) for one in vector.labels],
        np.int64,
    )
    size = vector.values.shape[1]
    found: dict[tuple[int, int], int] = {}
    parts = []
    width = max(1, SLICE // max(len(owners), 1))
    for first in range(0, size, width):
        check()
        part = slice(first, min(first + width, size))
        pairs, rows, steps = _pairs(vector.values[:, part], vector.present[:, part], owners, kept)
        places = np.array([found.setdefault(pair, len(found)) for pair in pairs], np.int64)
        allow(len(found))
        wide = part.stop - first
        cells = places[rows] * wide + steps if len(rows) else rows
        parts.append(np.bincount(cells, minlength=len(found) * wide).reshape(len(found), wide))
    counts = np.zeros((len(found), size))
    for first, part_counts in zip(range(0, size, width), parts, strict=True):
        counts[: len(part_counts), first : first + width] = part_counts
    return _ordered(found, list(groups), label if kept else "", counts)


def _pairs(
    values: Floats, present: Mask, owners: Int64s, kept: bool
) -> tuple[list[tuple[int, int]], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the (group, value's bits) that there are, and of each present cell which of them it is, and its step."""
    rows, steps = np.nonzero(present)
    numbers = np.where(np.isnan(values[rows, steps]), np.nan, values[rows, steps])
    # By their bits: 0 and -0 have different texts.
    bits, places = np.unique(numbers.view(np.uint64) if kept else np.zeros(len(rows), np.uint64), return_inverse=True)
    size = max(len(bits), 1)
    pairs, places = np.unique(owners[rows] * size + places.reshape(-1), return_inverse=True)
    return list(zip((pairs // size).tolist(), bits[pairs % size].tolist(), strict=True)), places.reshape(-1), steps


def _ordered(found: dict[tuple[int, int], int], groups: list[Signature], label: str, counts: Floats) -> Vector:
    """Return the counts, a row each, in the order of groups and of values' bits; label "": values are not shown."""
    pairs = sorted(found)
    labels: list[Labels] = [dict(groups[owner]) for owner, _ in pairs]
    if label:
        values = np.array([bits for _, bits in pairs], np.uint64).view(np.float64).tolist()
        for one, value in zip(labels, values, strict=True):
            one[label] = decimal(value)
    rows = np.array([found[pair] for pair in pairs], np.int64)
    return Vector(labels, counts[rows], counts[rows] > 0)


def _group(labels: Labels, label: str, names: tuple[str, ...], without: bool) -> Labels:
    if without:
        return {name: value for name, value in labels.items() if name not in (*names, NAME, label)}
    return {name: value for name, value in labels.items() if name in names and name != label}


def decimal(value: float) -> str:
    """Return the shortest digits of a number, without an exponent."""
    if np.isnan(value) or np.isinf(value):
        return "NaN" if np.isnan(value) else f"{value:+}".replace("inf", "Inf")
    text = f"{Decimal(repr(value)):f}"
    return text.removesuffix(".0")
