"""Alerts while the storage is gone: the states are those of a run with it, and its history is filled in."""

import time
from pathlib import Path

import pytest

from tests.integration.alerting import Sender, applied, numbered, states
from tests.integration.pipeline import Pipeline, eventually
from tests.integration.stopped import stopped

pytestmark = [pytest.mark.stack, pytest.mark.kills, pytest.mark.timeout(600)]


def test_alerts_go_on_without_storage_and_history_is_filled_in(pipeline: Pipeline, tmp_path: Path) -> None:
    tenant = applied(pipeline, "astore", tmp_path)
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
