"""Distributions on the real path: values and ready digests in by Kafka, percentiles out by SQL, late ones healed."""

import time
import uuid
from collections.abc import Sequence

import numpy as np
import pytest

from schemas.batch import BatchBuilder, Series
from schemas.nan import Floats
from tests.integration.pipeline import Pipeline, eventually
from udfs.rollup import digest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

MINUTE = 60_000
VALUES = Series("latency_seconds", (("handler", "/"),), "distribution")
READY = Series("latency_seconds", (("handler", "/api"),), "distribution")

ROWS = """
SELECT toUnixTimestamp(ts) * 1000 AS at, count, round(sum, 6) AS sum, min, max, isNaN(first) AND isNaN(increase) AS none
FROM rollup_1m FINAL
WHERE tenant = {tenant:String} AND series_id IN
    (SELECT series_id FROM series WHERE tenant = {tenant:String} AND labels['handler'] = {handler:String})
ORDER BY ts
"""
PERCENTILES = """
SELECT quantilesTDigestMerge(0.5, 0.99)(digest) AS found FROM v_rollup_1m
WHERE tenant = {tenant:String} AND name = 'latency_seconds' AND labels['handler'] = {handler:String}
"""

Sent = dict[int, list[Floats]]  # minute → what was measured in it


def send(pipeline: Pipeline, tenant: str, stamp: int, values: Floats, sent: dict[str, Sent], again: int = 2) -> None:
    """Send the values as they are, and as a digest; every record more than once."""
    builder = BatchBuilder(tenant, f"{tenant}-source")
    builder.add_scrape(stamp, [(Series("up"), 1.0)])
    builder.add_distribution(stamp, VALUES, values)
    ready = digest.of_values(np.array([0, len(values)]), values)
    builder.add_distribution(stamp, READY, ready.means, ready.weights.astype(int).tolist())
    record = builder.build(time.time_ns() // 1_000_000).encode()
    for _ in range(again):
        pipeline.send_record(record, f"{tenant}-source")
    for handler in ("/", "/api"):
        sent.setdefault(handler, {}).setdefault((stamp - 1) // MINUTE * MINUTE, []).append(values)


def rows(pipeline: Pipeline, tenant: str) -> Sequence[tuple[int, int, float, float, float, int]]:
    return [tuple(row.values()) for row in pipeline.rows(ROWS, tenant=tenant, handler="/")]


def expected(sent: Sent) -> Sequence[tuple[int, int, float, float, float, int]]:
    found = []
    for minute, parts in sorted(sent.items()):
        every = np.concatenate(parts)
        found.append((minute, len(every), round(float(every.sum()), 6), every.min(), every.max(), 1))
    return found


def check(pipeline: Pipeline, tenant: str, sent: dict[str, Sent]) -> None:
    eventually(lambda: rows(pipeline, tenant), expected(sent["/"]), seconds=200)
    counted = [(at, count) for at, count, *_ in expected(sent["/api"])]
    eventually(lambda: [(r["at"], r["count"]) for r in pipeline.rows(ROWS, tenant=tenant, handler="/api")], counted)
    every = np.concatenate([part for parts in sent["/"].values() for part in parts])
    for handler in ("/", "/api"):
        found = pipeline.value(PERCENTILES, tenant=tenant, handler=handler)
        for level, quantile, bound in zip((0.5, 0.99), found, (0.005, 0.001), strict=True):
            assert abs((every <= quantile).mean() - level) <= bound + 1 / len(every), (handler, level)


def test_distributions_reach_every_tier_and_heal(pipeline: Pipeline) -> None:
    tenant = f"many-{uuid.uuid4().hex[:8]}"
    rng = np.random.default_rng(7)
    sent: dict[str, Sent] = {}
    # Whole thousandths: a sum does not then depend on the order of its terms.
    measured = [np.round(rng.lognormal(size=1000), 3) for _ in range(8)]
    now = time.time_ns() // 1_000_000
    for number, values in enumerate(measured[:6]):
        send(pipeline, tenant, now - 5000 + number * 1000, values, sent)
    builder = BatchBuilder(tenant, "bad")
    builder.add_distribution(now, VALUES, [float("nan")])
    pipeline.send_record(builder.build(now).encode())
    check(pipeline, tenant, sent)

    # Late for a closed minute, one of them beside those in time.
    send(pipeline, tenant, now - 3 * MINUTE, measured[6], sent, again=1)
    send(pipeline, tenant, now - 4500, measured[7], sent)
    check(pipeline, tenant, sent)

    refused = "SELECT groupUniqArray(id) FROM rejections WHERE tenant = {tenant:String}"
    eventually(lambda: pipeline.value(refused, tenant=tenant), ["TG-distribution-value"])
    _, listed = pipeline.ask("/api/v1/series", tenant, **{"match[]": "latency_seconds"})
    assert sorted(one["handler"] for one in listed["data"]) == ["/", "/api"]
    stored = (
        "SELECT count(), sum(count) FROM v_distributions WHERE tenant = {tenant:String} AND name = 'latency_seconds'"
    )
    assert list(pipeline.rows(stored, tenant=tenant)[0].values()) == [16, 16_000]
    assert pipeline.value("SELECT count() FROM samples FINAL WHERE tenant = {tenant:String}", tenant=tenant) == 8
