"""A source in memory: for tests, and for callers that already hold the samples."""

from collections.abc import Iterable

import numpy as np

from promql.columns import Columns, Floats, Int64s, Labels, Selector
from promql.match import matches

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
