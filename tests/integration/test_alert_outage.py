"""Alerts after an outage that is longer than what their rules look at: what was true all along does not end."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.batch import BatchBuilder, Series
from tests.integration.alerting import applied
from tests.integration.pipeline import Pipeline, eventually, now_ms
from tests.integration.stopped import stopped

pytestmark = [pytest.mark.stack, pytest.mark.kills, pytest.mark.timeout(600)]

HOSTS = [f"h{number}" for number in range(16)]
OUTAGE_S = 30.0
RULES = """
groups:
  - name: g
    interval: 1s
    rules:
      - alert: Alive
        expr: count by (host) (count_over_time(load[15s])) > 0
"""


@contextmanager
def sending(pipeline: Pipeline, tenant: str) -> Iterator[None]:
    """Let each host send twice a second, by itself, so that they are spread over the partitions."""
    builders = {host: BatchBuilder(tenant, host) for host in HOSTS}
    done = threading.Event()

    def run() -> None:
        while not done.wait(0.5):
            now = now_ms()
            for host, builder in builders.items():
                builder.add_scrape(now, [(Series("load", (("host", host),)), 1.0)])
                pipeline.post(builder.build(now).encode(), host)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def states(pipeline: Pipeline, tenant: str) -> dict[str, list[str]]:
    """Return the transitions of each host's alert, in order."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for event in pipeline.events(tenant):
        found[event["labels"]["host"]][event["seq"]] = event["state"]
    return {host: [told[seq] for seq in sorted(told)] for host, told in found.items()}


def test_what_was_true_through_an_outage_does_not_end(pipeline: Pipeline, tmp_path: Path) -> None:
    tenant = applied(pipeline, "outage", tmp_path, RULES)
    with sending(pipeline, tenant):
        eventually(lambda: states(pipeline, tenant), {host: ["firing"] for host in HOSTS})
        with stopped(pipeline, ("taskmanager-1", "taskmanager-2")):
            time.sleep(OUTAGE_S)
        time.sleep(5.0)
    eventually(lambda: states(pipeline, tenant), {host: ["firing", "resolved"] for host in HOSTS}, 180)
