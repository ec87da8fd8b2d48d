"""Who may enter: one operator a tenant decides, in the order of metrics.pending."""

import time
from collections.abc import Iterator, Mapping

from cachetools import LRUCache
from pyflink.common import Row, Types
from pyflink.datastream import FlatMapFunction, KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor

from schemas import topics
from schemas.codec import codec
from udfs.control import entry
from udfs.gate.account import Account
from udfs.gate.budget import Budget
from udfs.gate.flink.metrics import Counters, Gauges
from udfs.gate.flink.outcome import row
from udfs.gate.flink.policies import Book, History
from udfs.gate.gate import Gate, Passed, Refused
from udfs.gate.growth import is_over
from udfs.gate.limits import Limits
from udfs.gate.standing import Owner
from udfs.gate.usage import Use, gauges
from udfs.read.flink import Strays

_BYTES = Types.PICKLED_BYTE_ARRAY()
# So long after the last of its series has left the window a tenant keeps its state: metrics.pending holds a day.
_GONE_MS = 25 * 3_600_000
_BUDGETS = 1000  # tenants whose budgets are held in memory; those of others are read from state when they come

_RESTORED = -1  # in place of the epoch in which a budget was written, if nothing is known of that


class TenantFunction(FlatMapFunction):
    """IN rows of metrics.pending → (tenant, record)."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Count what is neither a question nor a tally."""
        self._strays = Strays(topics.PENDING, runtime_context)

    def flat_map(self, value: Row) -> Iterator[tuple[str, bytes]]:
        """Name the tenant."""
        tenant = self._strays.read(_asking, value[0])
        if tenant is not None:
            yield tenant, bytes(value[0])


def _asking(record: bytes) -> str:
    """Return the tenant of a record of metrics.pending; raises CodecError."""
    tenant: str = codec("tally" if codec("tally").knows(record) else "pending").decode(record)["tenant"]
    return tenant


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
        self._book = Book("owner", self._limits, self._max_series, self._history, runtime_context)
        self._owner = Owner(self._shards, self._book.policies)
        self._gate = Gate(self._limits, self._owner)
        self._state = runtime_context.get_list_state(ListStateDescriptor("budget", _BYTES))
        self._grown = runtime_context.get_map_state(MapStateDescriptor("growth", Types.STRING(), _BYTES))
        self._budgets: LRUCache[str, tuple[Budget, int]] = LRUCache(_BUDGETS)
        self._counters = Counters(runtime_context)
        self._use = Use(self._operator)
        self._gauges = Gauges(runtime_context)

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
        now, partition, offset = pending["received_at"], pending["partition"], pending["offset"]
        for outcome in self._gate.judge(pending["record"], now, partition, offset):
            self._counters.add(outcome)
            if isinstance(outcome, Passed | Refused | Account):
                yield row(outcome, now, partition, offset)
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
            if kept == _RESTORED:
                ctx.timer_service().register_processing_time_timer(budget.empty_ms + _GONE_MS)
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
        held = self._budgets[tenant] = Budget.restore(tenant, list(self._state.get())), _RESTORED
        return held

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Forget a tenant that is gone, or look again when it may be."""
        tenant = ctx.get_current_key()
        budget, _ = self._budgets.get(tenant) or self._restored(tenant)
        due = budget.empty_ms + _GONE_MS
        if timestamp < due:
            ctx.timer_service().register_processing_time_timer(due)
            return iter(())
        self._state.clear()
        self._grown.clear()
        del self._budgets[tenant]
        return iter(())

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
        self._book.take(*entry(value), ctx.timestamp())
        return iter(())
