"""A tenant that is gone leaves no state behind, and one that is back in time finds its own."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from schemas.batch import Series
from schemas.codec import codec
from tests.udfs.alert.fakeflink import Metrics
from tests.udfs.gate.pair import record
from udfs.gate.flink.owner import OwnerFunction
from udfs.gate.limits import Limits

NOW = 1_800_000_000_000
HOUR, DAY = 3_600_000, 86_400_000


@dataclass
class State:
    """List or map state of the one key."""

    held: dict[Any, Any] = field(default_factory=dict)

    def get(self) -> Iterator[Any]:
        return iter(self.held.values())

    values = get

    def keys(self) -> Iterator[Any]:
        return iter(self.held)

    def add(self, value: Any) -> None:
        self.held[len(self.held)] = value

    def update(self, values: list[Any]) -> None:
        self.held = dict(enumerate(values))

    def put(self, key: Any, value: Any) -> None:
        self.held[key] = value

    def clear(self) -> None:
        self.held.clear()


@dataclass
class Flink:
    """Runtime, context and timer service of an owner with one key."""

    states: dict[str, State] = field(default_factory=lambda: defaultdict(State))
    timers: set[int] = field(default_factory=set)
    metrics: Metrics = field(default_factory=Metrics)

    def get_list_state(self, descriptor: Any) -> State:
        return self.states[descriptor.name]

    get_map_state = get_list_state

    def get_metrics_group(self) -> Metrics:
        return self.metrics

    def get_current_key(self) -> str:
        return "acme"

    def timer_service(self) -> "Flink":
        return self

    def register_processing_time_timer(self, at: int) -> None:
        self.timers.add(at)

    def started(self) -> OwnerFunction:
        owner = OwnerFunction(4, Limits(), 1000, lambda: (), "")
        owner.open(self)
        return owner

    def send(self, owner: OwnerFunction, at: int) -> None:
        text = record([Series("m", (("host", "a"),))])
        pending = {"tenant": "acme", "received_at": at, "partition": 0, "offset": 0, "record": text}
        list(owner.process_element(("acme", codec("pending").encode(pending)), self))

    def pass_to(self, owner: OwnerFunction, now: int) -> None:
        while due := [one for one in self.timers if one <= now]:
            self.timers.remove(min(due))
            list(owner.on_timer(min(due), self))


@pytest.mark.parametrize("restart", [False, True])
def test_a_tenant_that_is_gone_leaves_nothing_behind(restart: bool) -> None:
    flink = Flink()
    owner = flink.started()
    for hour in range(40):
        flink.send(owner, NOW + hour * HOUR)
        flink.pass_to(owner, NOW + hour * HOUR)
        assert len(flink.timers) == 1
    if restart:
        owner = flink.started()
    flink.pass_to(owner, NOW + 39 * HOUR + DAY)
    assert any(state.held for state in flink.states.values())  # what waits may still be of its time
    flink.pass_to(owner, NOW + 39 * HOUR + DAY + 3 * HOUR)
    assert not any(state.held for state in flink.states.values()) and not flink.timers
    flink.send(owner, NOW + 90 * HOUR)
    assert flink.states["budget"].held and flink.timers


def test_a_restart_leaves_one_timer() -> None:
    flink = Flink()
    for hour in range(5):
        flink.send(flink.started(), NOW + hour * HOUR)
    flink.pass_to(flink.started(), NOW + 30 * HOUR)
    assert len(flink.timers) == 1
