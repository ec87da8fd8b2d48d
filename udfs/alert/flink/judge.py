"""Pieces into events, at the ticks of each rule."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext, TimeDomain
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor

from schemas import topics
from schemas.batch import Batch
from udfs.alert.budget import Budget
from udfs.alert.chain import Linked
from udfs.alert.evaluator import Evaluator, Outcome
from udfs.alert.event import Event
from udfs.alert.flink.parts import Parted
from udfs.alert.flink.rules import RULES, keeper, none_stored, take
from udfs.alert.flink.shelf import KeyedShelf
from udfs.alert.heard import MARK, PATIENCE_MS, Heard
from udfs.alert.hindsight import Hindsight
from udfs.alert.judge import next_tick
from udfs.alert.keeper import Stored
from udfs.alert.match import Address, shape_of
from udfs.alert.memory import Memory
from udfs.alert.rule import DEFAULT_INTERVAL_S, Rule
from udfs.alert.said import Said
from udfs.alert.settling import Settling
from udfs.alert.spread import BUCKETS
from udfs.alert.window import Window

# As keyed state this takes bytes whole; an array of BYTE would come as a tuple of numbers in thread mode.
_BYTES = Types.PICKLED_BYTE_ARRAY()

# How far behind a tick a late sample is still judged, by default.
HORIZON_MS = 600_000

# How far event time is past the first tick of a key when it is judged, ms. An edit may give a rule other keys, and at
# the same tick the old ones end what fires: that is told first, as timers of one subtask fire in the order of their
# times, and subtasks are seldom so far apart. Less than any interval.
FIRST_MS = 100

# So many records of each partition of alert.events are read at a start: more than are sent between two checkpoints.
RECALLED = 5_000

_log = logging.getLogger("tidegauge.alert")


class JudgeFunction(KeyedBroadcastProcessFunction):
    """(address, piece) and rows of control.rules to ADDRESSED rows for alert.events and metrics.raw.

    An empty piece only sees to it that ticks come. Keyed state: pieces since the last tick, the window, the Memory, the
    past and late pieces (hindsight). The timer chain of a key runs on the grid of the rule's interval while the window
    or the past holds a sample, an instance is remembered, or the rule has answers without samples; then the state is
    cleared. horizon_ms: how far behind a tick late samples are judged. settling: lateness and hold of Settling, ms.
    said: the newest records of alert.events, at a start.
    A key that waits has a timer of the clock, and its ticks go on from the one that waits. The timer of a key's first
    tick stands FIRST_MS behind it.
    """

    def __init__(
        self,
        stored: Stored = none_stored,
        budget: Budget | None = None,
        horizon_ms: int = HORIZON_MS,
        buckets: int = BUCKETS,
        settling: tuple[int, int] = (0, 0),
        said: Callable[[], Iterable[bytes]] = tuple,
    ) -> None:
        self._stored, self._buckets = stored, buckets
        self._settle, self._newest = settling, said
        self._budget = budget or Budget()
        self._horizon_ms = horizon_ms

    def open(self, runtime_context: RuntimeContext) -> None:
        """Bind the state."""
        self._rules = keeper("alert.judge", self._stored, runtime_context)
        self._evaluator = Evaluator(self._budget, time.perf_counter, Hindsight(self._horizon_ms, time.perf_counter))
        self._pieces = runtime_context.get_list_state(ListStateDescriptor("pieces", _BYTES))
        self._window = Parted(
            runtime_context.get_state(ValueStateDescriptor("window", _BYTES)),
            runtime_context.get_map_state(MapStateDescriptor("window_parts", Types.INT(), _BYTES)),
        )
        self._memory = runtime_context.get_state(ValueStateDescriptor("memory", _BYTES))
        self._shelf = KeyedShelf(
            runtime_context.get_map_state(MapStateDescriptor("past", Types.LONG(), _BYTES)),
            runtime_context.get_state(ValueStateDescriptor("past_index", _BYTES)),
            runtime_context.get_list_state(ListStateDescriptor("late", _BYTES)),
        )
        metrics = runtime_context.get_metrics_group()
        self._unjudged = metrics.counter("late_samples_unjudged")
        self._evaluations = metrics.counter("evaluations")
        self._failures = metrics.counter("evaluation_failures")
        self._paused = metrics.counter("evaluations_paused")
        self._missed = metrics.counter("ticks_missed")
        # Holds the last value; a gauge of PyFlink's would call Python from the reporter's thread.
        self._lag = metrics.distribution("tick_lag_ms")
        self._failed: dict[str, str] = {}
        self._unheard = metrics.counter("ticks_unheard")
        self._settling = Settling(*self._settle)
        self._heard = Heard(self._settle[0], PATIENCE_MS if self._settle[1] else 0)
        self._waits: dict[str, int] = {}
        self._said = Said(self._newest())

    def process_element(
        self, value: tuple[str, bytes], ctx: KeyedBroadcastProcessFunction.ReadOnlyContext
    ) -> Iterator[Row]:
        """Keep the piece and see that a tick comes; what it waits for is heard."""
        if value[0].startswith(MARK):
            self._heard.take(value[1])
            return iter(())
        entry = self._rules.load(partial(ctx.get_broadcast_state, RULES)).get(Address.parse(value[0]).rule)
        interval = entry[0].interval_ms if entry else DEFAULT_INTERVAL_S * 1000
        if value[1]:
            self._pieces.add(value[1])
        timers = ctx.timer_service()  # the context's own current_watermark() does not work in thread mode
        # From the record's own time, so that a replay starts on the same tick; behind the watermark ticks are over.
        timers.register_event_time_timer(next_tick(max(ctx.timestamp() - 1, timers.current_watermark()), interval))
        return iter(())

    def process_broadcast_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.Context) -> Iterator[Row]:
        """Take a rule; every key meets it at its next tick."""
        take(self._rules, value, ctx)
        return iter(())

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Judge the key at the tick that is due."""
        key = ctx.get_current_key()
        address = Address.parse(key)
        found = self._rules.load(partial(ctx.get_broadcast_state, RULES)).get(address.rule)
        entry = found if found is not None and shape_of(found[1], self._buckets) == address.shape else None
        timers = ctx.timer_service()
        now_ms = timers.current_processing_time()
        memory = Memory.decode(self._memory.value())
        tick = self._due(timestamp, ctx, entry[0].interval_ms if entry else 0, memory, now_ms)
        if tick is None:
            return
        said: list[Event] = []
        until = self._said.until(key, memory)
        if until and (entry is None or tick > until):
            memory, said = self._said.correct(key, memory, entry[0] if entry else None, now_ms)
        made = (
            self._judge(address, entry, memory, tick, now_ms)
            if entry is not None
            else self._evaluator.close(address, memory, max(_ended(found, memory, tick), until + 1), now_ms)
        )
        if entry is not None and (made is None or made.alive or tick <= until):
            after = memory if made is None else made.memory
            timers.register_event_time_timer(self._evaluator.following(key, entry[0], after, tick))
        if made is None:
            return
        self._keep(memory, made)
        for event in (*said, *made.events):
            yield Row(topics.ALERTS, event.key, event.value, event.evaluated_at)
        for batch in made.batches:
            yield Row(topics.RAW, batch.source.encode(), batch.encode(), batch.sent_at)

    def _due(
        self,
        timestamp: int,
        ctx: KeyedBroadcastProcessFunction.OnTimerContext,
        interval_ms: int,
        memory: Memory,
        now_ms: int,
    ) -> int | None:
        """Return the tick that is due; None: none is, and a timer is set for the next.

        interval_ms: of the rule, 0 if it is gone.
        """
        key, timers = ctx.get_current_key(), ctx.timer_service()
        tick: int = self._waits.pop(key, timestamp)
        if tick == timestamp and ctx.time_domain() is TimeDomain.PROCESSING_TIME:
            # It waited before a restart, nobody knows for which tick: the first that was not judged is early enough.
            first = self._first(memory)
            if first:  # else it has nothing; its next sample or beat sets a timer
                timers.register_event_time_timer(next_tick(first, interval_ms or 1))
            return None
        if not interval_ms:
            return tick
        new = not (memory.judged or memory.revision)
        if new and tick == timestamp:
            if tick % interval_ms == 0:
                timers.register_event_time_timer(tick + FIRST_MS)
                return None
            tick -= FIRST_MS
        # One of the grid before an edit. Or event time begins anew after a restore, and what the gate sends again is
        # from before: that tick is over, and judged twice it would end what fires now and begin it once more.
        if tick % interval_ms or tick <= memory.judged:
            timers.register_event_time_timer(next_tick(max(tick, memory.judged), interval_ms))
            return None
        due = max(self._settling.due(tick, now_ms, timers.current_watermark), self._heard.due(tick, now_ms))
        if due > now_ms:
            self._waits[key] = tick
            timers.register_processing_time_timer(due + new)
            return None
        return tick

    def _first(self, memory: Memory) -> int:
        """Return behind what time the first tick is that was not judged; 0: there is nothing to judge."""
        return memory.judged or min(
            (int(Batch.decode(one).timestamps.min()) - 1 for one in self._pieces.get()), default=0
        )

    def _judge(
        self, address: Address, entry: tuple[Rule, Linked], memory: Memory, tick: int, now_ms: int
    ) -> Outcome | None:
        """Return what the tick makes of the key; None: it rests through it."""
        pieces = [Batch.decode(part) for part in self._pieces.get()]
        still = not pieces and self._evaluator.still(str(address), entry, memory, tick)
        if still and self._evaluator.rests(entry[0], memory, tick):
            self._ticked(entry[0], tick, now_ms)
            return None
        if still:
            made = self._evaluator.again(address, entry, memory, tick, now_ms)
        else:
            stored = self._window.value()
            held = Window.decode(stored) if stored is not None else Window.empty(address.tenant)
            made = self._evaluator.tick(address, entry, memory, held, pieces, tick, now_ms, self._shelf)
        self._count(entry[0], made, tick, now_ms)
        return made

    def _keep(self, before: Memory, made: Outcome) -> None:
        self._pieces.clear()
        if not made.alive:
            self._window.clear()
            self._memory.clear()
            self._shelf.clear()
            return
        if made.paused:
            self._shelf.clear()
        if made.window is not None:
            self._window.update(made.window.encode())
        if made.memory != before:
            self._memory.update(made.memory.encode())

    def _ticked(self, rule: Rule, tick: int, now_ms: int) -> None:
        lag_ms = now_ms - tick
        self._evaluations.inc()
        self._lag.update(lag_ms)
        if not self._heard.covers(tick):
            self._unheard.inc()
        # Prometheus would have skipped it; here it is judged all the same.
        if lag_ms - self._settle[0] > 2 * rule.interval_ms:
            self._missed.inc()

    def _count(self, rule: Rule, made: Outcome, tick: int, now_ms: int) -> None:
        self._ticked(rule, tick, now_ms)
        if made.paused:
            self._paused.inc()
        self._unjudged.inc(made.unjudged)
        if made.failed:
            self._failures.inc()
            if self._failed.get(rule.key) != rule.revision:  # once a revision: it would come again at every tick
                self._failed[rule.key] = rule.revision
                _log.warning("tenant %r: %s", rule.tenant, made.failed)


def _ended(successor: tuple[Rule, Linked] | None, memory: Memory, tick: int) -> int:
    """Return when a key whose rule is gone ends what it has open, told at `tick`.

    Where other keys have the rule now, not after their first tick: an edited interval may have brought it before this.
    """
    if successor is None or not memory.judged:
        return tick
    return min(tick, next_tick(memory.judged, successor[0].interval_ms))
