"""Distributions on the real engine: one stands whatever the order of arrival, and healing reads what was written."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from schemas.batch import Batch, BatchBuilder, Series
from schemas.frame import Frame
from schemas.tiers import MINUTE, TIERS
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from sinks.distributions import table_of
from sinks.history import ClickhouseHistory
from tests import embedded
from tests.udfs.rollup.test_distribution import One, comparable, made, weighted
from udfs.frames import Framer
from udfs.gate.gate import Gate, Passed
from udfs.gate.limits import Limits
from udfs.reroll.dirty import dirty
from udfs.reroll.heal import heal
from udfs.rollup.digest import decode, quantiles
from udfs.rollup.distribution import distinct, rollup

MIDNIGHT = (time.time_ns() // 1_000_000 // 86_400_000 - 1) * 86_400_000


@pytest.fixture
def history() -> Iterator[ClickhouseHistory]:
    apply(embedded.endpoint(), "default", "", "sinks_distributions")
    client = Clickhouse(embedded.endpoint(), database="sinks_distributions")
    for table in ("distributions", "series", "completeness", *(tier.table for tier in TIERS)):
        client.command(f"TRUNCATE TABLE {table}")
    yield ClickhouseHistory(client, 1, [])
    client.close()


def ones(seed: int = 3) -> list[One]:
    rng = np.random.default_rng(seed)
    return [
        (series, MIDNIGHT + step * 20_000, tuple((float(v), int(w)) for v, w in zip(values, weights, strict=True)))
        for series in range(3)
        for step in range(9)
        for values, weights in [(rng.normal(size=300), rng.integers(1, 9, 300))]
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_the_larger_of_two_stands_before_and_after_a_merge(history: ClickhouseHistory, order: int) -> None:
    small, large = made([weighted([(1, MIDNIGHT, ((1.0, 2),))])]), made([weighted([(1, MIDNIGHT, ((0.5, 3),))])])
    tied = made([weighted([(1, MIDNIGHT, ((0.25, 3),))])])
    client = history.clickhouse
    for one in [small, large, tied][::order]:
        client.insert("distributions", rows.block("distributions", [rows.pack(table_of(one))]))
    expected = max((large, tied), key=lambda one: int(one.version[0])).sum.tolist()
    asked = "SELECT sum FROM distributions FINAL"
    assert client.query(asked)["sum"].to_pylist() == expected
    client.command("OPTIMIZE TABLE distributions FINAL")
    assert client.query(asked.removesuffix(" FINAL"))["sum"].to_pylist() == expected


def test_they_come_back_as_they_went(history: ClickhouseHistory) -> None:
    frame = weighted(ones())
    whole = made([frame])
    for _ in range(2):  # a replay
        history.clickhouse.insert("distributions", table_of(whole))
    back = history.distributions(dirty([frame], MINUTE.width_ms), MINUTE.width_ms)
    assert back is not None
    assert len(back) == 2 * len(whole)
    assert comparable(distinct(back)) == comparable(whole)
    assert history.distributions(dirty([weighted([(1, 0, ((1.0, 1),))])], 60_000), 60_000) is None


def test_late_ones_heal_every_closed_tier_as_if_in_time(history: ClickhouseHistory) -> None:
    every = ones()
    late = every[4::9]
    client = history.clickhouse
    for tier in TIERS[:3]:
        client.insert("completeness", rows.completeness("other", tier.name, MIDNIGHT, np.array([1], np.uint64)))
    client.insert("distributions", table_of(made([weighted([one for one in every if one not in late])])))
    assert heal([weighted(late)], {}, history).unstored == len(late)
    client.insert("distributions", table_of(made([weighted(late)])))
    for start in range(0, 180_000, 60_000):
        in_time = [one for one in every if one not in late and start < one[1] - MIDNIGHT <= start + 60_000]
        history.write(MINUTE, [rollup(made([weighted(in_time)]), MIDNIGHT + start)])
    assert heal([weighted(late)], {}, history).unstored == 0

    minutes = {
        start: rollup(made([weighted([one for one in every if start < one[1] - MIDNIGHT <= start + 60_000])]), start)
        for start in (0, 60_000, 120_000)
    }
    asked = "SELECT digest, sum FROM rollup_1m FINAL ORDER BY ts, metric, series_id"
    got = client.query(asked)
    assert b"".join(got["digest"].cast("binary").to_pylist()) == b"".join(
        one.digest.tobytes() for one in minutes.values()
    )
    assert got["sum"].to_pylist() == [value for one in minutes.values() for value in one.sum.tolist()]
    hour = client.query("SELECT count, sum, isNaN(first) AS first FROM rollup_1h FINAL ORDER BY metric, series_id")
    assert hour["count"].to_pylist() == sum(one.count.astype(int) for one in minutes.values()).tolist()  # type: ignore[union-attr]  # sum of arrays
    assert hour["first"].to_pylist() == [1, 1, 1]


def frame_through_the_gate(batch: Batch) -> Frame:
    (passed,) = [one for one in Gate.open(1, Limits()).judge(batch.encode(), MIDNIGHT) if isinstance(one, Passed)]
    return Framer().frame(passed.batch)


def test_sql_reads_percentiles_of_a_producers_digest(history: ClickhouseHistory) -> None:
    values = np.random.default_rng(1).exponential(size=5000)
    series = Series("latency_seconds", (("handler", "/"),), "distribution")
    builder = BatchBuilder("default", "web-1")
    builder.add_distribution(MIDNIGHT, series, values[:4000])
    builder.add_distribution(MIDNIGHT + 1000, series, values[4000:])
    found = made([frame_through_the_gate(builder.build(MIDNIGHT))])
    client = history.clickhouse
    client.insert("distributions", table_of(found))
    known = rows.series("default", [(int(found.series_ids[0]), series)], MIDNIGHT, MIDNIGHT + 1000)
    client.insert("series", known)
    asked = """
    SELECT labels, sum(count) AS count, min(min) AS low, max(max) AS high,
        quantilesTDigestMerge(0.5, 0.99)(digest) AS p50_p99, any(p50) AS own
    FROM v_distributions WHERE tenant = 'default' AND name = 'latency_seconds' GROUP BY labels
    """
    (row,) = client.query(asked).to_pylist()
    assert (row["count"], row["low"], row["high"]) == (5000, values.min(), values.max())
    for level, quantile, bound in zip((0.5, 0.99), row["p50_p99"], (0.005, 0.001), strict=True):
        assert abs((values <= quantile).mean() - level) <= bound + 1 / len(values)
    mine = quantiles(decode(rollup(found, MIDNIGHT).digest.tobytes()), np.array([0.5, 0.99]))[0]
    np.testing.assert_allclose(mine, row["p50_p99"], rtol=0.02)
