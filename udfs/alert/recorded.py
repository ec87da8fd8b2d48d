"""Series that rules have made so far, read by the rules after them as if they were stored already."""

from collections.abc import Iterable

import numpy as np

from promql.columns import NAME, Columns, Floats, Int64s, Labels, Selector, Source
from promql.match import matches
from promql.memory import columns
from promql.series import Signature, signature
from schemas.nan import STALE

_FIRST = 16


class _Track:
    """The samples of one series, in the order of their coming."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._size = 0
        self._times = np.empty(_FIRST, np.int64)
        self._values = np.empty(_FIRST, np.float64)

    def append(self, times: Int64s, values: Floats) -> None:
        """Add samples; those at or before the last one are dropped, as a store drops what is out of order."""
        if self._size:
            late = int(np.searchsorted(times, self._times[self._size - 1], side="right"))
            times, values = times[late:], values[late:]
        end = self._size + len(times)
        if end > len(self._times):
            # A signalling NaN stays one: resize and slices copy bits.
            room = max(end, 2 * len(self._times))
            self._times, self._values = np.resize(self._times, room), np.resize(self._values, room)
        self._times[self._size : end], self._values[self._size : end] = times, values
        self._size = end

    def within(self, start_ms: int, end_ms: int) -> tuple[Labels, Int64s, Floats]:
        """Return the samples of (start, end]."""
        times = self._times[: self._size]
        low, high = np.searchsorted(times, [start_ms, end_ms], side="right")
        return self.labels, times[low:high], self._values[low:high]

    def forget(self, before_ms: int) -> bool:
        """Drop the samples up to a time; tell whether any are left."""
        low = int(np.searchsorted(self._times[: self._size], before_ms, side="right"))
        if low > self._size // 2:
            self._times, self._values = self._times[low : self._size].copy(), self._values[low : self._size].copy()
            self._size -= low
        return self._size > 0


class Recorded:
    """A Source of what rules have recorded."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[Signature, _Track]] = {}

    def put(self, series: Signature, times: Int64s, values: Floats) -> None:
        """Append samples of one series, times rising."""
        labels = dict(series)
        tracks = self._by_name.setdefault(labels.get(NAME, ""), {})
        track = tracks.get(series)
        if track is None:
            track = tracks[series] = _Track(labels)
        track.append(times, values)

    def end(self, series: Iterable[Signature], at: int) -> None:
        """Append a staleness marker to some series: they were there at the evaluation before, and are no longer."""
        when = np.array([at], np.int64)
        for one in series:
            self.put(one, when, STALE)

    def select(self, selector: Selector) -> Columns:
        """Return the samples of the matching series within the selector's time."""
        names = [selector.metric] if selector.metric else list(self._by_name)
        found = [
            track.within(selector.start_ms, selector.end_ms)
            for name in names
            for track in self._by_name.get(name, {}).values()
            if matches(selector, track.labels)
        ]
        return columns(row for row in found if len(row[1]))

    def forget(self, before_ms: int) -> None:
        """Drop the samples up to a time, at once or later."""
        for name, tracks in list(self._by_name.items()):
            self._by_name[name] = {key: track for key, track in tracks.items() if track.forget(before_ms)}


class Joined:
    """What was stored and what rules have recorded, as one Source. until_ms: nothing after it is known yet.

    since_ms: from then on the names that the rules record are theirs alone, so that what other rules once recorded
    under these names is not mixed in. None: both are taken, a stored sample before a recorded one of the same time.
    """

    def __init__(
        self,
        stored: Source,
        recorded: Recorded,
        names: frozenset[str] = frozenset(),
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> None:
        self._stored, self._recorded = stored, recorded
        self._names, self._since_ms, self._until_ms = names, since_ms, until_ms

    def until(self, until_ms: int) -> "Joined":
        """Return the source as it was known at a time."""
        return Joined(self._stored, self._recorded, self._names, self._since_ms, until_ms)

    def select(self, selector: Selector) -> Columns:
        """Return the samples of the matching series."""
        if self._until_ms is not None and selector.end_ms > self._until_ms:
            selector = Selector(selector.metric, selector.matchers, selector.start_ms, self._until_ms)
        recorded = self._recorded.select(selector)
        stored = self._stored.select(selector)
        if not recorded.labels and (self._since_ms is None or not self._names):
            return self._known(stored)
        rows: dict[Signature, tuple[Labels, Int64s, Floats]] = {}
        for labels, times, values in _rows(self._known(stored)):
            kept = len(times)
            if self._since_ms is not None and labels.get(NAME, "") in self._names:
                kept = int(np.searchsorted(times, self._since_ms))
            if kept:
                rows[signature(labels)] = labels, times[:kept], values[:kept]
        for labels, times, values in _rows(recorded):
            key = signature(labels)
            rows[key] = _united(rows[key], times, values) if key in rows else (labels, times, values)
        return columns(rows.values())

    def _known(self, stored: Columns) -> Columns:
        """Return the columns without what comes after until_ms: a Source may give more than it was asked for."""
        if self._until_ms is None or not (stored.timestamps > self._until_ms).any():
            return stored
        rows = []
        for labels, times, values in _rows(stored):
            kept = int(np.searchsorted(times, self._until_ms, side="right"))
            if kept:
                rows.append((labels, times[:kept], values[:kept]))
        return columns(rows)


def _rows(held: Columns) -> Iterable[tuple[Labels, Int64s, Floats]]:
    bounds = held.offsets.tolist()
    for place, labels in enumerate(held.labels):
        low, high = bounds[place], bounds[place + 1]
        yield labels, held.timestamps[low:high], held.values[low:high]


def _united(row: tuple[Labels, Int64s, Floats], times: Int64s, values: Floats) -> tuple[Labels, Int64s, Floats]:
    labels, before, held = row
    both = np.concatenate([before, times])
    # Of equal times unique gives the first, the stored one.
    merged, places = np.unique(both, return_index=True)
    return labels, merged, np.concatenate([held, values])[places]
