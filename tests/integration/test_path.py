"""The whole path on real parts: in by Kafka, through the five jobs, out by SQL, HTTP and events.

Every test has a tenant of its own. Expected rollups come from the pure code over the same samples.
"""

from pathlib import Path

import numpy as np
import pytest

from schemas.batch import Batch, Series, encode_series_set
from schemas.ids import series_id
from schemas.nan import STALE
from schemas.tiers import TIERS
from stack.rest import FlinkRest
from tests.integration.alerting import applied
from tests.integration.oracle import Rows, expected
from tests.integration.pipeline import Labels, Pipeline, eventually, now_ms, tenant_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

MINUTE = 60_000


COUNTED = "SELECT count() FROM samples FINAL WHERE tenant = {tenant:String}"


def labels_of(host: int) -> Labels:
    return (("host", f"h{host}"),)


@pytest.mark.kills
def test_rollups_are_exact_through_repeats_a_kill_and_late_data(pipeline: Pipeline) -> None:
    tenant = tenant_of("exact")
    sent: dict[tuple[int, int], float] = {}
    records = []

    def scrape(stamp: int, value: float) -> None:
        samples = {("requests_total", labels_of(host)): value + host for host in range(40)}
        records.append(pipeline.send(tenant, samples, stamp))
        for (name, labels), each in samples.items():
            sent[series_id(tenant, name, labels), stamp] = each

    def rolled() -> Rows:
        return pipeline.rolled(TIERS[0], [tenant], now_ms())

    for step in range(5):
        scrape(now_ms(), float(step * 10))
    pipeline.stack.kill("taskmanager-1")
    for step in range(5):
        scrape(now_ms(), float(step))
    for record in records:
        pipeline.send_record(record)

    eventually(lambda: pipeline.value(COUNTED, tenant=tenant), len(sent))
    eventually(rolled, expected(sent, MINUTE), seconds=180)

    # Two minutes behind: closed long ago. Raw, the row and its digest heal, and nothing else changes.
    scrape(now_ms() - 2 * MINUTE, 1000.0)
    first = min(stamp for _, stamp in sent)
    scrape(first + 1, 500.0)
    eventually(lambda: pipeline.value(COUNTED, tenant=tenant), len(sent))
    eventually(rolled, expected(sent, MINUTE))
    merged = pipeline.rows(
        "SELECT quantilesTDigestMerge(0.0, 1.0)(tdigest) AS ends FROM rollup_1m FINAL WHERE tenant = {tenant:String}",
        tenant=tenant,
    )
    assert merged[0]["ends"] == [min(sent.values()), max(sent.values())]


def test_the_jobs_have_the_settings_of_the_cluster_file(pipeline: Pipeline) -> None:
    rest = FlinkRest(pipeline.stack.endpoints["flink"], timeout_s=30)
    jobs = rest.jobs()
    assert jobs
    for job in jobs.values():
        assert rest.call(f"/jobs/{job.id}/config")["execution-config"]["object-reuse-mode"]
        assert rest.call(f"/jobs/{job.id}/checkpoints/config")["tolerable_failed_checkpoints"] == 10


def test_bad_input_is_named_and_its_neighbours_arrive(pipeline: Pipeline) -> None:
    tenant = tenant_of("bad")
    now = now_ms()
    series = [
        Series("good", (("n", "1"),)),
        Series("bad name"),
        Series("huge", (("label", "x" * (1 << 20)),)),
        Series("dup", (("a", "1"), ("a", "2"))),
        Series("good", (("n", "2"),)),
    ]
    stamps = np.array([0, now - 1000, 4_102_444_800_000])
    values = np.arange(15, dtype=float).reshape(3, 5)
    values[1, 4] = np.array([0x7FF80000DEADBEEF], dtype=np.uint64).view(np.float64)[0]
    good = Batch(tenant, "s", now, encode_series_set(series), stamps, values).encode()
    for record in (b"", good[:50], b"not avro at all", good[:2] + b"12345678" + good[10:], good):
        pipeline.send_record(record)

    rejected = "SELECT id, sum(samples) AS samples FROM rejections FINAL WHERE tenant = {tenant:String} GROUP BY id"
    wanted = {"TG-metric-name": 1, "TG-label-value": 1, "TG-label-duplicate": 1, "TG-too-old": 5, "TG-too-future": 5}
    eventually(lambda: {row["id"]: row["samples"] for row in pipeline.rows(rejected, tenant=tenant)}, wanted)
    eventually(lambda: pipeline.value(COUNTED, tenant=tenant), 2)
    unreadable = "SELECT groupUniqArray(id) FROM rejections WHERE tenant = ''"
    assert {"TG-truncated", "TG-not-avro", "TG-unknown-schema"} <= set(pipeline.value(unreadable))
    bits = "SELECT groupArray(hex(reinterpretAsUInt64(value))) FROM samples FINAL WHERE tenant = {tenant:String}"
    assert sorted(pipeline.value(bits, tenant=tenant)) == ["4014000000000000", "7FF8000000000001"]


def test_answers_over_http_keep_tenants_apart(pipeline: Pipeline) -> None:
    tenant = tenant_of("http")
    start = now_ms() - 20_000
    for step in range(4):
        pipeline.send(tenant, {("temp", labels_of(1)): float(step), ("temp", labels_of(2)): 5.0}, start + step * 5000)
    pipeline.send(tenant, {("temp", labels_of(2)): float(STALE[0])}, start + 16_000)
    eventually(lambda: pipeline.value(COUNTED, tenant=tenant), 9)

    at = str((start + 16_000) / 1000)

    def current() -> tuple[int, list[tuple[str, str]]]:
        status, body = pipeline.ask("/api/v1/query", tenant, query="temp", time=at)
        return status, [(one["metric"]["host"], one["value"][1]) for one in body["data"]["result"]]

    eventually(current, (200, [("h1", "3")]))
    status, body = pipeline.ask("/api/v1/query", tenant, query="sum(max_over_time(temp[1m]))", time=at)
    assert body["data"]["result"][0]["value"][1] == "8"
    _, body = pipeline.ask("/api/v1/label/host/values", tenant)
    assert body["data"] == ["h1", "h2"]
    _, body = pipeline.ask("/api/v1/query", tenant_of("stranger"), query="temp", time=at)
    assert body["data"]["result"] == []
    status, body = pipeline.ask("/api/v1/query", tenant, query="temp{")
    assert (status, body["errorType"]) == (400, "bad_data")


RULES = """
groups:
  - name: test
    interval: 1s
    rules:
      - alert: Hot
        expr: max by (host) (max_over_time(temp[10s])) > 90
        for: 3s
        labels: {severity: page}
        annotations: {summary: "{{ $labels.host }} is at {{ $value }}"}
"""


def test_a_rule_fires_on_the_stream_and_resolves(pipeline: Pipeline, tmp_path: Path) -> None:
    tenant = applied(pipeline, "alert", tmp_path, RULES)

    def states() -> list[str]:
        found = {(e["labels"]["host"], e["seq"]): e["state"] for e in pipeline.events(tenant)}
        return [found[key] for key in sorted(found)]

    def heat(value: float) -> list[str]:
        pipeline.send(tenant, {("temp", labels_of(1)): value, ("temp", labels_of(2)): 20.0}, now_ms())
        return states()

    eventually(lambda: heat(95.0)[-1:], ["firing"])
    eventually(lambda: heat(50.0)[-1:], ["resolved"])
    assert states() == ["pending", "firing", "resolved"]
    firing = next(e for e in pipeline.events(tenant) if e["state"] == "firing")
    assert firing["labels"] == {"alertname": "Hot", "host": "h1", "severity": "page"}
    assert firing["annotations"]["summary"] == "h1 is at 95"
    assert firing["evaluated_at"] - firing["active_at"] >= 3000
    stored = "SELECT count() FROM alert_events FINAL WHERE tenant = {tenant:String}"
    eventually(lambda: pipeline.value(stored, tenant=tenant), 3)
