"""The set operators and, or, unless: which series stay, step by step."""

import numpy as np

from promql.matching import Keys, count
from promql.plan import Matching
from promql.result import Vector
from promql.series import prune, unique
from promql.windows import Check

SETS = frozenset({"and", "or", "unless"})


def sets(op: str, left: Vector, right: Vector, matching: Matching, check: Check) -> Vector:
    """Return left where right has a match (and), where it has none (unless), or left and what right adds (or).

    check: called as the work goes on.
    """
    keys = Keys.of(left, right, matching)
    check()
    size = len(keys.signatures)
    if op == "or":
        taken = count(left.present, keys.left, size) > 0
        check()
        added = right.present & ~taken[keys.right]
        values, present = np.concatenate([left.values, right.values]), np.concatenate([left.present, added])
        return unique(prune(Vector([*left.labels, *right.labels], values, present)))
    matched = (count(right.present, keys.right, size) > 0)[keys.left]
    return prune(Vector(left.labels, left.values, left.present & (matched if op == "and" else ~matched)))
