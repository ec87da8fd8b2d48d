"""count_values: how many series of a group have each value, with the value as a label."""

from collections.abc import Callable
from decimal import Decimal

import numpy as np

from promql.columns import NAME, Labels
from promql.errors import EXECUTION, PromqlError
from promql.relabel import valid_name
from promql.result import Vector
from promql.series import Signature, quoted, signature


def count_values(
    vector: Vector, label: str, names: tuple[str, ...], without: bool, allow: Callable[[int], None]
) -> Vector:
    """Return one series for each group and value; label takes the value's text and is one of the names of `by`.

    allow: raises PromqlError for more series than there may be: here they may be more than were selected.
    """
    if not valid_name(label):
        raise PromqlError(EXECUTION, f"invalid label name {quoted(label)}")
    kept = label not in (*names, NAME) if without else True
    groups: dict[Signature, int] = {}
    owners = np.array(
        [groups.setdefault(signature(_group(one, label, names, without)), len(groups)) for one in vector.labels],
        np.int64,
    )
    rows, steps = np.nonzero(vector.present)
    size = vector.values.shape[1]
    if not len(rows):
        return Vector([], np.zeros((0, size)), np.zeros((0, size), np.bool_))
    values = np.where(np.isnan(vector.values[rows, steps]), np.nan, vector.values[rows, steps])
    # By their bits: 0 and -0 have different texts.
    bits, places = np.unique(values.view(np.uint64) if kept else np.zeros(len(rows), np.uint64), return_inverse=True)
    pairs, places = np.unique(owners[rows] * len(bits) + places.reshape(-1), return_inverse=True)
    allow(len(pairs))
    counts = np.bincount(places.reshape(-1) * size + steps, minlength=len(pairs) * size).reshape(-1, size)
    keys = list(groups)
    labels: list[Labels] = [dict(keys[owner]) for owner in (pairs // len(bits)).tolist()]
    if kept:
        for one, value in zip(labels, bits[pairs % len(bits)].view(np.float64).tolist(), strict=True):
            one[label] = decimal(value)
    return Vector(labels, counts.astype(np.float64), counts > 0)


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
