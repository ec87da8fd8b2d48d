"""Rows of every tier for what was loaded, by the functions that heal late data: graphs read rows, not samples.

The rows are those that the stream would have made, had all that raw holds of these windows come in time. In a window
that the stream has not closed yet the stream's own row may replace them, by what came later; loading the same file
again, once it is closed, puts that right.

A coarser row is made of finer ones, which ClickHouse may drop for their age as soon as they are written. So a load
remembers those that a window at the end of one part of it needs to go on in the next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from schemas.columns import UInt64s
from schemas.frame import Frame
from schemas.names import united
from schemas.rollups import Rollups
from schemas.tiers import MINUTE, TIERS, Tier
from sinks.history import ClickhouseHistory, Span
from udfs.reroll.heal import heal
from udfs.rollup.window import start_of, within

# What one go reads and makes at most: series times minutes, and series.
CELLS, SERIES = 1_000_000, 5_000
# ClickHouse refuses an insert into more than 100 partitions, and rollup_1m has one a day.
DAYS_AT_ONCE = 90
_DAY_MINUTES = 1440
# Bytes of a tier's rows that a load remembers, and about what a row and a window of rows take beside their digests.
REMEMBERED = 128_000_000
_ROW, _ROWS = 130, 3000
# Times of rows are 32 bits of seconds.
_END_MS = (2**32 - 86_400) * 1000


@dataclass(frozen=True, slots=True)
class Made:
    """Rows of one tier that were made in one go. ids rise: all series of them."""

    ids: UInt64s
    rows: list[Rollups]

    @classmethod
    def of(cls, rows: Sequence[Rollups]) -> "Made":
        """Return rows with the ids of their series."""
        some = [part for part in rows if len(part)]
        return cls(np.unique(np.concatenate([np.empty(0, np.uint64), *(part.series_ids for part in some)])), some)

    def bytes(self) -> int:
        """Return about what it takes."""
        return sum(_ROWS + _ROW * len(part) + part.digest.nbytes for part in self.rows)

    def has(self, ids: UInt64s) -> bool:
        """Tell whether it has rows of any of these series, which rise."""
        return bool(len(np.intersect1d(self.ids, ids, assume_unique=True)))

    def ends(self, width: int) -> "Made":
        """Return the rows in each series' first and last window of `width` ms: what another part may go on with."""
        if not self.rows:
            return self
        sizes = [len(part) for part in self.rows]
        place = np.searchsorted(self.ids, np.concatenate([part.series_ids for part in self.rows]))
        windows = np.repeat(within(np.array([part.window for part in self.rows], np.int64), width), sizes)
        first, last = np.full(len(self.ids), _END_MS), np.full(len(self.ids), -1)
        np.minimum.at(first, place, windows)
        np.maximum.at(last, place, windows)
        mine = np.split((windows == first[place]) | (windows == last[place]), np.cumsum(sizes)[:-1])
        return Made.of([part.where(one) for part, one in zip(self.rows, mine, strict=True)])

    def without(self, newer: "Made") -> "Made":
        """Return the rows that newer ones of the same series and window do not replace, being as full."""
        if not self.has(newer.ids):
            return self
        windows = {part.window: part for part in newer.rows}
        return Made.of([_fuller(part, windows[part.window]) if part.window in windows else part for part in self.rows])


def _fuller(one: Rollups, other: Rollups) -> Rollups:
    """Return the rows of one that have more samples than those of the other, or no such."""
    _, mine, theirs = np.intersect1d(one.series_ids, other.series_ids, assume_unique=True, return_indices=True)
    stands = np.ones(len(one), dtype=bool)
    stands[mine] = one.count[mine] > other.count[theirs]
    return one.where(stands)


@dataclass(slots=True)
class Loaded(ClickhouseHistory):
    """The history with what is loaded in it, even where ClickHouse has already dropped it for its age.

    frame: samples. rows are remembered by tier, the newest made last: those of before as Made.ends() has them.
    """

    frame: Frame | None = None
    remembered: dict[str, list[Made]] = field(default_factory=lambda: {tier.name: [] for tier in TIERS})

    def samples(self, dirty: Span, width: int) -> Frame:
        """Return what is stored and what is being loaded, repeats too."""
        # By the base's name: with slots, super() finds another class.
        stored = ClickhouseHistory.samples(self, dirty, width)
        return stored if self.frame is None else joined(stored, self.frame)

    def rows(self, tier: Tier, dirty: Span, width: int) -> list[Rollups]:
        """Return what is stored and what is remembered; where they differ the fuller row counts, as for merge()."""
        start, end = int(dirty.windows.min()), int(dirty.windows.max()) + width
        found = ClickhouseHistory.rows(self, tier, dirty, width)
        for made in self.remembered[tier.name]:
            if made.has(dirty.ids):
                found += [part for part in made.rows if start <= part.window < end]
        return found

    def write(self, tier: Tier, made: Sequence[Rollups]) -> None:
        """Store rows, and remember them until the coarser tier's are made of them; then only their ends."""
        ClickhouseHistory.write(self, tier, made)
        for finer, coarser in pairwise(TIERS):
            if finer == tier:
                self.remembered[tier.name].append(Made.of(made))
            elif coarser == tier:
                self._settle(finer, tier.width_ms)

    def _settle(self, finer: Tier, width: int) -> None:
        """Keep of the rows that were just made their ends, and of those before what still has its place."""
        *before, made = self.remembered[finer.name]
        made = made.ends(width)
        kept = [made]
        room = REMEMBERED - made.bytes()
        for old in reversed(before):
            rest = old.without(made)
            room -= rest.bytes()
            if room < 0:
                break
            if rest.rows:
                kept.append(rest)
        self.remembered[finer.name] = kept[::-1]

    def closed(self) -> dict[str, int]:
        """Return that no window is waited for."""
        return {tier.name: _END_MS for tier in TIERS}


def roll(history: Loaded, frame: Frame, since_ms: int = 0) -> int:
    """Write the rows of all windows that a loaded frame touches; return their number. Raises RefusedBlock.

    history: one for all frames of a load, of which a day may span several. since_ms: no tier keeps what is older.
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
