"""Healing: late samples make windows dirty, and each dirty window gets the row that would have been written in time.

Minutes are computed from raw samples and distributions, every coarser tier from the rows of the finer one, by the
functions of the rollup job. Raw must have the late samples before anything is computed: records of a shard keep their
order on the way to the store, so whatever came before them is then there too. A window that the stream has not closed
yet waits, since its row would be written over by one that lacks the late samples.

What the stream has closed may still be on its way to the table, where another subtask was quicker. So rows that were
made of stored ones are counted against raw, and where raw has more, the window is looked at once more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Protocol

import numpy as np

from schemas.columns import Int64s, UInt64s
from schemas.distributions import Distributions
from schemas.frame import Frame
from schemas.nan import Mask
from schemas.rollups import Rollups
from schemas.tiers import MINUTE, TIERS, Tier
from udfs.reroll.awaited import newest, unstored
from udfs.reroll.dirty import Dirty, dirty
from udfs.rollup.distribution import distinct, distributions
from udfs.rollup.distribution import rollup as roll_distributions
from udfs.rollup.merge import merge
from udfs.rollup.rows import rollup
from udfs.rollup.window import split, start_of, within

Waiting = dict[str, list[Frame]]
Counts = tuple[UInt64s, Int64s, Int64s]
"""Series ids, starts of windows in ms, and a number of each."""


class History(Protocol):
    """What is stored: read and written by healing."""

    def samples(self, dirty: Dirty, width: int) -> Frame:
        """Return the raw samples in the span of the pairs, of their metrics and shard at least, sparse."""
        ...

    def distributions(self, dirty: Dirty, width: int) -> Distributions | None:
        """Return the same of distributions, repeats too; None if there are none."""
        ...

    def rows(self, tier: Tier, dirty: Dirty, width: int) -> list[Rollups]:
        """Return the tier's rows in the span of the pairs, windows of `width` ms, of their metrics and shard."""
        ...

    def counts(self, dirty: Dirty, width: int) -> Counts:
        """Return how many samples raw has of series in windows of `width` ms: of all pairs, where it has any."""
        ...

    def closed(self) -> dict[str, int]:
        """Return for each tier the start of the newest window (ms) that the stream has closed."""
        ...

    def write(self, tier: Tier, rows: Sequence[Rollups]) -> None:
        """Store rows for good, then raise the data versions of what they cover."""
        ...


@dataclass(frozen=True, slots=True)
class Healed:
    """What one pass did.

    unstored: late samples that raw is seen to lack, then nothing was done; rows: written; behind: (series, window)
    pairs that wait because raw has more of them than their row.
    """

    unstored: int
    rows: int
    waiting: Waiting
    behind: int = 0


def heal(
    late: Sequence[Frame],
    waiting: Waiting,
    history: History,
    patient: bool = True,
    tiers: Sequence[Tier] = TIERS,
) -> Healed:
    """Write the rows of all dirty windows that are closed; return the windows that wait, by tier.

    late: frames of one (tenant, shard). patient False: do not wait any longer, neither for raw nor for rows. tiers:
    those that are kept.
    """
    if not late:
        return _upwards(None, [], waiting, history, patient, tiers)
    if patient and (missing := _underway(late, history)):
        return Healed(missing, 0, waiting)
    minutes = dirty(late, MINUTE.width_ms)
    missing, rows, mixed = _first(late, minutes, history)
    if missing and patient:
        return Healed(missing, 0, waiting)
    made = list(rows)
    history.write(MINUTE, made)
    # Of a series with a row of either kind only the table knows which stands.
    above = _upwards(minutes, [] if mixed else made, waiting, history, patient, tiers)
    return replace(above, rows=above.rows + sum(map(len, made)))


def _upwards(
    done: Dirty | None,
    made: Sequence[Rollups],
    waiting: Waiting,
    history: History,
    patient: bool,
    tiers: Sequence[Tier],
) -> Healed:
    """Write the rows of the tiers above the minute. done: the minutes just healed, made: their rows as far as known."""
    kept: Waiting = {}
    written = behind = 0
    closed = history.closed()
    for finer, tier in pairwise(tiers):
        frames = list(waiting.get(tier.name, ()))
        made = [] if frames else made
        if done is not None:
            frames.append(done.coarser(tier.width_ms).frame())
        if not frames:
            continue
        every = dirty(frames, tier.width_ms)
        ripe = every.windows <= closed.get(tier.name, -1)
        done = every.where(ripe) if ripe.any() else None
        if done is not None:
            made, lacking = _next(made, done, finer, tier, history)
            history.write(tier, made)
            written += sum(map(len, made))
            if patient:
                behind += int(lacking.sum())
                ripe[np.flatnonzero(ripe)[lacking]] = False
        if not ripe.all():
            kept[tier.name] = [every.where(~ripe).frame()]
    return Healed(0, written, kept, behind)


def _underway(late: Sequence[Frame], history: History) -> int:
    """Return how many of the newest late samples raw lacks."""
    probe = newest(late)
    return 0 if probe is None else unstored([probe], history.samples(dirty([probe], MINUTE.width_ms), MINUTE.width_ms))


def _first(late: Sequence[Frame], minutes: Dirty, history: History) -> tuple[int, Iterator[Rollups], bool]:
    """Return (late samples that raw lacks, the rows of the dirty minutes, whether late ones are of both kinds)."""
    sources = [
        read(frames, minutes, history)
        for read, frames in (
            (_plain, [frame for frame in late if frame.weights is None]),
            (_weighted, [frame for frame in late if frame.weights is not None]),
        )
        if frames
    ]
    missing = sum(lacking for lacking, _ in sources)
    return missing, chain.from_iterable(rows for _, rows in sources), len(sources) > 1


def _next(
    made: Sequence[Rollups], done: Dirty, finer: Tier, tier: Tier, history: History
) -> tuple[list[Rollups], Mask]:
    """Return the rows of a tier's dirty windows, and of which pairs raw has more than these rows.

    made: rows of the finer tier that were just made; they may be all that the windows can have, or not.
    """
    parts = _chosen(made, done, tier)
    if sum(map(len, parts)) == len(done) * (tier.width_ms // finer.width_ms):
        return list(_coarser(parts, tier)), np.zeros(len(done), dtype=bool)
    parts = _chosen(history.rows(finer, done, tier.width_ms), done, tier)
    rows = list(_coarser(parts, tier))
    lacking: Mask = done.spread(*_counts(rows)) < done.spread(*history.counts(done, tier.width_ms))
    return rows, lacking


def _counts(rows: Sequence[Rollups]) -> Counts:
    ids = [np.empty(0, np.uint64), *(one.series_ids for one in rows)]
    counts = [np.empty(0, np.uint64), *(one.count for one in rows)]
    windows = np.repeat(np.array([one.window for one in rows], np.int64), [len(one) for one in rows])
    return np.concatenate(ids), windows, np.concatenate(counts).astype(np.int64)


def _plain(late: Sequence[Frame], minutes: Dirty, history: History) -> tuple[int, Iterator[Rollups]]:
    """Return (late samples that raw lacks, the rows of the dirty minutes)."""
    stored = history.samples(minutes, MINUTE.width_ms)
    return unstored(late, stored), _minutes(stored, minutes)


def _weighted(late: Sequence[Frame], minutes: Dirty, history: History) -> tuple[int, Iterator[Rollups]]:
    """Return the same for distributions; one is there when what has its place is not of a lower version."""
    stored = history.distributions(minutes, MINUTE.width_ms)
    arrived = distributions(late)
    there = {} if stored is None else _versions(distinct(stored))
    awaited = {} if arrived is None else _versions(arrived)
    lacking = sum(there.get(key, -1) < version for key, version in awaited.items())
    return lacking, iter(()) if stored is None else _minutes_of(stored, minutes)


def _minutes_of(stored: Distributions, minutes: Dirty) -> Iterator[Rollups]:
    """Yield the rows of each dirty minute of distributions."""
    windows = start_of(stored.timestamps, MINUTE.width_ms)
    mine = minutes.holds(stored.series_ids, windows)
    kept, windows = stored.take(mine), windows[mine]
    for window in np.unique(windows):
        yield roll_distributions(kept.take(windows == window), int(window))


def _versions(rows: Distributions) -> dict[tuple[int, int], int]:
    keys = zip(rows.series_ids.tolist(), rows.timestamps.tolist(), strict=True)
    return dict(zip(keys, rows.version.tolist(), strict=True))


def _minutes(stored: Frame, minutes: Dirty) -> Iterator[Rollups]:
    """Yield the rows of each dirty minute."""
    index, stamps, values = stored.points()
    mine = minutes.holds(stored.series_ids, start_of(stamps, MINUTE.width_ms), index)
    kept = Frame(
        stored.tenant,
        stored.shard,
        stored.metrics,
        stored.metric_codes,
        stored.series_ids,
        stamps[mine],
        values[mine],
        index[mine],
    )
    for window, frame in split(kept, MINUTE.width_ms):
        made = rollup([frame], window)
        if made is not None:
            yield made


def _chosen(finer: Sequence[Rollups], wanted: Dirty, tier: Tier) -> list[Rollups]:
    """Return the rows of a finer tier that lie in the wanted windows of a tier."""
    if not finer:
        return []
    sizes = np.array([len(part) for part in finer])
    windows = within(np.array([part.window for part in finer], np.int64), tier.width_ms)
    mine = wanted.holds(np.concatenate([part.series_ids for part in finer]), np.repeat(windows, sizes))
    owned = np.split(mine, np.cumsum(sizes)[:-1])
    return [part.where(one) for part, one in zip(finer, owned, strict=True)]


def _coarser(finer: Sequence[Rollups], tier: Tier) -> Iterator[Rollups]:
    """Yield the rows of a tier from all rows of the finer one in its windows."""
    windows: dict[int, list[Rollups]] = {}
    for part in finer:
        if len(part):
            windows.setdefault(within(part.window, tier.width_ms), []).append(part)
    for window in sorted(windows):
        yield merge(windows[window], window)
