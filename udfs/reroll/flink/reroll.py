"""Dirty windows of an hour, healed together."""

import logging
import time
from collections.abc import Iterator, Sequence

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, ValueStateDescriptor

from schemas.codec import STATE_BYTES
from schemas.frame import Frame
from schemas.tiers import Tier
from sinks.clickhouse import Clickhouse
from sinks.history import ClickhouseHistory
from sinks.target import Target
from udfs.mode import announce
from udfs.reroll.heal import Waiting, heal
from udfs.reroll.pace import Pace
from udfs.write.refused import refused_block

_AGAIN_MS = 2_000
_CLOSED_MS = 5_000  # between two looks whether a window has been closed
_LONGEST_MS = 60_000  # between two looks whether rows have come

_log = logging.getLogger("tidegauge")


class RerollFunction(KeyedProcessFunction):
    """Heals the windows of one hour and of every coarser tier over it. Yields OUT rows for metrics.rejected.

    settle_s: how long late samples wait for more; patience_s: how long for the store job to write them to raw, and for
    the rollup job to write what it has closed.
    tiers: those that the rollup job keeps.
    """

    def __init__(
        self,
        settle_s: float,
        patience_s: float,
        lateness_s: int,
        shards: int,
        target: Target,
        tiers: Sequence[Tier],
    ) -> None:
        self._settle = int(settle_s * 1000)
        self._patience = int(patience_s * 1000)
        self._lateness = lateness_s * 1000
        self._shards = shards
        self._target = target
        self._tiers = tiers

    def open(self, runtime_context: RuntimeContext) -> None:
        """State: late frames, dirty windows that wait, when the oldest late frame came, when windows are looked at."""
        announce("reroll", runtime_context)
        target = self._target
        clickhouse = Clickhouse(target.clickhouse, target.user, target.password, target.database)
        self._history = ClickhouseHistory(clickhouse, self._shards, [])
        kept = Types.PICKLED_BYTE_ARRAY()
        self._late = runtime_context.get_list_state(ListStateDescriptor("frames", kept))
        self._waiting = {
            tier.name: runtime_context.get_list_state(ListStateDescriptor(f"waiting_{tier.name}", kept))
            for tier in self._tiers[1:]
        }
        self._since = runtime_context.get_state(ValueStateDescriptor("since", Types.LONG()))
        self._look = runtime_context.get_state(ValueStateDescriptor("look", Types.LONG()))
        self._pace = Pace()
        self._behind: dict[str, int] = {}  # since when a key waits for rows; after a restart it begins anew

    def process_element(self, value: tuple[str, bytes], ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        """Keep the frame; the first starts the clock."""
        self._late.add(value[1])
        now = ctx.timer_service().current_processing_time()
        since = self._since.value()
        if since is None or since > now:  # or the clock was ahead
            self._since.update(now)
            ctx.timer_service().register_processing_time_timer(now + self._settle)
        yield from ()

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Heal what can be healed now; come back for the rest."""
        key, timers = ctx.get_current_key(), ctx.timer_service()
        now = timers.current_processing_time()
        since = self._since.value()
        if since is not None and since > now:
            self._since.update(since := now)
        ripe = since is not None and now >= since + self._settle
        if since is not None and not ripe:
            timers.register_processing_time_timer(since + self._settle)  # which may be longer since a restart
        # Late samples come between two looks and make one of their own: it takes the place of the one that was due.
        if not ripe and timestamp != (self._look.value() or timestamp):
            return
        late = [Frame.decode(payload) for payload in self._late.get()] if ripe else []
        waiting = {
            name: [Frame.decode(one, STATE_BYTES) for one in state.get()] for name, state in self._waiting.items()
        }
        begun = time.monotonic()
        begins = self._behind.get(key, now) if since is None else since
        patient = now < begins + self._settle + self._patience
        ripened = {name: frames for name, frames in waiting.items() if frames}
        healed = heal(late, ripened, self._history, patient, self._tiers)
        took = time.monotonic() - begun
        rest = round(1000 * self._pace.after(took, begun + took))
        if healed.unstored:
            _log.info("tidegauge reroll of %s waits for raw, which lacks %d late samples or more", key, healed.unstored)
            timers.register_processing_time_timer(now + max(_AGAIN_MS, rest))
            return
        if ripe:
            _log.info("tidegauge reroll of %s: %d late frames, %d rows, %.2f s", key, len(late), healed.rows, took)
            self._late.clear()
            self._since.clear()
        if healed.behind:
            self._behind.setdefault(key, now)
            _log.info("tidegauge reroll of %s: %d rows are looked at again, raw has more", key, healed.behind)
        else:
            self._behind.pop(key, None)
        if (look := self._wait(healed.waiting, now, rest, self._behind.get(key, now))) is not None:
            timers.register_processing_time_timer(look)
        for table, block, error in self._history.refused:
            for tenant, record in refused_block(table, block, error, now):
                yield Row(tenant.encode(), record, now)
        self._history.refused.clear()

    def _wait(self, waiting: Waiting, now: int, rest: int, behind_since: int) -> int | None:
        """Keep the windows that wait; return when to look at them, not before `rest`; None if there are none. In ms."""
        for name, state in self._waiting.items():
            state.update([frame.encode() for frame in waiting.get(name, [])])
        if not waiting:
            return None
        # What raw alone was given, by `tidegauge load`, has no rows ever: looks become rarer.
        pause = min(max(_CLOSED_MS, (now - behind_since) // 2), _LONGEST_MS)
        look = max(now + max(pause, rest), self._earliest(waiting))
        self._look.update(look)
        return look

    def _earliest(self, waiting: Waiting) -> int:
        """Return when the first of the waiting windows can be closed, by the clock."""
        widths = {tier.name: tier.width_ms for tier in self._tiers}
        ends = [int(frame.timestamps.min()) + widths[name] for name, frames in waiting.items() for frame in frames]
        return min(ends) + self._lateness
