"""Alerts while processes die and while the storage is gone: the states are those of a run without either."""

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka.errors import KafkaError

from load.rules import main as rules
from tests.integration.pipeline import Pipeline, eventually, now_ms
from tests.integration.stopped import stopped

pytestmark = [pytest.mark.stack, pytest.mark.kills, pytest.mark.timeout(600)]

RULES = """
groups:
  - name: g
    interval: 1s
    rules:
      - record: load:twice
        expr: 2 * load
      - alert: Load
        expr: load:twice > 10
        for: 3s
      - alert: Gone
        expr: absent(load)
"""
Apply = Callable[[str], str]


@pytest.fixture
def applied(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apply:
    monkeypatch.setenv("TIDEGAUGE_KAFKA", pipeline.stack.endpoints["kafka"])

    def applied(word: str) -> str:
        tenant = f"{word}-{uuid.uuid4().hex[:8]}"
        file = tmp_path / f"{tenant}.yaml"
        file.write_text(RULES)
        assert rules(["apply", str(file), "--tenant", tenant]) == 0
        return tenant

    return applied


class Sender:
    """Sends one series twice a second; level is its value. What could not be sent in time is sent with its time."""

    def __init__(self, pipeline: Pipeline, tenant: str) -> None:
        self._pipeline, self._tenant = pipeline, tenant
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.level = 1.0

    def _run(self) -> None:
        while not self._done.wait(0.5):
            self._pipeline.send(self._tenant, {("load", (("host", "a"),)): self.level}, now_ms())

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def states(pipeline: Pipeline, tenant: str, alert: str) -> list[tuple[int, str]]:
    """Return (seq, state) of each transition; a repeat of one says what the first said, apart from when.

    Nothing while the broker is away.
    """
    found: dict[str, dict[str, object]] = {}
    try:
        said = list(pipeline.events(tenant))
    except KafkaError:
        return []
    for event in said:
        event.pop("emitted_at")
        if event["alert"] == alert and not event["resend"]:
            assert found.setdefault(event["key"], event) == event
    return sorted((int(str(one["seq"])), str(one["state"])) for one in found.values())


def numbered(*words: str) -> list[tuple[int, str]]:
    return list(enumerate(words, 1))


def test_three_kills_change_no_state(pipeline: Pipeline, applied: Apply) -> None:
    tenant = applied("akill")

    def told() -> list[tuple[int, str]]:
        return states(pipeline, tenant, "Load")

    eventually(lambda: states(pipeline, tenant, "Gone"), numbered("firing"))  # before there is any sample
    with Sender(pipeline, tenant) as sender:
        eventually(lambda: states(pipeline, tenant, "Gone"), numbered("firing", "resolved"))
        sender.level = 9.0
        eventually(lambda: told()[:1], numbered("pending"))
        assert pipeline.stack.kill("taskmanager-1")
        eventually(told, numbered("pending", "firing"), 180)
        assert pipeline.stack.kill("jobmanager")
        sender.level = 1.0
        eventually(told, numbered("pending", "firing", "resolved"), 180)
        assert pipeline.stack.kill("kafka")
        sender.level = 9.0
        eventually(told, numbered("pending", "firing", "resolved", "pending", "firing"), 180)


def test_alerts_go_on_without_storage_and_history_is_filled_in(pipeline: Pipeline, applied: Apply) -> None:
    tenant = applied("astore")
    sql = "SELECT seq, state FROM alert_events FINAL WHERE tenant = {tenant:String} AND alert = 'Load' ORDER BY seq"

    def told() -> list[tuple[int, str]]:
        return states(pipeline, tenant, "Load")

    eventually(lambda: states(pipeline, tenant, "Gone"), numbered("firing"))  # before there is any sample
    with Sender(pipeline, tenant) as sender:
        eventually(lambda: states(pipeline, tenant, "Gone"), numbered("firing", "resolved"))
        with stopped(pipeline, ("clickhouse", "redis")):
            sender.level = 9.0
            eventually(told, numbered("pending", "firing"))
            sender.level = 1.0
            eventually(told, numbered("pending", "firing", "resolved"))
            time.sleep(1)
        eventually(
            lambda: [(row["seq"], row["state"]) for row in pipeline.rows(sql, tenant=tenant)],
            numbered("pending", "firing", "resolved"),
            240,
        )

    def listed() -> list[tuple[str, str]]:
        _, body = pipeline.ask("/api/v1/rules", tenant)
        groups = body.get("data", {}).get("groups", [])
        return [(rule["name"], rule.get("state", "")) for group in groups for rule in group["rules"]]

    eventually(listed, [("load:twice", ""), ("Load", "inactive"), ("Gone", "inactive")])
