"""Samples of several series that have become one: sums within a timestamp, and repeats dropped.

A sum is of the samples that are there. A timestamp at which all members are stale is stale, one without any is empty.
Sums are right for counters, histogram buckets and gauges that count things; a reset of one member shows in the sum as a
fall, as if a part of it had been reset.
"""

import numpy as np

from schemas.columns import Int64s, UInt32s
from schemas.nan import MISSING, STALE, Floats, Mask, is_missing, is_stale
from schemas.runs import first_of_run, last_of_run
from udfs.gate.members import Positions


def dense(values: Floats, heads: Positions) -> Floats:
    """Return (T, S) of (T, M): columns from heads[i] to heads[i + 1] are added up."""
    stale = is_stale(values)
    absent = is_missing(values) | stale
    sums = np.add.reduceat(np.where(absent, 0.0, values), heads, axis=1)
    return _marked(
        sums, np.add.reduceat(~absent, heads, axis=1, dtype=np.intp) > 0, np.logical_or.reduceat(stale, heads, axis=1)
    )


def sparse(index: UInt32s, stamps: Int64s, values: Floats) -> tuple[UInt32s, Int64s, Floats]:
    """Return the columns with entries of one series and timestamp added up."""
    order = np.lexsort((stamps, index))
    first = first_of_run(index[order], stamps[order])
    if first.all():
        return index, stamps, values
    index, stamps, values = index[order], stamps[order], values[order]
    heads = np.flatnonzero(first)
    merged = dense(values[None, :], heads)[0]
    return index[heads], stamps[heads], merged


def last(index: UInt32s, stamps: Int64s) -> Mask | None:
    """Return which entries stay if of those with one series and timestamp the last does; None if all differ."""
    order = np.lexsort((stamps, index))
    later = last_of_run(index[order], stamps[order])
    if later.all():
        return None
    kept = np.zeros(len(order), dtype=bool)
    kept[order] = later
    return kept


def _marked(sums: Floats, present: Mask, stale: Mask) -> Floats:
    out = np.where(present, sums, 0.0).view(np.uint64)
    out[~present & stale] = STALE.view(np.uint64)[0]
    out[~present & ~stale] = MISSING.view(np.uint64)[0]
    return out.view(np.float64)
