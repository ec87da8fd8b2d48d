"""Binary operators between scalars and vectors, at every step at once."""

from collections.abc import Callable
from typing import Any

import numpy as np

from promql.columns import Floats, Int64s, Labels, Mask, runs
from promql.errors import EXECUTION, PromqlError
from promql.matching import Keys, count, merge
from promql.plan import Matching
from promql.result import Scalar, Vector
from promql.series import METADATA, drop_name, prune, shown, signature, unique
from promql.windows import Check

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
COMPARISON: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}


def _apply(op: str, left: Floats, right: Floats, kept: Floats, return_bool: bool) -> tuple[Floats, Mask]:
    """Return (values, which stay). A comparison filters `kept`, or with bool gives 0 and 1."""
    if op in ARITHMETIC:
        values = np.asarray(ARITHMETIC[op](left, right), np.float64)
        return values, np.ones(values.shape, np.bool_)
    truth = np.asarray(COMPARISON[op](left, right))
    if return_bool:
        return truth.astype(np.float64), np.ones(truth.shape, np.bool_)
    return np.broadcast_to(kept, truth.shape), truth


def scalars(op: str, left: Scalar, right: Scalar) -> Scalar:
    """Return the operator between scalars; comparisons are always bool."""
    return Scalar(_apply(op, left.values, right.values, left.values, True)[0])


def vector_scalar(op: str, vector: Vector, scalar: Scalar, swapped: bool, return_bool: bool) -> Vector:
    """Return the operator between a vector and a scalar; swapped: the scalar stands on the left."""
    left, right = (scalar.values, vector.values) if swapped else (vector.values, scalar.values)
    values, keep = _apply(op, left, right, vector.values, return_bool)
    filters = op in COMPARISON and not return_bool
    labels = vector.labels if filters else drop_name(vector.labels)
    return unique(Vector(labels, values, vector.present & keep))


def vector_vector(
    op: str,
    left: Vector,
    right: Vector,
    matching: Matching,
    return_bool: bool,
    allow: Callable[[int], None],
    check: Check,
) -> Vector:
    """Return the operator between vectors, as matching says.

    allow: raises PromqlError for more series than there may be: every one of many may meet several of the other side.
    check: called as the work goes on. Raises EXECUTION where two series of a side of which there should be one are
    present at a step.
    """
    swapped = matching.card == "one-to-many"
    many, one = (right, left) if swapped else (left, right)
    keys = Keys.of(many, one, matching)
    check()
    _refuse_duplicates(many, one, keys, "left" if swapped else "right")
    check()
    # Rows of the one side become one row per match group, or more where labels to include differ.
    places: dict[tuple[int, tuple[str, ...]], int] = {}
    variants = np.array(
        [
            places.setdefault((key, tuple(labels.get(name, "") for name in matching.include)), len(places))
            for key, labels in zip(keys.right.tolist(), one.labels, strict=True)
        ],
        np.int64,
    )
    values, there = merge(one, variants, len(places))
    rows, others = _pairs(keys.left, np.array([key for key, _ in places], np.int64), allow)
    check()
    sides = (values[others], many.values[rows]) if swapped else (many.values[rows], values[others])
    result, keep = _apply(op, *sides, sides[0], return_bool)
    check()
    keep = keep & many.present[rows] & there[others]
    included = [texts for _, texts in places]
    labels = [
        _result_labels(many.labels[row], included[other], matching, op, return_bool)
        for row, other in zip(rows.tolist(), others.tolist(), strict=True)
    ]
    check()
    _refuse_many(keep, keys.left[rows], labels, matching)
    check()
    return unique(prune(Vector(labels, result, keep)))


def _pairs(keys: Int64s, variants: Int64s, allow: Callable[[int], None]) -> tuple[Int64s, Int64s]:
    """Return every (row, variant) of equal key; keys, variants: the key of each. allow: told how many, before."""
    order = np.argsort(variants, kind="stable")
    ranked = variants[order]
    low, high = np.searchsorted(ranked, keys, side="left"), np.searchsorted(ranked, keys, side="right")
    sizes = high - low
    allow(int(sizes.sum()))
    rows = np.repeat(np.arange(len(keys)), sizes)
    return rows, order[runs(low, sizes)]


def _refuse_duplicates(many: Vector, one: Vector, keys: Keys, side: str) -> None:
    # Where one vector is empty, nothing is matched and nothing is wrong.
    met = many.present.any(axis=0) & one.present.any(axis=0)
    twice = (count(one.present, keys.right, len(keys.signatures)) > 1) & met
    if not twice.any():
        return
    key, step = (int(index[0]) for index in np.nonzero(twice))
    first, second = np.flatnonzero((keys.right == key) & one.present[:, step])[:2].tolist()
    raise PromqlError(
        EXECUTION,
        f"found duplicate series for the match group {shown(dict(keys.signatures[key]))} on the {side} hand-side of "
        f"the operation: [{shown(one.labels[second])}, {shown(one.labels[first])}];many-to-many matching not allowed: "
        "matching labels must be unique on one side",
    )


def _refuse_many(present: Mask, keys: Int64s, labels: list[Labels], matching: Matching) -> None:
    """Refuse two results of one match group at a step; with group_left and group_right, two of equal labels."""
    if matching.card == "one-to-one":
        groups, why = keys, "many-to-one matching must be explicit (group_left/group_right)"
    else:
        places: dict[object, int] = {}
        pairs = zip(keys.tolist(), labels, strict=True)
        groups = np.array([places.setdefault((key, signature(one)), len(places)) for key, one in pairs], np.int64)
        why = "grouping labels must ensure unique matches"
    size = int(groups.max()) + 1 if len(groups) else 0
    if (count(present, groups, size) > 1).any():
        raise PromqlError(EXECUTION, f"multiple matches for labels: {why}")


def _result_labels(labels: Labels, included: tuple[str, ...], matching: Matching, op: str, return_bool: bool) -> Labels:
    """Return the labels of a result, from the side of which there may be many and those included from the other."""
    drops: frozenset[str] = METADATA if op in ARITHMETIC else frozenset()
    found = {name: value for name, value in labels.items() if name not in drops}
    if matching.card == "one-to-one":
        found = {name: value for name, value in found.items() if (name in matching.labels) == matching.on}
    for name, value in zip(matching.include, included, strict=True):
        if value:
            found[name] = value
        else:
            found.pop(name, None)
    return drop_name([found])[0] if return_bool else found
