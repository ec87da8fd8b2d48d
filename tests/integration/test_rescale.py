"""From 2 to 4 subtasks and back by savepoint, in the middle of open windows: nothing is lost, nothing comes twice."""

import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from schemas.ids import series_id
from schemas.tiers import MINUTE
from stack.rest import FlinkRest
from stack.upgrade import wait_running
from tests.integration.alerting import applied
from tests.integration.beside import submit
from tests.integration.oracle import Sent, expected
from tests.integration.pipeline import Labels, Pipeline, eventually

pytestmark = [pytest.mark.stack, pytest.mark.kills, pytest.mark.timeout(400)]

SERIES: list[tuple[str, Labels]] = [("beat", (("host", f"h{host}"),)) for host in range(40)]

RULES = "groups: [{name: g, interval: 1s, rules: [{alert: Load, expr: load > 80}]}]"

Rescale = Callable[[int], None]


@pytest.fixture
def rescale(stack: Any, tmp_path: Path) -> Iterator[Rescale]:
    """Yield a function that stops rollup with a savepoint and starts it with so many subtasks; alert makes room."""
    rest = FlinkRest(stack.endpoints["flink"], timeout_s=60)

    def start(name: str, savepoint: str, parallelism: int) -> None:
        submit(stack, tmp_path, name, "--from", f"{name}={savepoint}", TIDEGAUGE_PARALLELISM=str(parallelism))
        wait_running(rest, (name,))

    def to(parallelism: int) -> None:
        start("rollup", rest.stop_with_savepoint(rest.jobs()["rollup"]), parallelism)

    alert = rest.stop_with_savepoint(rest.jobs()["alert"])
    yield to
    to(2)
    start("alert", alert, 2)


def test_rescaling_loses_nothing(pipeline: Pipeline, rescale: Rescale) -> None:
    tenant = f"rescale-{uuid.uuid4().hex[:8]}"
    sent: Sent = {}

    def scrape(times: int) -> None:
        for _ in range(times):
            stamp = time.time_ns() // 1_000_000
            samples = {series: float(stamp % 977 + place) for place, series in enumerate(SERIES)}
            pipeline.send(tenant, samples, stamp)
            sent.update({(series_id(tenant, *series), stamp): value for series, value in samples.items()})
            time.sleep(0.2)

    scrape(5)
    rescale(4)
    scrape(5)
    last = max(stamp for _, stamp in sent)
    eventually(lambda: pipeline.closed(MINUTE, tenant) + MINUTE.width_ms >= last, True, seconds=180)
    rows = partial(pipeline.rolled, MINUTE, [tenant], last)
    eventually(rows, expected(sent, MINUTE.width_ms))


def test_alerts_go_on_through_a_rescale(stack: Any, pipeline: Pipeline, tmp_path: Path) -> None:
    rest = FlinkRest(stack.endpoints["flink"], timeout_s=60)
    tenant, level = applied(pipeline, "ascale", tmp_path, RULES), 99.0

    def told() -> list[tuple[str, str]]:
        stamp = time.time_ns() // 1_000_000
        pipeline.send(tenant, {("load", (("host", f"h{host}"),)): level for host in range(8)}, stamp)
        found = {event["key"]: event for event in pipeline.events(tenant)}
        return sorted((event["labels"]["host"], event["state"]) for event in found.values())

    def to(parallelism: int) -> None:
        savepoint = rest.stop_with_savepoint(rest.jobs()["alert"])
        submit(stack, tmp_path, "alert", "--from", f"alert={savepoint}", TIDEGAUGE_PARALLELISM=str(parallelism))
        wait_running(rest, ("alert",))

    firing = [(f"h{host}", "firing") for host in range(8)]
    eventually(told, firing)
    to(1)
    try:
        eventually(told, firing)
        level = 1.0
        eventually(told, sorted([*firing, *((host, "resolved") for host, _ in firing)]))
    finally:
        to(2)
    level = 99.0
    twice = sorted([*firing, *firing, *((host, "resolved") for host, _ in firing)])
    eventually(told, twice)
