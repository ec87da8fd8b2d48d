"""Rules change while the alert job runs: edits, deletions and nonsense on control.rules, without a restart."""

import time
from pathlib import Path

import pytest
from kafka import KafkaProducer

from schemas import topics
from stack.cli import main as tidegauge
from tests.integration.alerting import applied, apply
from tests.integration.pipeline import Pipeline, eventually, now_ms

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

RULE = """
groups:
  - name: edit
    interval: 1s
    rules:
      - alert: Load
        expr: sum by (host) (load) > {threshold}
"""


def test_edits_and_deletions_are_in_force_without_a_restart(pipeline: Pipeline, tmp_path: Path) -> None:
    tenant = applied(pipeline, "edit", tmp_path, RULE.format(threshold=80))

    def states() -> list[str]:
        pipeline.send(tenant, {("load", (("host", "a"),)): 85.0}, now_ms())
        found = {event["seq"]: event["state"] for event in pipeline.events(tenant)}
        return [found[seq] for seq in sorted(found)]

    eventually(states, ["firing"])
    apply(pipeline, tenant, tmp_path, RULE.format(threshold=90))
    eventually(states, ["firing", "resolved"])

    producer = KafkaProducer(bootstrap_servers=pipeline.stack.endpoints["kafka"], acks="all")
    for value in (b"nonsense", b"\xff\xfe", b'{"tenant": 5}'):
        producer.send(topics.RULES, key=f"{tenant}/edit/Load".encode(), value=value).get(timeout=30)
    producer.close()

    apply(pipeline, tenant, tmp_path, RULE.format(threshold=80))
    eventually(states, ["firing", "resolved", "firing"])
    apply(pipeline, tenant, tmp_path, "groups: []")
    eventually(states, ["firing", "resolved", "firing", "resolved"])
    revisions = {event["seq"]: event["revision"] for event in pipeline.events(tenant)}
    assert revisions[1] == revisions[3] != revisions[2]


def test_a_late_sample_makes_a_missed_event_and_why_explains_it(
    pipeline: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tenant = applied(pipeline, "missed", tmp_path, RULE.format(threshold=80))
    series = ("load", (("host", "a"),))
    began = now_ms()
    late = 0

    def told() -> list[tuple[str, float, list[tuple[int, float]]]]:
        nonlocal late
        pipeline.send(tenant, {series: 1.0}, now_ms())
        if not late and now_ms() > began + 20_000:  # ten seconds ago, on the second: a tick would have seen it
            late = (now_ms() - 10_000) // 1000 * 1000
            pipeline.send(tenant, {series: 99.0}, late)
        return [
            (one["state"], one["value"], [(sample["timestamp"], sample["value"]) for sample in one["late"]])
            for one in pipeline.events(tenant)
        ]

    end = time.monotonic() + 180
    while not (found := told()):
        assert time.monotonic() < end, "no event"
    assert found == [("missed", 99.0, [(late, 99.0)])]
    (event,) = pipeline.events(tenant)
    assert event["starts_at"] == late < event["late"][0]["arrived_at"]

    sql = "SELECT state, key FROM alert_events FINAL WHERE tenant = {tenant:String}"
    eventually(lambda: pipeline.rows(sql, tenant=tenant), [{"state": "missed", "key": event["key"]}])
    _, body = pipeline.ask("/api/v1/alerts", tenant)
    assert body["data"]["alerts"] == []
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", pipeline.stack.endpoints["clickhouse"])
    assert tidegauge(["why", event["key"], "--tenant", tenant]) == 0
    told_why = capsys.readouterr().out
    assert "sum by (host) (load) > 80" in told_why and "<- the decision" in told_why
    assert told_why.count("arrived") == 2 and "99  arrived" in told_why, "in the heading, and of the sample"
    assert "today's data give another decision" in told_why
