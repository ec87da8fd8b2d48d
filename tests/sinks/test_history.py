"""Rows and samples come back from the real engine as they went in, and healing writes what a full run would have."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from schemas.frame import Frame
from schemas.tiers import MINUTE, TIERS
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from sinks.distributions import table_of
from sinks.history import ClickhouseHistory
from tests import embedded
from udfs.reroll.dirty import dirty
from udfs.reroll.heal import heal
from udfs.rollup.distribution import distributions
from udfs.rollup.merge import merge
from udfs.rollup.rows import rollup
from udfs.rollup.window import split

# Closeness is looked up among recent windows only.
MIDNIGHT = (time.time_ns() // 1_000_000 // 86_400_000 - 1) * 86_400_000
SHARDS = 1


@pytest.fixture
def history() -> Iterator[ClickhouseHistory]:
    apply(embedded.endpoint(), "default", "", "sinks_history")
    client = Clickhouse(embedded.endpoint(), database="sinks_history")
    for table in ("samples", "distributions", "completeness", *(tier.table for tier in TIERS)):
        client.command(f"TRUNCATE TABLE {table}")
    yield ClickhouseHistory(client, SHARDS, [])
    client.close()


def frame_of(stamps: list[int], series: int = 3) -> Frame:
    ids = np.arange(10, 10 + series, dtype=np.uint64)
    values = np.arange(len(stamps) * series, dtype=float).reshape(len(stamps), series)
    codes = (np.arange(series) % 2).astype(np.uint32)
    return Frame("acme", 0, ["it's\\", "b"], codes, ids, np.array(stamps, dtype=np.int64), values)


def test_rollup_rows_come_back_as_they_went(history: ClickhouseHistory) -> None:
    frame = frame_of([MIDNIGHT + 1, MIDNIGHT + 60_000, MIDNIGHT + 61_000])
    made = [rollup([part], window) for window, part in split(frame, MINUTE.width_ms)]
    parts = [one for one in made if one is not None]
    history.write(MINUTE, parts)
    back = history.rows(MINUTE, dirty([frame], MINUTE.width_ms), MINUTE.width_ms)
    assert [part.window for part in back] == [MIDNIGHT, MIDNIGHT + 60_000]
    for mine, theirs in zip(parts, back, strict=True):
        order = np.argsort(theirs.series_ids)
        for name in ("count", "sum", "sum_sq", "min", "max", "first", "last", "first_ts", "last_ts", "increase"):
            mine_too = getattr(mine, name)[np.argsort(mine.series_ids)]
            np.testing.assert_array_equal(getattr(theirs, name)[order], mine_too, err_msg=name)
        names = {int(i): theirs.metrics[c] for i, c in zip(theirs.series_ids, theirs.metric_codes, strict=True)}
        assert names == {10: "it's\\", 11: "b", 12: "it's\\"}
        np.testing.assert_array_equal(merge([theirs], MIDNIGHT).digest, merge([mine], MIDNIGHT).digest)
    versions = history.clickhouse.query("SELECT count() AS n FROM data_versions FINAL WHERE tenant = 'acme'")
    assert versions["n"].to_pylist() == [2]


@pytest.mark.parametrize("series", [3, 300])
def test_late_samples_heal_every_closed_tier(history: ClickhouseHistory, series: int) -> None:
    every = frame_of([MIDNIGHT + (step + 1) * 30_000 for step in range(10)], series)
    late = frame_of([MIDNIGHT + 120_000], series)
    late.values[:] = every.values[3]
    client = history.clickhouse
    client.insert("samples", rows.samples([every]))
    for tier in TIERS[:3]:
        client.insert("completeness", rows.completeness("other", tier.name, MIDNIGHT, np.array([1], np.uint64)))
    in_time = [rollup([part], window) for window, part in split(every, MINUTE.width_ms)]
    history.write(MINUTE, [one for one in in_time if one is not None])

    healed = heal([late], {}, history)
    assert (healed.unstored, list(healed.waiting)) == (0, ["1d"])
    for tier in TIERS[1:3]:
        found = client.query(f"SELECT count, sum FROM {tier.table} FINAL ORDER BY series_id")
        assert found["count"].to_pylist() == [10] * series
        assert found["sum"].to_pylist() == every.values.sum(axis=0).tolist()
    assert client.query("SELECT count() AS n FROM rollup_1d")["n"].to_pylist() == [0]


def test_of_few_series_nothing_else_is_read(history: ClickhouseHistory) -> None:
    history.clickhouse.insert("samples", rows.samples([frame_of([MIDNIGHT + 1], 300)]))
    assert len(history.samples(dirty([frame_of([MIDNIGHT + 1], 3)], 60_000), 60_000).series_ids) == 3
    assert len(history.samples(dirty([frame_of([MIDNIGHT + 1], 250)], 60_000), 60_000).series_ids) == 300


def test_counts_are_those_that_rows_have(history: ClickhouseHistory) -> None:
    plain = frame_of([MIDNIGHT + 1, MIDNIGHT + 300_000, MIDNIGHT + 300_001])
    plain.values[0, 1] = np.nan
    client = history.clickhouse
    for _ in range(2):
        client.insert("samples", rows.samples([plain]))
    entries = np.array([0, 0, 0], np.uint32), np.array([MIDNIGHT + 1] * 2 + [MIDNIGHT + 2]), np.array([1.0, 2.0, 3.0])
    many = Frame("acme", 0, ["it's\\"], np.zeros(1, np.uint32), np.array([12], np.uint64), *entries[1:], entries[0])
    for weights in ([1, 1, 1], [4, 1, 3]):
        many.weights = np.array(weights, np.uint32)
        made = distributions([many])
        assert made is not None
        client.insert("distributions", table_of(made))
    ids, windows, counts = history.counts(dirty([plain], 300_000), 300_000)
    found = zip(ids.tolist(), ((windows - MIDNIGHT) // 300_000).tolist(), counts.tolist(), strict=True)
    assert sorted(found) == [(10, 0, 2), (10, 1, 1), (11, 0, 1), (11, 1, 1), (12, 0, 8), (12, 1, 1)]


def test_rows_that_are_on_their_way_are_waited_for(history: ClickhouseHistory) -> None:
    every = frame_of([MIDNIGHT + (step + 1) * 30_000 for step in range(10)])
    client = history.clickhouse
    client.insert("samples", rows.samples([every]))
    for tier in TIERS[:2]:
        client.insert("completeness", rows.completeness("other", tier.name, MIDNIGHT, np.array([1], np.uint64)))
    closed = [rollup([part], window) for window, part in split(every, MINUTE.width_ms)]
    minutes = [one for one in closed if one is not None]
    history.write(MINUTE, minutes[1:])

    def five() -> list[int]:
        found: list[int] = client.query("SELECT count FROM rollup_5m FINAL")["count"].to_pylist()
        return found

    # Late for the last minute; the first one's rows are closed, but not stored yet.
    first = heal([every.at(slice(9, 10))], {}, history, tiers=TIERS[:2])
    assert (first.behind, list(first.waiting), five()) == (3, ["5m"], [8] * 3)
    history.write(MINUTE, minutes[:1])
    again = heal([], first.waiting, history, tiers=TIERS[:2])
    assert (again.behind, again.waiting, five()) == (0, {}, [10] * 3)
    # Of what never comes nobody waits for ever.
    client.command("TRUNCATE TABLE rollup_1m")
    assert heal([], first.waiting, history, patient=False, tiers=TIERS[:2]).waiting == {}
