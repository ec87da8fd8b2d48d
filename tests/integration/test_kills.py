"""Every process of the stack is killed once; what was sent meanwhile arrives once."""

import time
import uuid

import pytest

from tests.integration.pipeline import Pipeline, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

KILLED = ("taskmanager-2", "jobmanager", "kafka", "clickhouse", "redis", "query", "zookeeper")
COUNTED = "SELECT count(), uniqExact(ts) FROM samples FINAL WHERE tenant = {tenant:String}"


def test_nothing_is_lost_whichever_process_dies(pipeline: Pipeline) -> None:
    tenant = f"kills-{uuid.uuid4().hex[:8]}"
    start = time.time_ns() // 1_000_000
    sent = 0
    for name in KILLED:
        for _ in range(3):
            pipeline.send(tenant, {("beat", ()): float(sent)}, start + sent)
            sent += 1
        pipeline.stack.kill(name)

    def running() -> tuple[set[str], set[str]]:
        shown = pipeline.stack.status()
        states = {shown["processes"][name]["state"] for name in KILLED}
        return states, {job["state"] for job in shown["jobs"].values()}

    eventually(running, ({"up"}, {"RUNNING"}), seconds=300)
    eventually(lambda: list(pipeline.rows(COUNTED, tenant=tenant)[0].values()), [sent, sent], seconds=180)

    def last() -> str:
        _, body = pipeline.ask("/api/v1/query", tenant, query="last_over_time(beat[1h])")
        return "".join(one["value"][1] for one in body["data"]["result"])

    eventually(last, str(sent - 1))
