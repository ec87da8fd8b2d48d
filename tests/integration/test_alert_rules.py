"""Rules change while the alert job runs: edits, deletions and nonsense on control.rules, without a restart."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaProducer

from load.rules import main as rules
from schemas import topics
from tests.integration.pipeline import Pipeline, eventually
from tests.integration.test_path import now_ms, tenant_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

RULE = """
groups:
  - name: edit
    interval: 1s
    rules:
      - alert: Load
        expr: sum by (host) (load) > {threshold}
"""


@pytest.fixture
def apply(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    monkeypatch.setenv("TIDEGAUGE_KAFKA", pipeline.stack.endpoints["kafka"])
    file = tmp_path / "edited.yaml"

    def apply(tenant: str, text: str) -> None:
        file.write_text(text)
        assert rules(["apply", str(file), "--tenant", tenant]) == 0

    return apply


def test_edits_and_deletions_are_in_force_without_a_restart(
    pipeline: Pipeline, apply: Callable[[str, str], None]
) -> None:
    tenant = tenant_of("edit")

    def states() -> list[str]:
        pipeline.send(tenant, {("load", (("host", "a"),)): 85.0}, now_ms())
        found = {event["seq"]: event["state"] for event in pipeline.events(tenant)}
        return [found[seq] for seq in sorted(found)]

    apply(tenant, RULE.format(threshold=80))
    eventually(states, ["firing"])
    apply(tenant, RULE.format(threshold=90))
    eventually(states, ["firing", "resolved"])

    producer = KafkaProducer(bootstrap_servers=pipeline.stack.endpoints["kafka"], acks="all")
    for value in (b"nonsense", b"\xff\xfe", b'{"tenant": 5}'):
        producer.send(topics.RULES, key=f"{tenant}/edit/Load".encode(), value=value).get(timeout=30)
    producer.close()

    apply(tenant, RULE.format(threshold=80))
    eventually(states, ["firing", "resolved", "firing"])
    apply(tenant, "groups: []")
    eventually(states, ["firing", "resolved", "firing", "resolved"])
    revisions = {event["seq"]: event["revision"] for event in pipeline.events(tenant)}
    assert revisions[1] == revisions[3] != revisions[2]
