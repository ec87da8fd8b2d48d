"""Weights at the gate: distributions judged one by one, plain samples freed of the column.

A distribution is all entries of one batch with one series and timestamp. It passes or is refused whole: one that lacks
a value would be another distribution. Its neighbours pass.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from schemas.batch import WEIGHTS, Batch, decode_series_set
from schemas.nan import Mask
from schemas.reason import Reason
from schemas.runs import first_of_run
from udfs.gate.limits import Limits
from udfs.gate.refusal import Refusal

Judged = tuple[Batch, list[Refusal]]


def plain(batch: Batch) -> Judged:
    """Return a batch of series of other types without weights: weight 1 is a sample, any other is refused."""
    if batch.weights is None:
        return batch, []
    odd = batch.weights != 1
    kept = replace(batch.at(~odd), weights=None)
    if not odd.any():
        return kept, []
    where = int(np.flatnonzero(odd)[0])
    value = f"{_name(batch, where)}: weight {batch.weights[where]}"
    return kept, [Refusal(Reason.DISTRIBUTION_TYPE, value, samples=int(odd.sum()))]


def distributions(batch: Batch, limits: Limits) -> Judged:
    """Return a batch of series of type distribution, sparse and with weights; without them each value weighs 1."""
    if batch.weights is None or batch.index is None:
        index, stamps, values = batch.points()
        weights = np.ones(len(index), np.uint32)
        batch = replace(batch, index=index, timestamps=stamps, values=values, weights=weights)
    if not len(batch.timestamps):
        return batch, []
    refusals, refused = [], np.zeros(len(batch.timestamps), dtype=bool)
    for reason, bad, limit in _faults(batch, limits):
        fresh = bad & ~refused
        if fresh.any():
            where = int(np.flatnonzero(fresh)[0])
            refusals.append(Refusal(reason, _offender(batch, reason, where), limit, samples=int(fresh.sum())))
            refused |= fresh
    return (batch.at(~refused) if refusals else batch), refusals


def _faults(batch: Batch, limits: Limits) -> list[tuple[Reason, Mask, str]]:
    """Return (reason, entries of the distributions that it hits, limit)."""
    assert batch.index is not None  # distributions() made it so
    assert batch.weights is not None
    order = np.lexsort((batch.timestamps, batch.index))
    head = first_of_run(batch.index[order], batch.timestamps[order])
    owner = np.empty(len(order), dtype=np.intp)
    owner[order] = np.cumsum(head) - 1
    count = int(head.sum())

    def some(bad: Mask) -> npt.NDArray[np.bool_]:
        return np.bincount(owner, bad, count) > 0

    total = np.bincount(owner, batch.weights, count)
    return [
        (Reason.DISTRIBUTION_VALUE, some(~np.isfinite(batch.values))[owner], "finite numbers"),
        (Reason.WEIGHT, (some(batch.weights == 0) | (total >= WEIGHTS))[owner], f"1 to {WEIGHTS - 1}, in all"),
        (Reason.CENTROIDS, (np.bincount(owner) > limits.max_centroids)[owner], f"{limits.max_centroids} values"),
    ]


def _offender(batch: Batch, reason: Reason, where: int) -> str:
    """Return what of the distribution that `where` belongs to is shown."""
    assert batch.index is not None  # as in _faults
    assert batch.weights is not None
    mine = (batch.index == batch.index[where]) & (batch.timestamps == batch.timestamps[where])
    values, weights = batch.values[mine], batch.weights[mine].astype(np.uint64)
    if reason is Reason.DISTRIBUTION_VALUE:
        shown = f"value {values[~np.isfinite(values)][0]}"
    elif reason is Reason.WEIGHT:
        shown = f"weights that sum to {weights.sum()}" if weights.all() else "weight 0"
    else:
        shown = f"{len(values)} values"
    return f"{_name(batch, where)} at {batch.timestamps[where]} ms: {shown}"


def _name(batch: Batch, where: int) -> str:
    """Return the metric of an entry; the set is decoded for a refusal only."""
    assert batch.index is not None  # entries have one
    return decode_series_set(batch.series_set)[int(batch.index[where])].name
