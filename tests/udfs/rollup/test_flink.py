"""What the first tier makes of a pane in which plain samples and distributions lie side by side."""

import numpy as np
import pyarrow as pa
import pytest

from schemas.frame import Frame
from schemas.tiers import MINUTE, TIERS
from sinks import rows
from tests.udfs.rollup.test_distribution import weighted
from tests.udfs.rollup.test_rows import frame_of
from udfs.rollup.flink import closing
from udfs.rollup.flink.closing import OfFrames, OfRows, blocks
from udfs.rollup.flink.tier import Held
from udfs.rollup.rows import rollup

PLAIN = frame_of([(1, 0, 5.0), (1, 1000, 7.0), (4, 0, 1.0)])
MANY = weighted([(2, 0, ((5.0, 2), (6.0, 1))), (3, 0, ((1.0, 4),))])


def counts(payloads: list[bytes]) -> dict[int, int]:
    # Through state into the next tier, as a closed pane goes.
    packed = [rows.pack(table) for table in OfFrames().rows(0, payloads)]
    if not packed:
        return {}
    (coarse,) = OfRows(TIERS[1]).rows(0, packed)
    return dict(zip(coarse["series_id"].to_pylist(), coarse["count"].to_pylist(), strict=True))


def test_each_by_its_own_rule_in_one_block() -> None:
    assert counts([PLAIN.encode(), MANY.encode(), PLAIN.encode(), MANY.encode()]) == {1: 2, 4: 1, 2: 3, 3: 4}
    assert counts([MANY.encode()]) == {2: 3, 3: 4}


def test_a_pane_of_plain_samples_is_the_rollup_itself() -> None:
    made = rollup([PLAIN], 0)
    assert made is not None
    assert list(OfFrames().rows(0, [PLAIN.encode()])) == [rows.rollup(made)]
    assert OfFrames().tier == MINUTE
    assert counts([]) == {}


@pytest.mark.parametrize("at_once", [1, 700, 4000])
def test_a_large_pane_is_merged_some_series_at_a_time(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    minutes = []
    for minute in range(5):
        known = sorted(rng.choice(60, 40, replace=False).tolist())
        points = [(one, 60_000 * minute + at, float(rng.normal())) for one in known for at in (1000, 31_000)]
        (table,) = OfFrames().rows(60_000 * minute, [frame_of(points).encode()])
        # As before blocks had ids that are neighbours, and as since.
        minutes += [rows.pack(table.slice(0, 15)), rows.pack(table.slice(15))]
    tier = OfRows(TIERS[1])
    (whole,) = tier.rows(0, minutes)
    monkeypatch.setattr(closing, "_AT_ONCE", at_once)
    parts = list(tier.rows(0, minutes))
    assert len(parts) > 1
    assert pa.concat_tables(parts).unify_dictionaries().sort_by("series_id") == whole.sort_by("series_id")


def test_blocks_hold_each_row_once_and_ids_that_are_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(3).choice(10_000, 35, replace=False).tolist()
    (table,) = OfFrames().rows(0, [frame_of([(one, 0, 1.0) for one in ids]).encode()])
    assert list(blocks(table)) == [table]
    monkeypatch.setattr(closing, "_ROWS", 10)
    cut = list(blocks(table))
    assert [one["series_id"].to_pylist() for one in cut] == [
        sorted(sorted(ids)[first : first + 10], key=table["series_id"].to_pylist().index) for first in (0, 10, 20, 30)
    ]
    assert pa.concat_tables(cut).unify_dictionaries().sort_by("series_id") == table.sort_by("series_id")


def test_a_block_names_its_own_metrics_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 40
    names = [f"stats.timers.{number}" for number in range(many)]
    frame = Frame("t", 0, names, np.arange(many, dtype=np.uint32), np.arange(many, dtype=np.uint64), np.array([1]),
                  np.ones((1, many)))  # fmt: skip
    (table,) = OfFrames().rows(0, [frame.encode()])
    monkeypatch.setattr(closing, "_ROWS", 10)
    cut = list(blocks(table))
    assert [len(one["metric"].unify_dictionaries().chunk(0).dictionary) for one in cut] == [10] * 4
    assert pa.concat_tables(cut).unify_dictionaries().sort_by("series_id")["metric"].to_pylist() == names
    assert {one.schema for one in cut} == {table.schema}
    monkeypatch.setattr(closing, "_AT_ONCE", 1000)
    parts = list(OfRows(TIERS[1]).rows(0, [rows.pack(one) for one in cut]))
    assert len(parts) > 1
    assert [len(one["metric"].chunk(0).dictionary) for one in parts] == [one.num_rows for one in parts]


def test_a_large_pane_is_read_block_by_block_and_not_for_each_part_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "_ROWS", 10)
    stored = []
    for minute in range(5):
        points = [(one * 97 % 1009, 60_000 * minute + 1000, 1.0) for one in range(1, 201)]
        (table,) = OfFrames().rows(60_000 * minute, [frame_of(points).encode()])
        stored += [rows.pack(block) for block in blocks(table)]
    read: list[int] = []

    def block(place: int) -> bytes:
        read.append(place)
        return stored[place]

    tier = OfRows(TIERS[1])
    (whole,) = tier.rows(0, stored)
    monkeypatch.setattr(closing, "_AT_ONCE", sum(map(len, stored)) // 10)
    parts = list(tier.rows(0, Held([], len(stored), block)))
    assert len(parts) > 8
    assert pa.concat_tables(parts).unify_dictionaries().sort_by("series_id") == whole.sort_by("series_id")
    assert len(read) < 3 * len(stored)


def test_of_a_series_that_was_sent_as_both_the_fuller_row_stands() -> None:
    both = [frame_of([(2, 0, 5.0), (2, 1000, 5.0)]).encode(), MANY.encode()]
    assert counts(both) == counts(both[::-1]) == {2: 3, 3: 4}
