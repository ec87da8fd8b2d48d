"""A gate that is behind sheds the lowest priority first, names and counts it, and stops when it has caught up."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import topics
from tests.integration.beside import Beside
from tests.integration.gated import account, batch
from tests.integration.pipeline import Pipeline, eventually, tenant_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

PRIORITIES = ("low", "normal", "high")
EVERY_S, LAG_S, BEHIND_S = 0.25, 8, 24
IN_TIME = 90  # records: of less than LAG_S


@pytest.fixture
def beside(stack: Any) -> Iterator[Beside]:
    """Yield a gate that begins at what comes from now on; it is gone afterwards."""
    beside = Beside(stack, tenant_of("shed"), "gate")
    beside.begin(topics.RAW, lambda _, end: end)
    yield beside
    beside.leave()


def test_the_lowest_priority_is_shed_first(
    pipeline: Pipeline, apply: Callable[[str], None], beside: Beside, tmp_path: Path
) -> None:
    tenants = {priority: tenant_of(priority) for priority in PRIORITIES}
    apply(f"policies: [{', '.join(f'{{tenant: {name}, priority: {one}}}' for one, name in tenants.items())}]")
    # One key, so one partition: each of the three is asked at the same lag.
    at: list[float] = []
    done, key = threading.Event(), tenants["low"]

    def send() -> None:
        while not done.wait(EVERY_S):
            for tenant in tenants.values():
                pipeline.send_record(batch(tenant, ["u0"]), key)
            at.append(time.monotonic())

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(BEHIND_S)
    beside.submit(tmp_path, TIDEGAUGE_GATE_SHED_LAG_S=str(LAG_S), TIDEGAUGE_CHECKPOINT_INTERVAL_S="1")
    eventually(lambda: account(pipeline, tenants["low"])["shed"] > 0, wanted=True)
    # Sent until the gate is in time: what has ended before is shed whole, of every priority.
    eventually(lambda: beside.behind(topics.RAW, beside.ends(topics.RAW)) <= IN_TIME, wanted=True)
    done.set()
    sender.join()
    sent = len(at)
    ends = beside.ends(topics.RAW)
    eventually(lambda: beside.behind(topics.RAW, ends), 0)
    eventually(lambda: {account(pipeline, tenant)["received"] for tenant in tenants.values()}, {sent})
    held = {priority: account(pipeline, tenant) for priority, tenant in tenants.items()}
    print({priority: one["shed"] for priority, one in held.items()}, "of", sent)
    assert [one["shed"] + one["forwarded"] for one in held.values()] == [sent] * 3
    assert [(one["missing"], one["rejected"]) for one in held.values()] == [(0, {})] * 3
    # Normal ones are shed at twice the lag: LAG_S less of them, more where the gate stands still between. By the clock,
    # since on a busy machine they are sent less often.
    assert held["normal"]["shed"] > 0
    apart = at[held["low"]["shed"] - 1] - at[held["normal"]["shed"] - 1]
    assert apart >= 0.8 * LAG_S
    assert held["high"]["shed"] == 0
    assert held["low"]["forwarded"] > 0
    named = "SELECT DISTINCT id, `limit`, setting FROM rejections WHERE tenant = {tenant:String}"
    for priority, limit in (("low", LAG_S), ("normal", 2 * LAG_S)):
        assert pipeline.rows(named, tenant=tenants[priority]) == [
            {"id": "TG-shed", "limit": f"{limit} s", "setting": "TIDEGAUGE_GATE_SHED_LAG_S"}
        ]
