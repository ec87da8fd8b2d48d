"""The gate's two steps as Flink functions: the gate itself, and the owner of each tenant's budget (docs/gate.md).

Both get policies by broadcast, the gate verdicts too. A policy in broadcast state is the text as it came. Both yield
ADDRESSED rows: topic, key, value, Kafka timestamp.
"""

import logging
import secrets
import time
from collections.abc import Iterator
from typing import Any

from cachetools import LRUCache
from pyflink.common import Row, Types
from pyflink.datastream import BroadcastProcessFunction, KeyedBroadcastProcessFunction, MapFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor

from schemas import topics
from schemas.codec import MAGIC, CodecError, codec
from schemas.policy import PolicyFault
from udfs.gate.account import Account
from udfs.gate.budget import Budget
from udfs.gate.gate import Gate, Outcome, Passed, Refused
from udfs.gate.limits import Limits
from udfs.gate.policies import Policies
from udfs.gate.standing import Owner, Standing, Verdict
from udfs.gate.throttle import Throttle, Usage
from udfs.mode import announce

POLICIES = MapStateDescriptor("policies", Types.STRING(), Types.STRING())
_BYTES = Types.PICKLED_BYTE_ARRAY()
_BUDGETS = 1000  # tenants whose budgets are held in memory; those of others are read from state when they come

_log = logging.getLogger("tidegauge.gate")


class _Book:
    """The Policies of one operator, kept equal to its broadcast state."""

    def __init__(self, word: str, limits: Limits, max_series: int, runtime_context: RuntimeContext) -> None:
        announce(word, runtime_context)
        self.policies = Policies(limits, max_series)
        self._loaded = False
        self._refused = runtime_context.get_metrics_group().counter("policies_refused")

    def load(self, ctx: Any) -> None:
        """Read the broadcast state, once after a start."""
        if not self._loaded:
            self._loaded = True
            for key, text in ctx.get_broadcast_state(POLICIES).items():
                self._put(key, text.encode())

    def take(self, key: str, value: bytes | None, ctx: Any) -> None:
        """Take one record of control.policies."""
        self.load(ctx)
        if self._put(key, value):
            state = ctx.get_broadcast_state(POLICIES)
            if value is None:
                state.remove(key)
            else:
                state.put(key, value.decode())

    def _put(self, key: str, value: bytes | None) -> bool:
        try:
            self.policies.put(key, value)
        except PolicyFault as fault:
            self._refused.inc()
            _log.warning("policy %r refused, what was in force stays: %s", key, fault)
            return False
        return True


class _Counters:
    """Flink metrics of outcomes: samples by what became of them, refusals by id."""

    def __init__(self, runtime_context: RuntimeContext) -> None:
        self._group = runtime_context.get_metrics_group()
        # From the start at 0: an increase is seen of what was there before.
        names = ("samples_received", "samples_forwarded", "samples_missing", "series_new")
        self._known: dict[str, Any] = {name: self._group.counter(name) for name in names}

    def add(self, name: str, samples: int) -> None:
        """Add to a counter, made when it is first used."""
        if samples:
            counter = self._known.get(name)
            if counter is None:
                counter = self._known[name] = self._group.counter(name)
            counter.inc(samples)

    def account(self, account: Account) -> None:
        """Count one record's samples."""
        for name in ("received", "forwarded", "merged", "folded", "deduplicated", "shed"):
            self.add(f"samples_{name}", getattr(account, name))
        self.add("samples_missing", abs(account.balance))
        for reason, samples in account.rejected.items():
            self.add(f"rejected_{reason.replace('-', '_')}", samples)


def _row(outcome: Outcome, received_at: int, counters: _Counters) -> Row:
    if isinstance(outcome, Passed):
        return Row(topics.VALID, outcome.key.encode(), outcome.batch.encode(), outcome.event_time)
    if isinstance(outcome, Refused):
        counters.add(f"refusals_{outcome.refusal.reason.id.replace('-', '_')}", 1)
        record = outcome.refusal.encode(outcome.tenant, outcome.source, received_at)
        return Row(topics.REJECTED, outcome.tenant.encode(), record, received_at)
    assert isinstance(outcome, Account)  # the callers deal with Unknown
    counters.account(outcome)
    return Row(topics.LEDGER, outcome.tenant.encode(), outcome.encode(), received_at)


class GateFunction(BroadcastProcessFunction):
    """Runs Gate on each record of metrics.raw; the record's Kafka timestamp is `now`.

    IN rows (value, partition, offset, …). A record whose series set has no verdict goes to metrics.pending.
    """

    def __init__(self, shards: int, limits: Limits, max_series: int, shed_lag_s: int, subtasks: int) -> None:
        self._shards = shards
        self._limits = limits
        self._max_series = max_series
        self._shed_lag = shed_lag_s * 1000
        self._subtasks = subtasks

    def open(self, runtime_context: RuntimeContext) -> None:
        """Begin knowing nothing: the first batches ask."""
        self._book = _Book("gate", self._limits, self._max_series, runtime_context)
        self._standing = Standing(self._shards, self._book.policies)
        self._standing.throttle = self._throttle = Throttle(
            # PyFlink 2.3 does not tell the subtask's index in thread mode; others only need to tell it from themselves.
            secrets.randbits(31),
            self._subtasks,
            self._shed_lag,
        )
        self._gate = Gate(self._limits, self._standing)
        self._counters = _Counters(runtime_context)

    def process_element(self, value: Row, ctx: BroadcastProcessFunction.ReadOnlyContext) -> Iterator[Row]:
        """Yield a row per passed batch, per refusal, and one for the ledger; or the record for the owner."""
        self._book.load(ctx)
        record, partition, offset = bytes(value[0]), value[1], value[2]
        now = ctx.timestamp()
        for outcome in self._gate.judge(record, now, partition, offset, time.time_ns() // 1_000_000 - now):
            if isinstance(outcome, Passed | Refused | Account):
                yield _row(outcome, now, self._counters)
            else:
                self._counters.add("records_pending", 1)
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
            self._book.take(key, text, ctx)
        return iter(())


def _control(record: Row) -> tuple[str, bytes | None]:
    key = bytes(record[0] or b"").decode("utf-8", "replace")
    return key, None if record[1] is None else bytes(record[1])


class TenantFunction(MapFunction):
    """IN rows of metrics.pending → (tenant, record)."""

    def map(self, value: Row) -> tuple[str, bytes]:
        """Name the tenant."""
        record = bytes(value[0])
        return codec("pending").decode(record)["tenant"], record


def tenant_of(addressed: tuple[str, bytes]) -> str:
    """Return the key of a pending record."""
    return addressed[0]


class OwnerFunction(KeyedBroadcastProcessFunction):
    """(tenant, record of metrics.pending) and policies to ADDRESSED rows, control.verdicts among them.

    Keyed state: the budget as a snapshot and the changes since. It follows from the order of metrics.pending alone, so
    that after a restore the same decisions are made again.
    """

    def __init__(self, shards: int, limits: Limits, max_series: int) -> None:
        self._shards = shards
        self._limits = limits
        self._max_series = max_series

    def open(self, runtime_context: RuntimeContext) -> None:
        """Bind the state."""
        self._book = _Book("owner", self._limits, self._max_series, runtime_context)
        self._owner = Owner(self._shards, self._book.policies)
        self._gate = Gate(self._limits, self._owner)
        self._state = runtime_context.get_list_state(ListStateDescriptor("budget", _BYTES))
        self._budgets: LRUCache[str, tuple[Budget, int]] = LRUCache(_BUDGETS)
        self._counters = _Counters(runtime_context)

    def process_element(
        self, value: tuple[str, bytes], ctx: KeyedBroadcastProcessFunction.ReadOnlyContext
    ) -> Iterator[Row]:
        """Judge the record; the verdict goes to every subtask of the gate."""
        self._book.load(ctx)
        tenant, record = value
        held = self._budgets.get(tenant)
        budget, kept = held or (Budget.restore(tenant, list(self._state.get())), -1)
        self._owner.budget, self._owner.verdict = budget, None
        pending = codec("pending").decode(record)
        now = pending["received_at"]
        for outcome in self._gate.judge(pending["record"], now, pending["partition"], pending["offset"]):
            if isinstance(outcome, Passed | Refused | Account):
                yield _row(outcome, now, self._counters)
        if self._owner.verdict is not None:
            key, verdict = self._owner.verdict
            yield Row(topics.VERDICTS, tenant.encode(), verdict.encode(key), now)
        for grown in self._owner.grown:
            yield Row(topics.CARDINALITY, tenant.encode(), grown, now)
        self._owner.grown.clear()
        self._counters.add("series_new", len(budget.strangers) if self._owner.verdict is not None else 0)
        # Once an epoch the state is written anew: without what has left the window.
        if budget.epoch != kept:
            self._state.update([budget.snapshot()])
            self._budgets[tenant] = budget, budget.epoch
        elif (changes := budget.changes()) is not None:
            self._state.add(changes)

    def process_broadcast_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.Context) -> Iterator[Row]:
        """Take a policy."""
        self._book.take(*_control(value), ctx)
        return iter(())
