"""How series of two vectors find each other: by the labels that on() names, or by all but those of ignoring()."""

from dataclasses import dataclass

import numpy as np

from promql.columns import NAME, Floats, Int64s, Labels, Mask
from promql.plan import Matching
from promql.result import Vector
from promql.series import Signature, signature


@dataclass(frozen=True, slots=True)
class Keys:
    """The match group of every series of both sides: left, right hold an index into signatures each."""

    signatures: list[Signature]
    left: Int64s
    right: Int64s

    @classmethod
    def of(cls, left: Vector, right: Vector, matching: Matching) -> "Keys":
        """Return the keys of two vectors."""
        places: dict[Signature, int] = {}
        rows = [
            np.array([places.setdefault(_key(one, matching), len(places)) for one in labels], np.int64)
            for labels in (left.labels, right.labels)
        ]
        return cls(list(places), rows[0], rows[1])


def _key(labels: Labels, matching: Matching) -> Signature:
    if matching.on:
        return tuple((name, labels[name]) for name in matching.labels if name in labels)
    return signature({name: v for name, v in labels.items() if name != NAME and name not in matching.labels})


def count(present: Mask, groups: Int64s, size: int) -> Int64s:
    """Return how many rows of each group are present at each step, int64 [size, T]."""
    steps = present.shape[1]
    if _single(groups, size):
        counts = np.zeros((size, steps), np.int64)
        counts[groups] = present
        return counts
    rows, at = np.nonzero(present)
    return np.bincount(groups[rows] * steps + at, minlength=size * steps).reshape(size, steps).astype(np.int64)


def merge(vector: Vector, groups: Int64s, size: int) -> tuple[Floats, Mask]:
    """Return one row per group, [size, T]; at most one row of a group may be present at a step."""
    values = np.zeros((size, vector.values.shape[1]))
    present = np.zeros(values.shape, np.bool_)
    if _single(groups, size):
        values[groups], present[groups] = vector.values, vector.present
    else:
        rows, at = np.nonzero(vector.present)
        values[groups[rows], at] = vector.values[rows, at]
        present[groups[rows], at] = True
    return values, present


def _single(groups: Int64s, size: int) -> bool:
    """Tell whether no group has two rows: the usual case, and the cheap one."""
    return not len(groups) or int(np.bincount(groups, minlength=size).max()) <= 1
