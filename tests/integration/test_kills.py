"""Ten processes of the stack die at random moments; every sample and every row is what it would have been."""

import random
import threading
import time
import uuid
from collections import Counter
from functools import partial

import pytest

from schemas.ids import series_id
from schemas.tiers import MINUTE, TIERS
from tests.integration.oracle import Sent, before, expected
from tests.integration.pipeline import Labels, Pipeline, eventually

pytestmark = [pytest.mark.stack, pytest.mark.kills, pytest.mark.timeout(600)]

EACH = ("taskmanager-1", "taskmanager-2", "jobmanager", "kafka", "clickhouse", "redis", "query", "zookeeper")
AGAIN = ("taskmanager-1", "clickhouse")
SERIES: list[tuple[str, Labels]] = [("beat", (("host", f"h{host}"),)) for host in range(12)]
COUNTED = "SELECT count() FROM samples FINAL WHERE tenant = {tenant:String}"


def test_nothing_is_lost_whichever_process_dies(pipeline: Pipeline) -> None:
    tenant = f"kills-{uuid.uuid4().hex[:8]}"
    sent: Sent = {}
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.4):
            stamp = time.time_ns() // 1_000_000
            scrape = {series: float(stamp % 1000 + place) for place, series in enumerate(SERIES)}
            pipeline.send(tenant, scrape, stamp)
            sent.update({(series_id(tenant, *series), stamp): value for series, value in scrape.items()})

    sender = threading.Thread(target=send)
    sender.start()
    dice = random.Random()
    names = dice.sample([*EACH, *AGAIN], len(EACH) + len(AGAIN))
    print("killed", names)
    earlier = pipeline.stack.status()["processes"]
    died: Counter[str] = Counter()
    for name in names:
        time.sleep(dice.uniform(0.5, 6.0))
        if pipeline.stack.kill(name):
            died[name] += 1
        else:
            print(f"{name} was down already")
    done.set()
    sender.join()

    def running() -> tuple[set[str], set[str]]:
        shown = pipeline.stack.status()
        states = {shown["processes"][name]["state"] for name in EACH}
        return states, {job["state"] for job in shown["jobs"].values()}

    eventually(running, ({"up"}, {"RUNNING"}), seconds=300)
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
