"""Ten processes die at random moments: every sample, row and state of an alert is what it would have been."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from schemas.ids import series_id
from schemas.tiers import MINUTE, TIERS
from tests.integration.alerting import Sender, applied, numbered, states
from tests.integration.oracle import Sent, before, expected
from tests.integration.pipeline import Labels, Pipeline, eventually, tenant_of

pytestmark = [pytest.mark.stack, pytest.mark.kills, pytest.mark.timeout(900)]

EACH = ("taskmanager-1", "taskmanager-2", "jobmanager", "kafka", "clickhouse", "redis", "query", "zookeeper")
AGAIN = ("taskmanager-1", "clickhouse")
SERIES: list[tuple[str, Labels]] = [("beat", (("host", f"h{host}"),)) for host in range(12)]
COUNTED = "SELECT count() FROM samples FINAL WHERE tenant = {tenant:String}"


def rise_and_fall(pipeline: Pipeline, tenant: str) -> None:
    """Let an alert fire, end and fire again, each as soon as the one before has been told."""
    wanted = ["pending"]
    with Sender(pipeline, tenant) as sender:
        eventually(lambda: states(pipeline, tenant, "Gone"), numbered("firing", "resolved"), 300)
        for level, told in ((9.0, ["firing"]), (1.0, ["resolved"]), (9.0, ["pending", "firing"])):
            sender.level = level
            wanted += told
            eventually(lambda: states(pipeline, tenant, "Load"), numbered(*wanted), 300)


def kill_ten(pipeline: Pipeline) -> Counter[str]:
    """Kill each process once, and some twice, in a random order; return which were alive then."""
    dice = random.Random()
    names = dice.sample([*EACH, *AGAIN], len(EACH) + len(AGAIN))
    print("killed", names)
    died: Counter[str] = Counter()
    for name in names:
        time.sleep(dice.uniform(0.5, 6.0))
        if pipeline.stack.kill(name):
            died[name] += 1
        else:
            print(f"{name} was down already")
    return died


def test_nothing_is_lost_whichever_process_dies(pipeline: Pipeline, tmp_path: Path) -> None:
    tenant, alerting = tenant_of("kills"), applied(pipeline, "akill", tmp_path)
    eventually(lambda: states(pipeline, alerting, "Gone"), numbered("firing"))  # before there is any sample
    sent: Sent = {}
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.4):
            stamp = time.time_ns() // 1_000_000
            scrape = {series: float(stamp % 1000 + place) for place, series in enumerate(SERIES)}
            pipeline.send(tenant, scrape, stamp)
            sent.update({(series_id(tenant, *series), stamp): value for series, value in scrape.items()})

    def running() -> tuple[set[str], set[str]]:
        shown = pipeline.stack.status()
        up = {shown["processes"][name]["state"] for name in EACH}
        return up, {job["state"] for job in shown["jobs"].values()}

    earlier = pipeline.stack.status()["processes"]
    with ThreadPoolExecutor() as beside:
        alerts, sender = beside.submit(rise_and_fall, pipeline, alerting), beside.submit(send)
        try:
            died = kill_ten(pipeline)
        finally:
            done.set()
        sender.result()
        eventually(running, ({"up"}, {"RUNNING"}), seconds=300)
        alerts.result()
    later = pipeline.stack.status()["processes"]
    assert {name: later[name]["restarts"] - earlier[name]["restarts"] for name in EACH} == {
        name: died[name] for name in EACH
    }
    assert not [name for name in died if later[name]["pid"] == earlier[name]["pid"]]
    eventually(lambda: pipeline.value(COUNTED, tenant=tenant), len(sent), seconds=180)
    last = max(stamp for _, stamp in sent)
    eventually(lambda: pipeline.closed(MINUTE, tenant) + MINUTE.width_ms >= last, True, seconds=180)
    for tier in TIERS[:2]:
        upto = pipeline.closed(tier, tenant) + tier.width_ms
        rows = partial(pipeline.rolled, tier, [tenant], upto)
        eventually(rows, before(upto, expected(sent, tier.width_ms)))

    def latest() -> str:
        _, body = pipeline.ask("/api/v1/query", tenant, query='last_over_time(beat{host="h0"}[1h])')
        return "".join(one["value"][1] for one in body["data"]["result"])

    eventually(latest, f"{last % 1000}")
