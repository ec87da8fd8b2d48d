"""However late samples come, and whenever windows close: in the end every tier is as if all had come in time."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.distributions import Distributions
from schemas.frame import Frame
from schemas.rollups import Rollups
from schemas.tiers import MINUTE, TIERS, Tier, upto
from sinks.distributions import of_table, table_of
from tests.udfs.rollup.test_distribution import One, made, weighted
from tests.udfs.rollup.test_rows import Sample, as_dicts, frame_of
from udfs.reroll.dirty import Dirty, dirty
from udfs.reroll.heal import Counts, Waiting, heal
from udfs.rollup.merge import merge
from udfs.rollup.rows import rollup
from udfs.rollup.window import split

DAY = TIERS[-1].width_ms
SPAN = 3 * TIERS[2].width_ms

Row = dict[str, object]


def minute(stamp: int) -> int:
    """Return the start of the minute that a sample at `stamp` counts for."""
    return (stamp - 1) // 60_000 * 60_000


def rolled(samples: list[Sample]) -> dict[str, list[Rollups]]:
    """Return the rows of every tier, as the rollup job makes them of these samples."""
    minutes = (
        [rollup([frame], window) for window, frame in split(frame_of(samples), MINUTE.width_ms)] if samples else []
    )
    return coarsened([one for one in minutes if one is not None])


def coarsened(minutes: list[Rollups]) -> dict[str, list[Rollups]]:
    """Return the rows of every tier over those of the first."""
    tiers = {MINUTE.name: minutes}
    for finer, tier in itertools.pairwise(TIERS):
        windows: dict[int, list[Rollups]] = {}
        for part in tiers[finer.name]:
            windows.setdefault(part.window - part.window % tier.width_ms, []).append(part)
        tiers[tier.name] = [merge(parts, window) for window, parts in sorted(windows.items())]
    return tiers


@dataclass
class Stored:
    """Tables in memory, with ClickHouse's rule: of rows with one key the highest version, the count, stays."""

    raw: list[Sample] = field(default_factory=list)
    many: list[One] = field(default_factory=list)
    rows_of: dict[str, dict[tuple[int, int], Row]] = field(default_factory=lambda: {tier.name: {} for tier in TIERS})
    parts: dict[str, list[Rollups]] = field(default_factory=lambda: {tier.name: [] for tier in TIERS})
    closed_until: int = -1

    def samples(self, dirty: Dirty, width: int) -> Frame:
        end = int(dirty.windows.max()) + width
        mine = [one for one in self.raw if dirty.windows.min() < one[1] <= end]
        return frame_of(mine)

    def distributions(self, dirty: Dirty, width: int) -> Distributions | None:
        end = int(dirty.windows.max()) + width
        mine = [one for one in self.many if dirty.windows.min() < one[1] <= end]
        # Each as the store job wrote it, superseded ones too.
        found = [made([weighted([one])]) for one in mine]
        return of_table(pa.concat_tables(map(table_of, found)).unify_dictionaries(), "acme") if found else None

    def rows(self, tier: Tier, dirty: Dirty, width: int) -> list[Rollups]:
        end = int(dirty.windows.max()) + width
        # Superseded rows included: merge() keeps the fullest, as FINAL does.
        return [part for part in self.parts[tier.name] if dirty.windows.min() <= part.window < end]

    def counts(self, dirty: Dirty, width: int) -> Counts:
        plain = Counter((series, (stamp - 1) // width * width) for series, stamp in {one[:2] for one in self.raw})
        many: Counter[tuple[int, int]] = Counter()
        for (series, stamp), ones in itertools.groupby(sorted(self.many), key=lambda one: one[:2]):
            # Of two with one place the larger stands.
            many[series, (stamp - 1) // width * width] += max(sum(n for _, n in entries) for *_, entries in ones)
        every = plain | many  # and of either kind the fuller
        return (
            np.array([series for series, _ in every], np.uint64),
            np.array([window for _, window in every], np.int64),
            np.array(list(every.values()), np.int64),
        )

    def closed(self) -> dict[str, int]:
        ends = {tier.name: self.closed_until - tier.width_ms for tier in TIERS}
        return {name: end - end % 60_000 for name, end in ends.items() if end >= 0}

    def write(self, tier: Tier, rows: Sequence[Rollups]) -> None:
        for part in rows:
            self.parts[tier.name].append(part)
            for series, row in as_dicts(part).items():
                key = (series, part.window)
                old = self.rows_of[tier.name].get(key)
                if old is None or row["count"] >= old["count"]:  # type: ignore[operator]
                    self.rows_of[tier.name][key] = row


SAMPLES = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(1, SPAN // 20_000).map(lambda n: n * 20_000), st.integers(-9, 9).map(float)
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda one: one[:2],
)


@given(SAMPLES, st.data())
@settings(max_examples=150)
def test_every_tier_ends_as_if_all_had_come_in_time(samples: list[Sample], data: st.DataObject) -> None:
    stored = Stored()
    late = [one for one in samples if data.draw(st.booleans())]
    in_time = [one for one in samples if one not in late]
    made = rolled(in_time)
    waiting: Waiting = {}
    times = sorted(data.draw(st.lists(st.integers(0, 2 * DAY), min_size=1, max_size=4)))
    underway: list[tuple[Tier, list[Rollups]]] = []
    for last, now in zip([-1, *times], [*times, 2 * DAY], strict=True):
        # The stream closes what ends by now, and some of it is in the table only at the next look...
        for tier, parts in underway:
            stored.write(tier, parts)
        ended = [(t, [one for one in made[t.name] if last < one.window + t.width_ms <= now]) for t in TIERS]
        underway = [one for one in ended if data.draw(st.booleans())]
        for tier, parts in ended:
            if (tier, parts) not in underway:
                stored.write(tier, parts)
        stored.raw += [one for one in in_time if last < one[1] <= now]
        stored.closed_until = now
        # ... and what is late for a closed minute comes in any pieces, some of it twice.
        ripe = [one for one in late if minute(one[1]) + 60_000 <= now]
        come = ripe if now == 2 * DAY else [one for one in ripe if data.draw(st.booleans())]
        stored.raw += [one for one in come if one not in stored.raw]
        healed = heal([frame_of(come)] if come else [], waiting, stored)
        assert not healed.unstored
        waiting = healed.waiting
    for tier, parts in underway:
        stored.write(tier, parts)
    assert not heal([], waiting, stored).waiting
    expected = Stored()
    for tier in TIERS:
        expected.write(tier, rolled(samples)[tier.name])
    assert stored.rows_of == expected.rows_of


def test_nothing_is_written_before_raw_has_the_late_samples() -> None:
    stored = Stored(closed_until=2 * DAY)
    stored.raw = [(1, 1, 1.0)]
    late = frame_of([(1, 1, 1.0), (1, 1000, 2.0), (2, 1, 3.0)])
    assert heal([late], {}, stored).unstored == 2
    assert not any(stored.rows_of.values())
    stored.raw += [(1, 1000, 2.0), (2, 1, 3.0)]
    assert heal([late], {}, stored).unstored == 0
    assert stored.rows_of["1d"][1, 0]["count"] == 2


@dataclass
class Asked(Stored):
    """Also notes of how many series raw was read."""

    series: list[int] = field(default_factory=list)

    def samples(self, dirty: Dirty, width: int) -> Frame:
        self.series.append(len(dirty.ids))
        return Stored.samples(self, dirty, width)


def test_raw_is_read_as_a_whole_only_when_it_has_the_newest() -> None:
    stored = Asked(closed_until=2 * DAY)
    batches = [[(series, stamp, 1.0) for series in range(100)] for stamp in (1, 1000, 2000)]
    late = [frame_of(batch) for batch in batches]
    stored.raw = batches[0] + batches[1] + batches[2][:3]
    assert heal(late, {}, stored).unstored == 5
    assert stored.series == [8]
    stored.raw += batches[2][3:8]
    assert heal(late, {}, stored).unstored == 92
    stored.raw += batches[2][8:]
    assert heal(late, {}, stored).unstored == 0
    assert stored.series == [8, 8, 100, 8, 100]


def test_patience_ends() -> None:
    stored = Stored(raw=[(1, 1, 1.0)], closed_until=2 * DAY)
    healed = heal([frame_of([(1, 1, 1.0), (1, 1000, 2.0)])], {}, stored, patient=False)
    assert healed.unstored == 0
    assert stored.rows_of["1m"][1, 0]["count"] == 1


def test_a_window_that_is_not_closed_waits_through_state() -> None:
    stored = Stored(raw=[(1, 1, 1.0)], closed_until=10 * 60_000)
    healed = heal([frame_of([(1, 1, 1.0)])], {}, stored)
    assert list(healed.waiting) == ["1h"]
    assert list(stored.rows_of["5m"]) == [(1, 0)]
    frames = {name: [Frame.decode(one.encode()) for one in frames] for name, frames in healed.waiting.items()}
    stored.closed_until = 2 * DAY
    assert heal([], frames, stored).waiting == {}
    assert list(stored.rows_of["1d"]) == [(1, 0)]


def test_tiers_that_are_not_kept_are_not_waited_for() -> None:
    stored = Stored(raw=[(1, 1, 1.0)], closed_until=10 * 60_000)
    healed = heal([frame_of([(1, 1, 1.0)])], {}, stored, tiers=upto("5m"))
    assert healed.waiting == {}
    assert [name for name, rows in stored.rows_of.items() if rows] == ["1m", "5m"]


@given(SAMPLES, st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 200)), min_size=1))
def test_holds_is_membership(samples: list[Sample], asked: list[tuple[int, int]]) -> None:
    pairs = {(series, minute(stamp)) for series, stamp, _ in samples}
    held = dirty([frame_of(samples)], 60_000).holds(
        np.array([series for series, _ in asked], np.uint64), np.array([minute * 60_000 for _, minute in asked])
    )
    assert held.tolist() == [(series, minute * 60_000) in pairs for series, minute in asked]
