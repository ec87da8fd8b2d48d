"""Rows of tiers as far as those are closed, then rows made of raw samples, as one: windows that begin before raw does.

Times, ranges and offsets are multiples of the first tier's width, so that each row lies in a window whole or not at
all, however wide it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from promql.columns import Columns, Floats, Int64s, Labels, Selector, Source, runs
from promql.series import Signature, signature
from promql.tiers import Digests, Rows, RowSource
from schemas.runs import first_of_run
from udfs.rollup.digest import encode, of_values


class Chain:
    """Implements promql.tiers.RowSource. closed: rows, and up to when they are asked for, ms, rising; at least one."""

    def __init__(self, closed: Sequence[tuple[RowSource, int]], raw: Source) -> None:
        self._closed = closed
        self._raw = raw
        # The widest.
        self.width_ms = closed[0][0].width_ms

    def rows(self, selector: Selector, fields: frozenset[str]) -> Rows:
        """Return the rows of all matching series."""
        parts, since = [], selector.start_ms
        for source, until in self._closed:
            end = min(until, selector.end_ms)
            if since < end:
                parts.append(source.rows(replace(selector, start_ms=since, end_ms=end), fields))
                since = end
        if since < selector.end_ms or not parts:
            samples = self._raw.select(replace(selector, start_ms=since))
            parts.append(rolled(samples, self.width_ms, fields))
        return united(parts)

    def quantiles(self, digests: Digests, low: Int64s, high: Int64s, level: float) -> Floats:
        """Return the quantile of each group of digests."""
        return self._closed[0][0].quantiles(digests, low, high, level)


def rolled(samples: Columns, width_ms: int, fields: frozenset[str]) -> Rows:
    """Return samples as the rows that their windows will become; NaN and staleness markers are no values."""
    number = ~np.isnan(samples.values)
    owner = np.repeat(np.arange(len(samples.labels)), np.diff(samples.offsets))[number]
    stamps, values = samples.timestamps[number], samples.values[number]
    ends = -(-stamps // width_ms) * width_ms
    starts = np.flatnonzero(first_of_run(owner, ends))
    bounds = np.append(starts, len(values))
    offsets = np.searchsorted(owner[starts], np.arange(len(samples.labels) + 1))
    none = np.empty(0)
    made: dict[str, Callable[[], npt.NDArray[np.number[Any]]]] = {
        "count": lambda: np.diff(bounds),
        "sum": lambda: np.add.reduceat(values, starts),
        "min": lambda: np.minimum.reduceat(values, starts),
        "max": lambda: np.maximum.reduceat(values, starts),
        "first": lambda: values[starts],
        "last": lambda: values[bounds[1:] - 1],
        "first_ts": lambda: stamps[starts],
        "last_ts": lambda: stamps[bounds[1:] - 1],
        "increase": lambda: _increase(values, starts),
    }
    numbers = {name: made[name]().astype(np.float64) if len(starts) else none for name in fields - {"digest"}}
    return Rows(samples.labels, offsets, ends[starts], numbers, _states(values, bounds) if "digest" in fields else None)


def _states(values: Floats, bounds: Int64s) -> Digests:
    states, offsets = encode(of_values(bounds, values))
    return Digests(states, offsets.astype(np.int64))


def _increase(values: Floats, starts: Int64s) -> Floats:
    """Return what a counter gained within each row; a fall is a reset."""
    step = np.diff(values, prepend=values[:1])
    step = np.where(step < 0, values, step)
    step[starts] = 0.0
    gained: Floats = np.add.reduceat(step, starts)
    return gained


def united(parts: Sequence[Rows]) -> Rows:
    """Return rows of several times, in their order, as one."""
    if len(parts) == 1:
        return parts[0]
    places: dict[Signature, int] = {}
    labels: list[Labels] = []
    owners = []
    for part in parts:
        mine = np.empty(len(part.labels), np.int64)
        for row, one in enumerate(part.labels):
            mine[row] = place = places.setdefault(signature(one), len(labels))
            if place == len(labels):
                labels.append(one)
        owners.append(np.repeat(mine, np.diff(part.offsets)))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    offsets = np.searchsorted(owner[order], np.arange(len(labels) + 1))
    fields = {name: np.concatenate([part.fields[name] for part in parts])[order] for name in parts[0].fields}
    states = [part.digests for part in parts if part.digests is not None]
    digests = _sorted(states, order) if len(states) == len(parts) else None
    return Rows(labels, offsets, np.concatenate([part.ends for part in parts])[order], fields, digests)


def _sorted(parts: Sequence[Digests], order: Int64s) -> Digests:
    """Return all states end to end, in this order."""
    sizes = np.concatenate([np.diff(part.boundaries) for part in parts]).astype(np.int64)
    begins = np.cumsum(sizes) - sizes
    states = np.concatenate([part.states for part in parts])[runs(begins[order], sizes[order])]
    return Digests(states, np.concatenate([[0], np.cumsum(sizes[order])]))
