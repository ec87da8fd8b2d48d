"""Binary operators between scalars and vectors, at every step at once."""

from collections.abc import Callable
from typing import Any

import numpy as np

from promql.columns import NAME, Floats, Labels, Mask
from promql.errors import EXECUTION, PromqlError
from promql.plan import Matching
from promql.result import Scalar, Vector
from promql.series import Signature, drop_name, signature, unique

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


def vector_vector(op: str, left: Vector, right: Vector, matching: Matching, return_bool: bool) -> Vector:
    """Return the operator between vectors, one-to-one.

    Raises EXECUTION where two series of a side share the labels matched by, and both are present at a step.
    """
    right_rows = _by_signature(right, matching)
    merged = {key: _merge(right, rows, key) for key, rows in right_rows.items()}
    drops = return_bool or op in ARITHMETIC
    labels: list[Labels] = []
    values: list[Floats] = []
    present: list[Mask] = []
    for key, rows in _by_signature(left, matching).items():
        if key not in merged:
            continue
        other, there = merged[key]
        taken = np.zeros(there.shape, np.int64)
        for row in rows:
            result, keep = _apply(op, left.values[row], other, left.values[row], return_bool)
            keep = keep & left.present[row] & there
            taken += keep
            labels.append(_result_labels(left.labels[row], matching, drops))
            values.append(result)
            present.append(keep)
        if (taken > 1).any():
            raise PromqlError(
                EXECUTION,
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            )
    size = left.values.shape[1]
    return unique(Vector(labels, np.array(values).reshape(-1, size), np.array(present, np.bool_).reshape(-1, size)))


def _key(labels: Labels, matching: Matching) -> Signature:
    if matching.on:
        return tuple((name, labels.get(name, "")) for name in matching.labels)
    return signature({name: v for name, v in labels.items() if name != NAME and name not in matching.labels})


def _by_signature(vector: Vector, matching: Matching) -> dict[Signature, list[int]]:
    rows: dict[Signature, list[int]] = {}
    for row, labels in enumerate(vector.labels):
        rows.setdefault(_key(labels, matching), []).append(row)
    return rows


def _merge(vector: Vector, rows: list[int], key: Signature) -> tuple[Floats, Mask]:
    """Return the rows as one; only one of them may be present at a step."""
    if len(rows) == 1:
        return vector.values[rows[0]], vector.present[rows[0]]
    present = vector.present[rows]
    if (present.sum(axis=0) > 1).any():
        raise PromqlError(
            EXECUTION,
            f"found duplicate series for the match group {dict(key)} on the right hand-side of the operation; "
            "many-to-many matching not allowed: matching labels must be unique on one side",
        )
    return np.where(present, vector.values[rows], 0.0).sum(axis=0), present.any(axis=0)


def _result_labels(labels: Labels, matching: Matching, drops_name: bool) -> Labels:
    if matching.on:
        labels = {name: value for name, value in labels.items() if name in matching.labels}
    else:
        labels = {name: value for name, value in labels.items() if name not in matching.labels}
    return drop_name([labels])[0] if drops_name else labels
