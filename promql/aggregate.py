"""Aggregations over series: rows of equal group are put beside each other, then reduced step by step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promql.annotations import Annotations, general
from promql.columns import NAME, Floats, Labels, Mask
from promql.count_values import count_values
from promql.errors import EXECUTION, PromqlError
from promql.quantile import segment_quantiles
from promql.result import Scalar, String, Vector
from promql.series import signature
from promql.sums import mend, mend_mean
from promql.windows import Check

# Cells that are reduced at once: half a second of the slowest, and little memory.
SLICE = 1 << 20


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows sorted by group. labels: G maps. starts: int64 [G], first row of each. values, present: [S, T].

    check: called as the work goes on; it raises where nobody waits for the answer any more.
    """

    labels: list[Labels]
    starts: npt.NDArray[np.int64]
    values: Floats
    present: Mask
    check: Check

    def sizes(self) -> npt.NDArray[np.int64]:
        """Return rows per group, [G]."""
        return np.diff(np.append(self.starts, len(self.values)))

    def reduce(self, ufunc: np.ufunc, rows: Floats) -> Floats:
        """Return the ufunc reduced over the rows of each group, [G, T]."""
        result: Floats = ufunc.reduceat(rows, self.starts, axis=0)
        return result

    def total(self, rows: Floats) -> Floats:
        """Return the sum over the rows of each group, [G, T].

        bincount adds row by row, so that an absent series (a row of zeros, or no row at all) changes no bit of the
        sum; reduceat adds pairwise, and a cached answer could then differ from a fresh one in the last digit.
        """
        size = rows.shape[1]
        owner = np.repeat(np.arange(len(self.labels)) * size, self.sizes())
        cells = (owner[:, None] + np.arange(size)).reshape(-1)
        flat = np.bincount(cells, weights=rows.reshape(-1), minlength=len(self.labels) * size)
        return np.asarray(flat, np.float64).reshape(len(self.labels), size)

    def count(self) -> Floats:
        """Return present rows per group and step, [G, T]."""
        return self.total(self.present.astype(np.float64))

    def segment(self, index: int) -> Floats:
        """Return the present values behind one cell of [G, T], given by its flat index."""
        # Whoever asks adds it term by term.
        self.check()
        group, step = divmod(index, self.values.shape[1])
        rows = slice(self.starts[group], self.starts[group] + self.sizes()[group])
        values: Floats = self.values[rows, step]
        chosen: Floats = values[self.present[rows, step]]
        return chosen


def _group_of(labels: Labels, names: frozenset[str], without: bool) -> Labels:
    if without:
        return {name: value for name, value in labels.items() if name not in names and name != NAME}
    return {name: value for name, value in labels.items() if name in names}


@dataclass(frozen=True, slots=True)
class Grouping:
    """labels: G maps. starts: int64 [G], the first place of each in order: int64 [S], the vector's rows by group."""

    labels: list[Labels]
    starts: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]

    def slices(self, vector: Vector, check: Check) -> Iterator[tuple[Groups, slice]]:
        """Yield the groups at some of the steps after the other: none of them knows of another."""
        size = vector.values.shape[1]
        width = max(1, SLICE // len(self.order))
        for first in range(0, size, width):
            check()
            part = slice(first, min(first + width, size))
            present = vector.present[self.order, part]
            # Absent cells hold garbage; 0 keeps them out of sums.
            values = np.where(present, vector.values[self.order, part], 0.0)
            yield Groups(self.labels, self.starts, values, present, check), part


def _grouping(vector: Vector, names: tuple[str, ...], without: bool) -> Grouping:
    chosen = frozenset(names)
    labels: list[Labels] = []
    places: dict[object, int] = {}
    rows = np.empty(len(vector.labels), np.int64)
    for row, one in enumerate(vector.labels):
        group = _group_of(one, chosen, without)
        place = places.setdefault(signature(group), len(labels))
        if place == len(labels):
            labels.append(group)
        rows[row] = place
    order = np.argsort(rows, kind="stable")
    return Grouping(labels, np.searchsorted(rows[order], np.arange(len(labels))), order)


def _sum(groups: Groups) -> Floats:
    return mend(groups.values, groups.total(groups.values), groups.total, groups.segment)


def _avg(groups: Groups) -> Floats:
    total = groups.total(groups.values)
    return mend_mean(groups.values, total, groups.count(), groups.total, groups.segment)


def _min(groups: Groups) -> Floats:
    return groups.reduce(np.fmin, np.where(groups.present, groups.values, np.nan))


def _max(groups: Groups) -> Floats:
    return groups.reduce(np.fmax, np.where(groups.present, groups.values, np.nan))


def _group(groups: Groups) -> Floats:
    return np.ones((len(groups.labels), groups.values.shape[1]))


def _stdvar(groups: Groups) -> Floats:
    # Relative to one of the values: equal values then have a variance of exactly 0.
    count = np.maximum(groups.count(), 1)
    off = np.where(groups.present, groups.values - np.repeat(_min(groups), groups.sizes(), axis=0), 0.0)
    mean = np.repeat(groups.total(off) / count, groups.sizes(), axis=0)
    squares = groups.total(np.where(groups.present, (off - mean) ** 2, 0.0))
    return np.divide(squares, count)


def _stddev(groups: Groups) -> Floats:
    return np.sqrt(_stdvar(groups))


_INT64 = 2.0**63

_REDUCERS: dict[str, Callable[[Groups], Floats]] = {
    "sum": _sum,
    "avg": _avg,
    "min": _min,
    "max": _max,
    "count": Groups.count,
    "group": _group,
    "stdvar": _stdvar,
    "stddev": _stddev,
}


def _quantile(groups: Groups, level: Floats) -> Floats:
    count = groups.count().T.astype(np.int64)
    some = count > 0
    levels = np.broadcast_to(level[:, None], count.shape)
    out = np.zeros(count.shape)
    values = groups.values.T[groups.present.T]
    if len(values):
        out[some] = segment_quantiles(values, count[some], levels[some])
    return out.T


def _ranked(vector: Vector, grouping: Grouping, limit: Floats, sign: int, check: Check) -> Vector:
    """Return the `limit` best rows of each group and step: topk with sign -1, bottomk with sign 1."""
    keep = np.empty(vector.present.shape, np.bool_)
    best = grouping.order
    for groups, part in grouping.slices(vector, check):
        best, rank = _ranks(groups, sign)
        keep[grouping.order, part] = groups.present & (rank < limit[part])
    rows = grouping.order[best[:, 0]] if vector.values.shape[1] == 1 else grouping.order
    rows = rows[keep[rows].any(axis=1)]
    return Vector([vector.labels[row] for row in rows], vector.values[rows], keep[rows])


def _ranks(groups: Groups, sign: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the places of each group's rows at each step, the best first, and the rank of each row, both [S, T]."""
    owner = np.repeat(np.arange(len(groups.labels)), groups.sizes())
    keys = np.broadcast_to(owner[:, None], groups.values.shape)
    # NaN is the worst of all, absent cells come behind it; among equals the first series wins.
    best = np.lexsort((sign * groups.values, np.isnan(groups.values), ~groups.present, keys), axis=0)
    rank = np.empty(best.shape, np.int64)
    np.put_along_axis(rank, best, np.arange(len(owner))[:, None] - groups.starts[owner][:, None], axis=0)
    return np.asarray(best, np.int64), rank


def _whole(limit: Floats) -> Floats:
    """Return k as the whole number that Prometheus makes of it."""
    if np.isnan(limit).any():
        raise PromqlError(EXECUTION, "Parameter value is NaN")
    if limit.max() < 1:
        return np.zeros_like(limit)
    if limit.max() >= _INT64:
        raise PromqlError(EXECUTION, f"Scalar value {general(float(limit.max()))} overflows int64")
    if limit.min() <= -_INT64:
        raise PromqlError(EXECUTION, f"Scalar value {general(float(limit.min()))} underflows int64")
    whole: Floats = np.trunc(limit)
    return whole


def aggregate(
    op: str,
    vector: Vector,
    param: Scalar | String | None,
    names: tuple[str, ...],
    without: bool,
    notes: Annotations,
    allow: Callable[[int], None],
    check: Check,
) -> Vector:
    """Return the aggregation of a vector. param: k of topk and bottomk, level of quantile, label of count_values.

    allow: raises PromqlError for more series than there may be. check: called as the work goes on.
    """
    if isinstance(param, String):
        return count_values(vector, param.value, names, without, allow, check)
    if op == "quantile" and param is not None:
        notes.levels(param.values)
    # Of an empty vector too.
    limit = _whole(param.values) if op in ("topk", "bottomk") and param is not None else None
    if not vector.labels:
        return vector
    grouping = _grouping(vector, names, without)
    if limit is not None:
        return _ranked(vector, grouping, limit, -1 if op == "topk" else 1, check)
    shape = len(grouping.labels), vector.values.shape[1]
    values, present = np.empty(shape), np.empty(shape, np.bool_)
    for groups, part in grouping.slices(vector, check):
        present[:, part] = groups.count() > 0
        levels = param.values[part] if op == "quantile" and param is not None else None
        values[:, part] = _REDUCERS[op](groups) if levels is None else _quantile(groups, levels)
    return Vector(grouping.labels, values, present)


AGGREGATIONS = frozenset({*_REDUCERS, "topk", "bottomk", "quantile", "count_values"})
