"""Rows of every tier for what was loaded, by the functions that heal late data: graphs read rows, not samples.

The rows are those that the stream would have made, had all that raw holds of these windows come in time. In a window
that the stream has not closed yet the stream's own row may replace them, by what came later; loading the same file
again, once it is closed, puts that right.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from schemas.frame import Frame
from schemas.names import united
from schemas.tiers import MINUTE, TIERS
from sinks.history import ClickhouseHistory, Span
from udfs.reroll.heal import heal
from udfs.rollup.window import start_of, within

# What one go reads and makes at most: series times minutes, and series.
CELLS, SERIES = 1_000_000, 5_000
# ClickHouse refuses an insert into more than 100 partitions, and rollup_1m has one a day.
DAYS_AT_ONCE = 90
_DAY_MINUTES = 1440
# Times of rows are 32 bits of seconds.
_END_MS = (2**32 - 86_400) * 1000


@dataclass(slots=True)
class Loaded(ClickhouseHistory):
    """The history with the loaded samples in it, even where ClickHouse has already dropped them for their age."""

    frame: Frame | None = None

    def samples(self, dirty: Span, width: int) -> Frame:
        """Return what is stored and what is being loaded, repeats too."""
        # By the base's name: with slots, super() finds another class.
        stored = ClickhouseHistory.samples(self, dirty, width)
        return stored if self.frame is None else joined(stored, self.frame)

    def closed(self) -> dict[str, int]:
        """Return that no window is waited for."""
        return {tier.name: _END_MS for tier in TIERS}


def roll(history: Loaded, frame: Frame, since_ms: int = 0) -> int:
    """Write the rows of all windows that a loaded frame touches; return their number. Raises RefusedBlock.

    since_ms: no tier keeps what is older.
    """
    written = 0
    for part in parts(frame, since_ms):
        history.frame = part
        written += heal([part], {}, history, patient=False).rows
        if history.refused:
            raise history.refused[0][2]
    return written


def parts(frame: Frame, since_ms: int = 0) -> Iterator[Frame]:
    """Yield what is newer of a sparse frame in parts that are small enough for one go, by series, then by time."""
    index, stamps, _ = frame.points()
    timely = (stamps > max(since_ms, 0)) & (stamps <= _END_MS)
    for first in range(0, len(frame.series_ids), SERIES):
        mine = np.flatnonzero(timely & (index >= first) & (index < first + SERIES))
        mine = mine[np.argsort(stamps[mine], kind="stable")]
        if not len(mine):
            continue
        owners, ranks = np.unique(index[mine], return_inverse=True)
        some = replace(
            frame.at(mine),
            metric_codes=frame.metric_codes[owners],
            series_ids=frame.series_ids[owners],
            index=ranks.astype(np.uint32),
        )
        minutes = start_of(some.timestamps, MINUTE.width_ms) // MINUTE.width_ms
        span = min(max(1, CELLS // len(owners)), DAYS_AT_ONCE * _DAY_MINUTES)
        begin = 0
        while begin < len(mine):
            end = int(np.searchsorted(minutes, minutes[begin] + span))
            yield some.at(slice(begin, end))
            begin = end


def joined(one: Frame, other: Frame) -> Frame:
    """Return the samples of two sparse frames of one (tenant, shard); each series once, by rising id."""
    metrics, places = united([one.metrics, other.metrics])
    both = (one, other)
    ids, position, rank = np.unique(
        np.concatenate([frame.series_ids for frame in both]), return_index=True, return_inverse=True
    )
    codes = np.concatenate([place[frame.metric_codes] for place, frame in zip(places, both, strict=True)])
    columns = [frame.points() for frame in both]
    index = np.concatenate([columns[0][0], columns[1][0] + len(one.series_ids)])
    return replace(
        one,
        metrics=metrics,
        metric_codes=codes[position].astype(np.uint32),
        series_ids=ids,
        timestamps=np.concatenate([stamps for _, stamps, _ in columns]),
        values=np.concatenate([values for _, _, values in columns]),
        index=rank[index].astype(np.uint32),
    )


def still_open(newest_ms: int | None, closed: dict[str, int]) -> str | None:
    """Return a notice if the newest sample lies in a window that the stream has yet to close, by tier.

    closed: for each tier the start of the newest window (ms) that the stream has closed; empty: it has closed none.
    """
    if newest_ms is None:
        return None
    found = []
    for tier in TIERS:
        begin = within(newest_ms - 1, tier.width_ms)
        if tier.name in closed and begin > closed[tier.name]:
            end = datetime.fromtimestamp((begin + tier.width_ms) / 1000, UTC)
            found.append(f"{tier.name} until {end:%Y-%m-%d %H:%M}")
    if not found:
        return None
    return (
        f"TG-load-open: the newest samples lie in windows that the stream has not closed yet ({', '.join(found)} UTC). "
        "If the stream has samples of the same series there, load the file again once they are closed"
    )
