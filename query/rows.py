"""Rows of samples as table samples has them, by span, series and time, made columns by series and time. Pure."""

import numpy as np
import numpy.typing as npt

from promql.columns import Columns, Labels, runs
from schemas.runs import first_of_run

# (series id, ms, value), a row each.
Rows = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


def conflicting(ids: npt.NDArray[np.uint64], ms: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> bool:
    """Tell whether a sample comes twice with different values, bit by bit."""
    bits = values.view(np.uint64)
    return bool((~first_of_run(ids, ms)[1:] & (bits[1:] != bits[:-1])).any())


def by_series(
    known: npt.NDArray[np.uint64],
    ids: npt.NDArray[np.uint64],
    ms: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> Rows:
    """Return rows that stand by span, series and time in the order of the known series and of time, others last."""
    starts = np.flatnonzero(first_of_run(ids))
    place = _places(known, ids[starts])
    if (place[1:] >= place[:-1]).all():
        return ids, ms, values
    sizes = np.diff(np.append(starts, len(ids)))
    turn = np.argsort(place, kind="stable")
    rows = runs(starts[turn], sizes[turn])
    return ids[rows], ms[rows], values[rows]


def _places(known: npt.NDArray[np.uint64], ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Return where each id is among the known ones; their number for one that is not."""
    if not len(known):
        return np.zeros(len(ids), np.intp)
    order = np.argsort(known, kind="stable")
    near = order[np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)]
    return np.where(known[near] == ids, near, len(known))


def grouped(
    known: npt.NDArray[np.uint64],
    labels: list[Labels],
    ids: npt.NDArray[np.uint64],
    ms: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> Columns:
    """Return rows sorted by series and time as columns, each sample once; rows of unknown series are left out."""
    keep = first_of_run(ids, ms)
    if not keep.all():
        ids, ms, values = ids[keep], ms[keep], values[keep]
    chosen, offsets, there = placed(known, ids)
    if not there.all():
        ms, values = ms[there], values[there]
    return Columns([labels[row] for row in chosen], offsets, ms, values)


def placed(
    known: npt.NDArray[np.uint64], ids: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return (place of each series found among the known, its rows' offsets, which rows are of a known series).

    ids: of rows that stand by series.
    """
    starts = np.flatnonzero(first_of_run(ids))
    sizes = np.diff(np.append(starts, len(ids)))
    place = _places(known, ids[starts])
    there = place < len(known)
    offsets = np.concatenate([[0], np.cumsum(sizes[there])]).astype(np.int64)
    return place[there], offsets, np.repeat(there, sizes)
