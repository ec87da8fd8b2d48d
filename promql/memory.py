"""A source in memory: for tests, and for callers that already hold the samples."""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from promql.columns import Columns, Floats, Int64s, Labels, Selector
from promql.match import matches
from promql.quantile import segment_quantiles
from promql.tiers import Digests, Rows

Series = tuple[Labels, Int64s, Floats]


def columns(series: Iterable[Series]) -> Columns:
    """Return the columns of series given one by one as (labels, timestamps, values)."""
    rows = list(series)
    sizes = [len(timestamps) for _, timestamps, _ in rows]
    return Columns(
        labels=[labels for labels, _, _ in rows],
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        timestamps=np.concatenate([np.empty(0, np.int64), *(timestamps for _, timestamps, _ in rows)]),
        values=np.concatenate([np.empty(0, np.float64), *(values for _, _, values in rows)]),
    )


class MemorySource:
    """Holds series and selects from them. Timestamps must rise strictly within a series."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._series = [(labels, np.asarray(ts, np.int64), np.asarray(vs, np.float64)) for labels, ts, vs in series]

    def select(self, selector: Selector) -> Columns:
        """Return the samples of the matching series within the selector's time."""
        chosen = []
        for labels, timestamps, values in self._series:
            if matches(selector, labels):
                low, high = np.searchsorted(timestamps, [selector.start_ms, selector.end_ms], side="right")
                chosen.append((labels, timestamps[low:high], values[low:high]))
        return columns(chosen)


class MemoryRows:
    """Rolls samples (ms, value) of series up, one window at a time: plain Python, no code of the jobs."""

    def __init__(self, series: Iterable[tuple[Labels, Sequence[tuple[int, float]]]], width_ms: int) -> None:
        self.width_ms = width_ms
        self._series = list(series)

    def rows(self, selector: Selector, fields: frozenset[str]) -> Rows:
        """Return the rows of the matching series whose windows end in (start, end]."""
        labels, sizes, ends = [], [0], []
        states: list[list[float]] = []
        columns: dict[str, list[float]] = {name: [] for name in fields - {"digest"}}
        for one, samples in self._series:
            if not matches(selector, one):
                continue
            windows: dict[int, list[tuple[int, float]]] = {}
            for at, value in samples:
                windows.setdefault(-(-at // self.width_ms) * self.width_ms, []).append((at, value))
            mine = {end: windows[end] for end in sorted(windows) if selector.start_ms < end <= selector.end_ms}
            labels.append(one)
            sizes.append(len(mine))
            ends += list(mine)
            for held in mine.values():
                row = self._row(held)
                states.append([value for _, value in held])
                for name in fields - {"digest"}:
                    columns[name].append(row[name])
        return Rows(
            labels,
            np.cumsum(sizes),
            np.array(ends, np.int64),
            {name: np.array(values, np.float64) for name, values in columns.items()},
            Digests(
                np.array([value for one in states for value in one], np.float64).view(np.uint8),
                np.cumsum([0, *(8 * len(one) for one in states)]),
            ),
        )

    def quantiles(self, digests: Digests, low: Int64s, high: Int64s, level: float) -> Floats:
        """Return the quantiles: memory's digests are all values, and exact."""
        bounds = digests.boundaries // 8
        sizes = bounds[high] - bounds[low]
        values = digests.states.view(np.float64)
        parts = [values[bounds[one] : bounds[other]] for one, other in zip(low, high, strict=True)]
        whole = np.concatenate([np.empty(0), *parts])
        return segment_quantiles(whole, sizes, np.full(len(sizes), level))

    def _row(self, held: list[tuple[int, float]]) -> dict[str, float]:
        values = [value for _, value in held]
        grown = sum(b if b < a else b - a for a, b in itertools.pairwise(values))
        return {
            "count": float(len(held)),
            "sum": math.fsum(values),
            "min": min(values),
            "max": max(values),
            "first": values[0],
            "last": values[-1],
            "first_ts": float(held[0][0]),
            "last_ts": float(held[-1][0]),
            "increase": grown,
        }
