"""The alert job's two steps as Flink functions: match (batches to pieces by key) and judge (pieces to events).

Both get the rules by broadcast. A rule in broadcast state is the text as it came; the parsed ones live beside it and
are made again from it after a restore.
"""

import logging
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import BroadcastProcessFunction, KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor

from schemas.batch import Batch
from schemas.codec import CodecError
from udfs.alert.book import Book
from udfs.alert.event import Event, events
from udfs.alert.expression import Expression
from udfs.alert.judge import close, judge, next_tick, retention_ms
from udfs.alert.match import Address, Match
from udfs.alert.memory import Memory
from udfs.alert.rule import DEFAULT_INTERVAL_S, Rule, RuleFault
from udfs.alert.window import Window
from udfs.mode import announce

RULES = MapStateDescriptor("rules", Types.STRING(), Types.STRING())
# As keyed state this takes bytes whole; an array of BYTE would come as a tuple of numbers in thread mode.
_BYTES = Types.PICKLED_BYTE_ARRAY()

_log = logging.getLogger("tidegauge.alert")


def piece(addressed: tuple[str, bytes]) -> tuple[str, bytes]:
    """Return what comes: the operator that stands between match and the keying."""
    return addressed


def address_of(addressed: tuple[str, bytes]) -> str:
    """Return the key of a piece."""
    return addressed[0]


class _Rules:
    """The Book of one operator, kept equal to its broadcast state."""

    def __init__(self, word: str, runtime_context: RuntimeContext) -> None:
        announce(word, runtime_context)
        self.book = Book()
        self._loaded = False
        self._refused = runtime_context.get_metrics_group().counter("rules_refused")

    def load(self, ctx: Any) -> Book:
        """Return the book; the first call after a start reads the broadcast state."""
        if not self._loaded:
            self._loaded = True
            for key, text in ctx.get_broadcast_state(RULES).items():
                self._put(key, text.encode())
        return self.book

    def take(self, record: Row, ctx: Any) -> None:
        """Take one record of control.rules: Row(key, value)."""
        self.load(ctx)
        key = bytes(record[0] or b"").decode("utf-8", "replace")
        value = None if record[1] is None else bytes(record[1])
        if self._put(key, value):
            state = ctx.get_broadcast_state(RULES)
            if value is None:
                state.remove(key)
            else:
                state.put(key, value.decode())

    def _put(self, key: str, value: bytes | None) -> bool:
        try:
            self.book.put(key, value)
        except RuleFault as fault:
            self._refused.inc()
            _log.warning("rule %r refused, what was in force stays: %s", key, fault)
            return False
        return True


class MatchFunction(BroadcastProcessFunction):
    """IN rows of metrics.valid and rows of control.rules to (address, piece)."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start without rules; those of the broadcast state come with the first record."""
        self._rules = _Rules("alert.match", runtime_context)
        self._match = Match(self._rules.book)
        self._unreadable = runtime_context.get_metrics_group().counter("batches_unreadable")

    def process_element(self, value: Row, ctx: BroadcastProcessFunction.ReadOnlyContext) -> Iterator[tuple[str, bytes]]:
        """Yield the pieces of one batch."""
        self._rules.load(ctx)
        try:
            batch = Batch.decode(bytes(value[0]))
        except CodecError as error:
            self._unreadable.inc()
            _log.warning("a record of metrics.valid is unreadable: %s", error)
            return
        for address, part in self._match.split(batch):
            yield address, part.encode()

    def process_broadcast_element(self, value: Row, ctx: BroadcastProcessFunction.Context) -> Iterator[Any]:
        """Take a rule."""
        self._rules.take(value, ctx)
        return iter(())


class JudgeFunction(KeyedBroadcastProcessFunction):
    """(address, piece) and rows of control.rules to OUT rows for alert.events.

    Keyed state: pieces since the last tick, the window, the Memory. The timer chain of a key runs on the grid of the
    rule's interval while the window holds a sample or an instance is remembered; then the state is cleared.
    """

    def open(self, runtime_context: RuntimeContext) -> None:
        """Bind the state."""
        self._rules = _Rules("alert.judge", runtime_context)
        self._pieces = runtime_context.get_list_state(ListStateDescriptor("pieces", _BYTES))
        self._window = runtime_context.get_state(ValueStateDescriptor("window", _BYTES))
        self._memory = runtime_context.get_state(ValueStateDescriptor("memory", _BYTES))
        metrics = runtime_context.get_metrics_group()
        self._evaluations = metrics.counter("evaluations")
        self._failures = metrics.counter("evaluation_failures")
        self._failed: dict[str, str] = {}

    def process_element(
        self, value: tuple[str, bytes], ctx: KeyedBroadcastProcessFunction.ReadOnlyContext
    ) -> Iterator[Row]:
        """Keep the piece and see that a tick comes."""
        entry = self._rules.load(ctx).get(Address.parse(value[0]).rule)
        interval = entry[0].interval_ms if entry else DEFAULT_INTERVAL_S * 1000
        self._pieces.add(value[1])
        timers = ctx.timer_service()  # the context's own current_watermark() does not work in thread mode
        # From the record's own time, so that a replay starts on the same tick; behind the watermark ticks are over.
        timers.register_event_time_timer(next_tick(max(ctx.timestamp() - 1, timers.current_watermark()), interval))
        return iter(())

    def process_broadcast_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.Context) -> Iterator[Row]:
        """Take a rule; every key meets it at its next tick."""
        self._rules.take(value, ctx)
        return iter(())

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Judge the key at one tick."""
        address = Address.parse(ctx.get_current_key())
        entry = self._rules.load(ctx).get(address.rule)
        now_ms = ctx.timer_service().current_processing_time()
        if entry is None or entry[1].shape != address.shape:
            made = self._close(address, timestamp, now_ms)
        elif timestamp % entry[0].interval_ms:  # a timer of the grid before an edit
            ctx.timer_service().register_event_time_timer(next_tick(timestamp, entry[0].interval_ms))
            made = []
        else:
            made, alive = self._judge(address, *entry, timestamp, now_ms)
            if alive:
                ctx.timer_service().register_event_time_timer(timestamp + entry[0].interval_ms)
            else:
                self._clear()
        for event in made:
            yield Row(event.key, event.value, event.evaluated_at)

    def _judge(
        self, address: Address, rule: Rule, expression: Expression, tick: int, now_ms: int
    ) -> tuple[list[Event], bool]:
        stored = self._window.value()
        before = Window.decode(stored) if stored is not None else Window.empty(address.tenant)
        pieces = [Batch.decode(part) for part in self._pieces.get()]
        window = (before.append(pieces) if pieces else before).trim(tick - retention_ms(rule, expression))
        memory = after = self._remembered()
        self._evaluations.inc()
        made: list[Event] = []
        try:
            after, entered = judge(rule, expression, memory, window, tick)
            made = events(entered, rule, (address.tenant, address.rule_id), rule.revision, now_ms)
        except RuleFault as fault:
            self._fail(rule, fault)
        if window is not before:
            self._window.update(window.encode())
            self._pieces.clear()
        if after != memory:
            self._memory.update(after.encode())
        return made, len(window) > 0 or len(after.instances) > 0

    def _close(self, address: Address, tick: int, now_ms: int) -> list[Event]:
        """End what lives under a rule that is deleted or now reads other series, and forget the key."""
        memory, entered = close(self._remembered(), address.rule, tick)
        self._clear()
        return events(entered, None, (address.tenant, address.rule_id), memory.revision, now_ms)

    def _remembered(self) -> Memory:
        return Memory.decode(self._memory.value())

    def _clear(self) -> None:
        for state in (self._pieces, self._window, self._memory):
            state.clear()

    def _fail(self, rule: Rule, fault: RuleFault) -> None:
        self._failures.inc()
        if self._failed.get(rule.key) != rule.revision:  # once a revision: it would come again at every tick
            self._failed[rule.key] = rule.revision
            _log.warning("tenant %r: %s", rule.tenant, fault)
