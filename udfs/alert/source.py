"""A window as promql's Source."""

from threading import Lock

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache, cached

from promql.columns import NAME, Columns, Labels, Matcher, Selector
from promql.match import matches
from schemas.ids import set_hash
from udfs.alert.window import CACHED_SERIES, Window, series_of

# What selectors have found: 8 bytes a series, and so much beside.
_PLACES_BYTES, _BESIDE = 16 << 20, 400


class WindowSource:
    """Selects from one window. Samples outside the selector's time come too: the evaluator looks at its own."""

    def __init__(self, window: Window) -> None:
        self._window = window

    def select(self, selector: Selector) -> Columns:
        """Return the columns of the matching series."""
        window = self._window
        places = _places(window.series_set, selector.metric, selector.matchers)
        labels = _labels(window.series_set)
        bounds = np.searchsorted(window.codes, np.arange(len(window.ids) + 1)).astype(np.int64)
        if len(places) == len(window.ids):
            return Columns(labels, bounds, window.timestamps, window.values)
        chosen = np.zeros(len(window.ids), dtype=bool)
        chosen[places] = True
        kept = chosen[window.codes]
        offsets = np.concatenate([[0], np.cumsum(np.diff(bounds)[places])]).astype(np.int64)
        return Columns([labels[place] for place in places], offsets, window.timestamps[kept], window.values[kept])


@cached(LRUCache(CACHED_SERIES, getsizeof=lambda labels: len(labels) + 1), key=set_hash, lock=Lock(), info=True)
def _labels(series_set: bytes) -> list[Labels]:
    return [{NAME: one.name, **{name: value for name, value in one.labels if value}} for one in series_of(series_set)]


@cached(
    LRUCache(_PLACES_BYTES, getsizeof=lambda places: places.nbytes + _BESIDE),
    key=lambda series_set, metric, matchers: (set_hash(series_set), metric, matchers),
    lock=Lock(),
)
def _places(series_set: bytes, metric: str, matchers: tuple[Matcher, ...]) -> npt.NDArray[np.intp]:
    selector = Selector(metric, matchers, 0, 0)
    return np.flatnonzero([matches(selector, labels) for labels in _labels(series_set)])
