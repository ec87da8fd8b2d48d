"""The gate's two steps as Flink functions: the gate itself, and the owner of each tenant's budget (docs/gate.md).

Both get policies by broadcast, the gate verdicts too. Broadcast state is not used: what control.policies holds is read
at the start, with its times, so that a replay finds the policies that the first run had. Both yield ADDRESSED rows:
topic, key, value, Kafka timestamp.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cachetools import LRUCache
from pyflink.common import Row, Types
from pyflink.datastream import BroadcastProcessFunction, KeyedBroadcastProcessFunction, MapFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor

from schemas import topics
from schemas.codec import MAGIC, CodecError, codec
from schemas.policy import PolicyFault
from sinks.control import Change
from udfs.gate.account import Account
from udfs.gate.budget import Budget
from udfs.gate.gate import Gate, Outcome, Passed, Refused
from udfs.gate.growth import is_over
from udfs.gate.limits import Limits
from udfs.gate.policies import Policies
from udfs.gate.standing import Owner, Standing, Verdict
from udfs.gate.throttle import Throttle, Usage
from udfs.gate.usage import Tally, Use, counted, gauges
from udfs.mode import announce

POLICIES = MapStateDescriptor("policies", Types.STRING(), Types.STRING())
_BYTES = Types.PICKLED_BYTE_ARRAY()
_GAUGED = 100
_BUDGETS = 1000  # tenants whose budgets are held in memory; those of others are read from state when they come

_log = logging.getLogger("tidegauge.gate")

History = Callable[[], Sequence[Change]]
"""All of control.policies so far: key, value, the broker's stamp in ms."""


class _Book:
    """The Policies of one operator."""

    def __init__(
        self, word: str, limits: Limits, max_series: int, history: History, runtime_context: RuntimeContext
    ) -> None:
        announce(word, runtime_context)
        self.policies = Policies(limits, max_series)
        self._refused = runtime_context.get_metrics_group().counter("policies_refused")
        for key, value, at in history():
            self.take(key, value, at)

    def take(self, key: str, value: bytes | None, at: int) -> None:
        """Take one record of control.policies."""
        try:
            self.policies.put(key, value, at)
        except PolicyFault as fault:
            self._refused.inc()
            _log.warning("policy %r refused, what was in force stays: %s", key, fault)


class _Counters:
    """Flink metrics of outcomes: samples by what became of them, refusals by id."""

    def __init__(self, runtime_context: RuntimeContext) -> None:
        self._group = runtime_context.get_metrics_group()
        # From the start at 0: an increase is seen of what was there before.
        names = ("samples_received", "samples_forwarded", "samples_missing", "series_new")
        self._known: dict[str, Any] = {name: self._group.counter(name) for name in names}

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        for name, number in counted(outcome):
            self.inc(name, number)

    def inc(self, name: str, number: int) -> None:
        """Add to a counter, made when it is first used."""
        counter = self._known.get(name)
        if counter is None:
            counter = self._known[name] = self._group.counter(name)
        counter.inc(number)


class _Gauges:
    """Flink metrics of tenants, of the first hundred: Flink forgets none before the job ends.

    As distributions, which hold the last value: a gauge of PyFlink's would call Python from the reporter's thread.
    """

    def __init__(self, runtime_context: RuntimeContext) -> None:
        self._group = runtime_context.get_metrics_group()
        self._known: dict[str, dict[str, Any]] = {}

    def set(self, tenant: str, values: Iterable[tuple[str, int]]) -> None:
        """Set gauges of a tenant."""
        if tenant not in self._known and len(self._known) >= _GAUGED:
            return
        known = self._known.setdefault(tenant, {})
        for name, value in values:
            if name not in known:
                known[name] = self._group.add_group("tenant", tenant).distribution(name)
            known[name].update(value)


def _row(outcome: Passed | Refused | Account, received_at: int) -> Row:
    if isinstance(outcome, Passed):
        return Row(topics.VALID, outcome.key.encode(), outcome.batch.encode(), outcome.event_time)
    if isinstance(outcome, Refused):
        record = outcome.refusal.encode(outcome.tenant, outcome.source, received_at)
        return Row(topics.REJECTED, outcome.tenant.encode(), record, received_at)
    return Row(topics.LEDGER, outcome.tenant.encode(), outcome.encode(), received_at)


class GateFunction(BroadcastProcessFunction):
    """Runs Gate on each record of metrics.raw; the record's Kafka timestamp is `now`.

    IN rows (value, partition, offset, …). A record whose series set has no verdict goes to metrics.pending.
    """

    def __init__(
        self, shards: int, limits: Limits, max_series: int, history: History, shed_lag_s: int, subtasks: int
    ) -> None:
        self._shards = shards
        self._limits = limits
        self._max_series = max_series
        self._history = history
        self._shed_lag = shed_lag_s * 1000
        self._subtasks = subtasks

    def open(self, runtime_context: RuntimeContext) -> None:
        """Begin knowing nothing: the first batches ask."""
        self._book = _Book("gate", self._limits, self._max_series, self._history, runtime_context)
        self._standing = Standing(self._shards, self._book.policies)
        self._standing.throttle = self._throttle = Throttle(
            # PyFlink 2.3 does not tell the subtask's index in thread mode; others only need to tell it from themselves.
            secrets.randbits(31),
            self._subtasks,
            self._shed_lag,
        )
        self._gate = Gate(self._limits, self._standing)
        self._counters = _Counters(runtime_context)
        self._tally = Tally()

    def process_element(self, value: Row, ctx: BroadcastProcessFunction.ReadOnlyContext) -> Iterator[Row]:
        """Yield a row per passed batch, per refusal, and one for the ledger; or the record for the owner."""
        record, partition, offset = bytes(value[0]), value[1], value[2]
        now, clock = ctx.timestamp(), time.time_ns() // 1_000_000
        for outcome in self._gate.judge(record, now, partition, offset, clock - now):
            self._counters.add(outcome)
            if isinstance(outcome, Passed | Refused | Account):
                yield _row(outcome, now)
                if isinstance(outcome, Account):
                    self._tally.add(outcome.tenant, outcome)
            else:
                self._tally.add(outcome.tenant)
                asked = {
                    "tenant": outcome.tenant,
                    "received_at": now,
                    "partition": partition,
                    "offset": offset,
                    "record": record,
                }
                yield Row(topics.PENDING, outcome.tenant.encode(), codec("pending").encode(asked), now)
        for usage in self._throttle.reports:
            yield Row(topics.VERDICTS, usage.tenant.encode(), usage.encode(), now)
        self._throttle.reports.clear()
        for tenant, tally in self._tally.due(clock):
            yield Row(topics.PENDING, tenant.encode(), tally, now)

    def process_broadcast_element(self, value: Row, ctx: BroadcastProcessFunction.Context) -> Iterator[Row]:
        """Take a policy or a verdict."""
        key, text = _control(value)
        if text is not None and text[:2] == MAGIC:
            try:
                if codec("usage").knows(text):
                    self._throttle.hear(Usage.decode(text))
                else:
                    self._standing.hear(*Verdict.read(text))
            except CodecError as error:
                _log.warning("a record of control.verdicts is unreadable: %s", error)
        else:
            self._book.take(key, text, ctx.timestamp())
        return iter(())


def _control(record: Row) -> tuple[str, bytes | None]:
    key = bytes(record[0] or b"").decode("utf-8", "replace")
    return key, None if record[1] is None else bytes(record[1])


class TenantFunction(MapFunction):
    """IN rows of metrics.pending → (tenant, record)."""

    def map(self, value: Row) -> tuple[str, bytes]:
        """Name the tenant."""
        record = bytes(value[0])
        return codec("tally" if codec("tally").knows(record) else "pending").decode(record)["tenant"], record


def tenant_of(addressed: tuple[str, bytes]) -> str:
    """Return the key of a pending record."""
    return addressed[0]


class OwnerFunction(KeyedBroadcastProcessFunction):
    """(tenant, record of metrics.pending) and policies to ADDRESSED rows, control.verdicts among them.

    Keyed state: the budget as a snapshot and the changes since, and what grows. The budget follows from the order of
    metrics.pending and the broker's stamps alone, so that after a restore the same decisions are made again.
    """

    def __init__(self, shards: int, limits: Limits, max_series: int, history: History, operator: str) -> None:
        self._shards = shards
        self._limits = limits
        self._max_series = max_series
        self._history = history
        self._operator = operator

    def open(self, runtime_context: RuntimeContext) -> None:
        """Bind the state."""
        self._book = _Book("owner", self._limits, self._max_series, self._history, runtime_context)
        self._owner = Owner(self._shards, self._book.policies)
        self._gate = Gate(self._limits, self._owner)
        self._state = runtime_context.get_list_state(ListStateDescriptor("budget", _BYTES))
        self._grown = runtime_context.get_map_state(MapStateDescriptor("growth", Types.STRING(), _BYTES))
        self._budgets: LRUCache[str, tuple[Budget, int]] = LRUCache(_BUDGETS)
        self._counters = _Counters(runtime_context)
        self._use = Use(self._operator)
        self._gauges = _Gauges(runtime_context)

    def process_element(
        self, value: tuple[str, bytes], ctx: KeyedBroadcastProcessFunction.ReadOnlyContext
    ) -> Iterator[Row]:
        """Judge the record; the verdict goes to every subtask of the gate."""
        tenant, record = value
        budget, kept = self._budgets.get(tenant) or self._restored(tenant)
        if codec("tally").knows(record):
            yield from self._told(tenant, budget, codec("tally").decode(record)["counts"])
            return
        self._owner.budget, self._owner.verdict = budget, None
        pending = codec("pending").decode(record)
        now = pending["received_at"]
        for outcome in self._gate.judge(pending["record"], now, pending["partition"], pending["offset"]):
            self._counters.add(outcome)
            if isinstance(outcome, Passed | Refused | Account):
                yield _row(outcome, now)
                if isinstance(outcome, Account):
                    self._use.add(tenant, dict(outcome.counts()))
        if self._owner.verdict is not None:
            key, verdict = self._owner.verdict
            yield Row(topics.VERDICTS, tenant.encode(), verdict.encode(key), now)
        for grown in self._owner.grown:
            yield Row(topics.CARDINALITY, tenant.encode(), grown, now)
        self._owner.grown.clear()
        for key, grown in self._owner.growth.unsaved():
            self._grown.put(key, grown)
        self._counters.inc("series_new", len(budget.strangers) if self._owner.verdict is not None else 0)
        # Once an epoch the state is written anew: without what has left the window.
        if budget.epoch != kept:
            self._state.update([budget.snapshot()])
            for key in [one for one in list(self._grown.keys()) if is_over(one, now)]:
                self._grown.remove(key)
            self._budgets[tenant] = budget, budget.epoch
        elif (changes := budget.changes()) is not None:
            self._state.add(changes)

    def _restored(self, tenant: str) -> tuple[Budget, int]:
        """Return the tenant's budget from state, and that it is to be written anew."""
        for grown in self._grown.values():
            self._owner.growth.restore(tenant, grown)
        held = self._budgets[tenant] = Budget.restore(tenant, list(self._state.get())), -1
        return held

    def _told(self, tenant: str, budget: Budget, counts: Mapping[str, int]) -> Iterator[Row]:
        """Take what a subtask has counted; yield the series of the tenant's use if they are due."""
        clock = time.time_ns() // 1_000_000
        self._use.add(tenant, counts)
        told = self._use.due(tenant, budget, self._book.policies.of(tenant, clock), clock)
        if told:
            self._gauges.set(tenant, gauges(told))
        batch = self._use.batch(tenant, told, clock)
        if batch is not None:
            yield Row(topics.RAW, batch.source.encode(), batch.encode(), clock)

    def process_broadcast_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.Context) -> Iterator[Row]:
        """Take a policy."""
        self._book.take(*_control(value), ctx.timestamp())
        return iter(())
