"""The two functions of the alert job on a Flink in memory: keyed state of bytes, broadcast state, timers.

Small fakes in place of Flink's contexts. restart() throws the function objects away and keeps what a checkpoint keeps;
restore() goes back to what checkpoint() kept. What was sent stays sent.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pyflink.datastream import TimeDomain

from schemas import topics
from schemas.batch import Batch
from schemas.codec import codec
from udfs.alert.budget import Budget
from udfs.alert.flink.judge import FIRST_MS, JudgeFunction
from udfs.alert.flink.match import MatchFunction
from udfs.alert.flink.rules import none_stored
from udfs.alert.heard import MARK, Reading
from udfs.alert.keeper import Stored
from udfs.alert.recording import beats_by, heartbeat

NEVER = -(1 << 63)


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def inc(self, by: int = 1) -> None:
        self.count += by


@dataclass
class Distribution:
    value: int = 0

    def update(self, value: int) -> None:
        self.value = value


@dataclass
class Metrics:
    """No gauge: Flink's reporter would call Python from its own thread."""

    counters: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    distributions: dict[str, Distribution] = field(default_factory=lambda: defaultdict(Distribution))

    def counter(self, name: str) -> Counter:
        return self.counters[name]

    def distribution(self, name: str) -> Distribution:
        return self.distributions[name]


class Value:
    """ValueState and ListState of the current key, whichever way it is used."""

    def __init__(self, job: "FakeFlink", name: str) -> None:
        self._job, self._name = job, name

    def value(self) -> Any:
        return self._job.state[self._job.key].get(self._name)

    def update(self, value: bytes) -> None:
        assert isinstance(value, bytes)
        self._job.state[self._job.key][self._name] = value

    def get(self) -> Iterator[bytes]:
        return iter(self.value() or ())

    def add(self, value: bytes) -> None:
        self._job.state[self._job.key].setdefault(self._name, []).append(value)

    def clear(self) -> None:
        self._job.state[self._job.key].pop(self._name, None)


class Map:
    """MapState of the current key; an empty one is no state."""

    def __init__(self, job: "FakeFlink", name: str) -> None:
        self._job, self._name = job, name

    def keys(self) -> list[int]:
        return list(self._job.state[self._job.key].get(self._name, ()))

    def get(self, key: int) -> bytes | None:
        held: dict[int, bytes] = self._job.state[self._job.key].get(self._name, {})
        return held.get(key)

    def put(self, key: int, value: bytes) -> None:
        self._job.state[self._job.key].setdefault(self._name, {})[key] = value

    def remove(self, key: int) -> None:
        held = self._job.state[self._job.key][self._name]
        del held[key]
        if not held:
            self.clear()

    def clear(self) -> None:
        self._job.state[self._job.key].pop(self._name, None)


@dataclass
class Runtime:
    job: "FakeFlink"

    def get_index_of_this_subtask(self) -> int:
        return 0

    def get_metrics_group(self) -> Metrics:
        return self.job.metrics

    def get_state(self, descriptor: Any) -> Value:
        return Value(self.job, descriptor.name)

    get_list_state = get_state

    def get_map_state(self, descriptor: Any) -> Map:
        return Map(self.job, descriptor.name)


class Broadcast(dict[str, str]):
    def put(self, key: str, value: str) -> None:
        self[key] = value

    def remove(self, key: str) -> None:
        self.pop(key, None)


@dataclass
class Context:
    """Every context of both functions at once."""

    job: "FakeFlink"
    broadcast: Broadcast

    def get_broadcast_state(self, _: Any) -> Broadcast:
        return self.broadcast

    def get_current_key(self) -> str:
        return self.job.key

    def timestamp(self) -> int:
        return self.job.now

    def timer_service(self) -> "Context":
        return self

    def current_watermark(self) -> int:
        return self.job.watermark

    def current_processing_time(self) -> int:
        return self.job.clock

    def time_domain(self) -> TimeDomain:
        return self.job.domain

    def register_event_time_timer(self, timestamp: int) -> None:
        self._register(self.job.timers, timestamp)

    def register_processing_time_timer(self, timestamp: int) -> None:
        self._register(self.job.alarms, timestamp)

    def _register(self, timers: list[tuple[int, str]], timestamp: int) -> None:
        if (timer := (timestamp, self.job.key)) not in timers:
            heapq.heappush(timers, timer)


class FakeFlink:
    """One subtask of match and judge. disturb is called before every timer, as a crash may come at any moment."""

    def idle(self) -> None:
        """Disturb nothing."""

    def __init__(
        self,
        disturb: Callable[["FakeFlink"], None] = idle,
        stored: Stored = none_stored,
        budget: Budget | None = None,
        settle_ms: int = 0,
    ) -> None:
        self._settle_ms = settle_ms
        self.disturb, self._stored, self._budget = disturb, stored, budget
        self.state: dict[str, dict[str, Any]] = defaultdict(dict)
        self.timers: list[tuple[int, str]] = []
        self.alarms: list[tuple[int, str]] = []
        self.clock, self.domain = 4_102_444_800_000, TimeDomain.EVENT_TIME
        self.metrics = Metrics()
        self.key, self.now, self.watermark = "", 0, NEVER
        self._rules = Broadcast(), Broadcast()
        self.sent: list[dict[str, Any]] = []
        self.topic: list[bytes] = []
        self.recorded: list[Batch] = []
        self.sizes: list[int] = []
        self.restart()

    def restart(self) -> None:
        """Make the functions anew; state, timers and broadcast state stay."""
        self._match = MatchFunction(self._stored, reading=Reading("default", (f"{MARK}0",)))
        self._judge = JudgeFunction(self._stored, self._budget, settling=(0, self._settle_ms), said=lambda: self.topic)
        self._contexts = Context(self, self._rules[0]), Context(self, self._rules[1])
        self._match.open(Runtime(self))
        self._judge.open(Runtime(self))

    def checkpoint(self) -> tuple[Any, ...]:
        """Return what a checkpoint keeps."""
        return deepcopy((self.state, self.timers, self.alarms, self._rules))

    def restore(self, checkpoint: tuple[Any, ...]) -> None:
        """Begin anew from a checkpoint, with event time not known yet."""
        self.state, self.timers, self.alarms, self._rules = deepcopy(checkpoint)
        self.watermark = NEVER
        self.restart()

    def rule(self, key: str, value: bytes | None) -> None:
        """Deliver one record of control.rules to both functions."""
        record = (key.encode(), value)
        assert list(self._match.process_broadcast_element(record, self._contexts[0])) == []
        assert list(self._judge.process_broadcast_element(record, self._contexts[1])) == []

    def batch(self, batch: Batch, timestamp: int) -> None:
        """Deliver one record of metrics.valid."""
        self.raw(batch.encode(), timestamp)

    def raw(self, record: bytes, timestamp: int) -> None:
        """Deliver any bytes as a record of metrics.valid."""
        self.now = timestamp
        for address, piece in self._match.process_element((record,), self._contexts[0]):
            self.key = address
            list(self._judge.process_element((address, piece), self._contexts[1]))

    def beat(self, at: int, partition: int = 0, partitions: int = 1) -> None:
        """Deliver a beat that came by that partition of metrics.raw, as the gate passes it on."""
        made = heartbeat("default", beats_by(partition, partitions), at)
        self.batch(replace(made, series_ids=np.array([7], np.uint64), shard=0, received_at=at), at)

    def advance(self, watermark: int) -> None:
        """Move the watermark past a time, first ticks included; fire what is due, timers set meanwhile included."""
        self.watermark = watermark + FIRST_MS
        while self.timers and self.timers[0][0] <= self.watermark:
            self.disturb(self)
            self._fire(self.timers, TimeDomain.EVENT_TIME)

    def wait(self, clock: int) -> None:
        """Move the clock and fire its timers; what they set by event time fires with the next watermark."""
        self.clock = clock
        while self.alarms and self.alarms[0][0] <= clock:
            self._fire(self.alarms, TimeDomain.PROCESSING_TIME)

    def _fire(self, timers: list[tuple[int, str]], domain: TimeDomain) -> None:
        timestamp, self.key = heapq.heappop(timers)
        self.domain = domain
        for row in self._judge.on_timer(timestamp, self._contexts[1]):
            self.sizes.append(len(row[1]) + len(row[2]))
            if row[0] == topics.ALERTS:
                self.topic.append(row[2])
                self.sent.append(codec("alert_event").decode(row[2]))
            else:
                self.recorded.append(Batch.decode(row[2]))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Transitions, without what is sent again."""
        return [one for one in self.sent if not one["resend"]]

    @property
    def stored(self) -> dict[str, dict[str, Any]]:
        """The keyed state of keys that have any."""
        return {key: state for key, state in self.state.items() if state}
