"""Late samples kept until they are judged, and the past that they are judged on.

A tick marks what came after a tick that should have seen it. When no more have come for SETTLE_MS, both plays of
udfs/alert/truth.py run over the groups that the late samples belong to. What leaves a window goes once a minute to the
past, a piece a minute, and is forgotten when no late sample can reach it any more.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from schemas.batch import Batch
from schemas.codec import STATE_BYTES
from schemas.columns import Points, UInt64s
from udfs.alert.expression import Expression
from udfs.alert.judge import REJUDGED_MS, Judged, retention_ms
from udfs.alert.lifecycle import NEVER, Transition
from udfs.alert.memory import Memory
from udfs.alert.replay import after, play
from udfs.alert.rule import Rule
from udfs.alert.source import WindowSource
from udfs.alert.spread import Spread
from udfs.alert.truth import named, verdict
from udfs.alert.waiting import BEFORE, LATE, marked, rows, waiting
from udfs.alert.window import Window, series_of

# So long without another late sample, and they are judged: half of what comes in pieces would tell half-truths.
SETTLE_MS = 30_000
# So long at most, however many come.
PATIENCE_MS = 300_000
# Most cells (series x ticks) of one go: a bound for the time that it takes.
MAX_CELLS = 4_000_000
# Largest series set whose groups are remembered: what is remembered is bounded in bytes.
_SMALL = 64 << 10
# Share of the time that may go into judging late samples, and how much of it may be saved up, seconds.
SHARE, SAVED_S = 0.2, 2.0


class Shelf(Protocol):
    """Keyed state beside the window. past: by the tick that put it there; late: pieces that wait to be judged."""

    def ticks(self) -> list[int]:
        """Return the ticks of which the past has a piece."""
        ...

    def past(self) -> Iterable[tuple[int, bytes]]:
        """Return (tick, piece) of the past."""
        ...

    def put(self, tick: int, piece: bytes) -> None:
        """Add to the past."""
        ...

    def forget(self, tick: int) -> None:
        """Drop a piece of the past."""
        ...

    def late(self) -> list[bytes]:
        """Return the pieces that wait."""
        ...

    def wait(self, piece: bytes) -> None:
        """Add a piece that waits."""
        ...

    def settled(self) -> None:
        """Drop what waited."""
        ...


def settles_at(memory: Memory) -> int:
    """Return the time (ms) from which the late samples of a key are judged, NEVER if none wait."""
    return min(memory.late_last + SETTLE_MS, memory.late_first + PATIENCE_MS) if memory.late_first else NEVER


@dataclass(slots=True)
class Hindsight:
    """horizon_ms: how far behind a tick a sample may be and still be judged, 0: none is. clock: rising seconds."""

    horizon_ms: int
    clock: Callable[[], float]
    _saved: float = SAVED_S
    _looked: float = 0.0

    def reach(self, rule: Rule, expression: Expression) -> int:
        """Return how far behind a tick the past begins, ms."""
        kept = min(rule.keep_firing_for_ms, REJUDGED_MS)
        return retention_ms(rule, expression) + kept + self.horizon_ms + PATIENCE_MS

    def of(self, rule: Rule) -> bool:
        """Tell whether late samples of the rule are judged; a longer `for` is more than is kept."""
        return bool(rule.alert and self.horizon_ms and rule.for_ms <= REJUDGED_MS)

    def mark(
        self, rule: Rule, memory: Memory, held: Window, pieces: Sequence[Batch], tick: int, shelf: Shelf
    ) -> tuple[Memory, int]:
        """Put aside what came late; return the memory, and how many samples came too late to be judged.

        held: the window before the pieces. What it holds already is no news.
        """
        if not (rule.alert and pieces):
            return memory, 0
        # A key that is new, or whose rule is, has judged no tick that should have seen them.
        known = memory.judged if memory.since and memory.revision == rule.revision else 0
        until = (known or tick - rule.interval_ms) - rule.query_offset_ms
        beyond = tick - self.horizon_ms if known and self.of(rule) else tick
        unjudged = 0
        for piece in pieces:
            index, timestamps, values = piece.points()
            late = timestamps <= until
            if not late.any():
                continue
            lost = late & (timestamps <= beyond)
            unjudged += int(lost.sum())
            kept = late & ~lost
            memory = self._put_aside(memory, held, piece, (index[kept], timestamps[kept], values[kept]), tick, shelf)
        return memory, unjudged

    def _put_aside(
        self,
        memory: Memory,
        held: Window,
        piece: Batch,
        points: Points,
        tick: int,
        shelf: Shelf,
    ) -> Memory:
        index, timestamps, values = points
        assert piece.series_ids is not None
        places = held.find(piece.series_ids[index], timestamps)
        other = places >= 0
        # As in Window.append the larger bit pattern stays.
        other[other] = values[other].view(np.uint64) > held.values[places[other]].view(np.uint64)
        news = (places < 0) | other
        if not news.any():
            return memory
        if other.any():
            shelf.wait(replace(rows(held, places[other]).batch(), source=BEFORE, sent_at=tick).encode())
        news_of = replace(
            piece, source=LATE, sent_at=tick, index=index[news], timestamps=timestamps[news], values=values[news]
        )
        shelf.wait(news_of.encode())
        return replace(memory, late_first=memory.late_first or tick, late_last=tick)

    def drop(self, memory: Memory, shelf: Shelf) -> tuple[Memory, int]:
        """Return the memory without the late samples that wait, and how many those were: their ticks are over."""
        if not memory.late_first:
            return memory, 0
        pieces = [Batch.decode(piece, STATE_BYTES) for piece in shelf.late()]
        shelf.settled()
        size = sum(len(piece.timestamps) for piece in pieces if piece.source == LATE)
        return replace(memory, late_first=0, late_last=0), size

    def keep(
        self,
        rule: Rule,
        expression: Expression,
        memory: Memory,
        window: Window,
        tick: int,
        due: bool,
        shelf: Shelf,
    ) -> tuple[Memory, Window]:
        """Return the memory, and the window to store: if it is due, what has left it goes to the past."""
        floor = tick - retention_ms(rule, expression)
        if not self.of(rule):
            return memory, window.trim(floor)
        if not due:
            return memory, window
        reach = self.reach(rule, expression)
        for put in shelf.ticks():
            if put - retention_ms(rule, expression) <= tick - reach:
                shelf.forget(put)
        left = window.timestamps <= floor
        gone = window.part(left & (window.timestamps > tick - reach))
        if len(gone):
            shelf.put(tick, gone.encode())
            memory = replace(memory, spilled=tick)
        return memory, window.part(~left)

    def waits(self, rule: Rule, expression: Expression, memory: Memory, tick: int) -> bool:
        """Tell whether a key without samples must be kept for its past or for late samples."""
        return (self.of(rule) and bool(memory.late_first)) or tick < self.gone_at(rule, expression, memory)

    def gone_at(self, rule: Rule, expression: Expression, memory: Memory) -> int:
        """Return from when on (ms) no late sample reaches the past; 0 if there is none."""
        if not (memory.spilled and self.of(rule)):
            return 0
        return memory.spilled + self.reach(rule, expression) - retention_ms(rule, expression)

    def follow(
        self, rule: Rule, expression: Expression, memory: Memory, judged: Judged, tick: int, edited: bool
    ) -> Memory:
        """Return the memory after a tick: since when it judges, and what has fired in reach."""
        since = tick if edited or not memory.since else memory.since
        fired = after(memory.fired, judged.transitions)
        oldest = tick - self.reach(rule, expression)
        kept = tuple(one for one in fired if not one.ended_at or one.ended_at > oldest) if self.of(rule) else ()
        return replace(memory, judged=tick, since=since, fired=kept)

    def settle(
        self, rule: Rule, expression: Expression, memory: Memory, window: Window, tick: int, shelf: Shelf
    ) -> tuple[Memory, tuple[Transition, ...], int]:
        """Return the memory, what late samples say, and how many samples are not judged, if it is time.

        window: all that is held at this tick.
        """
        if tick < settles_at(memory) or not self.may():
            return memory, (), 0
        began = self.clock()
        made, size, wait = self._judge(rule, expression, memory, window, tick, shelf)
        self._saved -= self.clock() - began
        if wait and tick < memory.late_first + PATIENCE_MS:
            return memory, (), 0
        shelf.settled()
        return replace(memory, late_first=0, late_last=0), made, size

    def may(self) -> bool:
        """Tell whether there is time left: fresh ticks come first."""
        now = self.clock()
        self._saved = min(SAVED_S, self._saved + (now - self._looked) * SHARE)
        self._looked = now
        return self._saved > 0

    def _judge(
        self, rule: Rule, expression: Expression, memory: Memory, window: Window, tick: int, shelf: Shelf
    ) -> tuple[tuple[Transition, ...], int, bool]:
        late, before, past = waiting(window.tenant, shelf.past(), shelf.late())
        if not len(late.window):
            return (), 0, False
        whole = window.append([one.batch() for one in past.values()] + [late.window.batch()])
        first, ticks = self._ticks(rule, expression, memory, int(late.window.timestamps.min()), tick)
        late_of = _groups(late.window.series_set, expression.spread)
        groups = np.unique(late_of)
        of = _groups(whole.series_set, expression.spread)
        sizes = np.array([int((of == group).sum()) for group in groups.tolist()]) if len(groups) > 1 else [len(of)]
        fits = np.cumsum(sizes) * ticks <= MAX_CELLS
        mine = np.isin(of, groups[fits])
        now = whole.part(mine[whole.codes])
        owners = np.isin(late_of, groups[fits])
        left = int((~owners[late.window.codes]).sum())
        if left == len(late.window):
            return (), left, False
        then = now.part(~marked(now, late.window))
        then = then.append([before.batch()]) if len(before) else then
        plays = [play(rule, expression, WindowSource(one), first, tick) for one in (then, now)]
        pending = {one.labels for one in memory.instances if one.state == "pending"}
        found = verdict(rule, plays[0], plays[1], memory.fired, pending, tick)
        told = []
        for one in found.truths:
            samples, more = named(rule, expression, one, late)
            told.append(replace(one, late=samples, late_more=more))
        return tuple(told), left, found.open

    def _ticks(self, rule: Rule, expression: Expression, memory: Memory, oldest: int, tick: int) -> tuple[int, int]:
        """Return the first tick to play, and how many there are up to `tick`.

        It comes before all that the oldest late sample may change, by all that an alert remembers.
        """
        step = rule.interval_ms
        reach = self.reach(rule, expression) - expression.span_ms - rule.query_offset_ms - step
        touched = oldest + rule.query_offset_ms - rule.for_ms - min(rule.keep_firing_for_ms, REJUDGED_MS) - 2 * step
        first = max(memory.since, -(-max(tick - reach, touched) // step) * step)
        return first, (tick - first) // step + 1


def _groups(series_set: bytes, spread: Spread) -> UInt64s:
    return (_groups_again if len(series_set) <= _SMALL else _read_groups)(series_set, spread)


def _read_groups(series_set: bytes, spread: Spread) -> UInt64s:
    return np.array([spread.group(one) for one in series_of(series_set)], np.uint64)


_groups_again = lru_cache(maxsize=256)(_read_groups)
