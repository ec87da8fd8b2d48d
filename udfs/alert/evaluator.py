"""Everything that one tick does to one key: window, evaluation, budget, events, recorded series. Knows no Flink."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import xxhash

from schemas.batch import Batch
from udfs.alert.bound import REASON_BYTES, fitting, shortened
from udfs.alert.budget import Budget
from udfs.alert.chain import Linked, silent
from udfs.alert.event import Event, events
from udfs.alert.hindsight import Hindsight, Shelf, settles_at
from udfs.alert.judge import Judged, again, close, judge, next_tick, retention_ms
from udfs.alert.lifecycle import rests_until
from udfs.alert.match import Address
from udfs.alert.memory import Memory
from udfs.alert.pause import paused, resumes
from udfs.alert.recording import batches_of, costs, source_of
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.still import still_until
from udfs.alert.trouble import troubles
from udfs.alert.window import Window

# How often a key's costs go out as series, and what has left its window goes to the past.
MINUTE_MS = 60_000
# How long a key rests at most: an edited rule is in force within 5 s.
REST_MS = 4_000
# One slow evaluation may be the machine's fault.
SLOW_IN_A_ROW = 3


@dataclass(slots=True)
class Spent:
    """What one key has cost since the job started; slow: how many evaluations in a row took too long.

    unjudged: samples that came too late for anything to be said of them.
    """

    evaluations: int = 0
    failures: int = 0
    unjudged: int = 0
    seconds: float = 0.0
    slow: int = 0


@dataclass(slots=True)
class Outcome:
    """memory and window to keep; window None: it stays as it is stored. alive: a next tick is needed."""

    memory: Memory
    window: Window | None
    alive: bool
    events: list[Event] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    failed: str = ""
    paused: bool = False
    unjudged: int = 0


@dataclass(slots=True)
class Evaluator:
    """clock: seconds that only ever rise, for costs. Costs are of the process and begin anew with it.

    hindsight: what late samples show of earlier ticks.
    """

    budget: Budget
    clock: Callable[[], float]
    hindsight: Hindsight
    _spent: dict[str, Spent] = field(default_factory=dict)

    def tick(
        self,
        address: Address,
        entry: tuple[Rule, Linked],
        memory: Memory,
        held: Window,
        pieces: Sequence[Batch],
        tick: int,
        now_ms: int,
        shelf: Shelf,
    ) -> Outcome:
        """Return what the tick makes of a key whose window is `held` and which got `pieces` since."""
        rule, expression = entry
        if memory.revision == rule.revision and tick < resumes(rule, expression, memory):
            return self._paused(address, entry, memory, held, pieces, tick, now_ms)
        began = self.clock()
        spent = self._spent.setdefault(str(address), Spent())
        memory, rested = self._woken(rule, memory, tick)
        edited = memory.edited(rule.revision)
        memory, whole, late = self._taken(rule, memory, held, pieces, tick, shelf)
        # What has left the window may still lie in it for a minute: it is as if it were gone.
        window = whole.trim(max(memory.floor, tick - retention_ms(rule, expression)))
        judged, failed, excess = self._judged(entry, memory, window, tick)
        excess = self._accounted(spent, 1 + rested, self.clock() - began, failed) or excess
        if excess:
            return self._given_up(address, entry, memory, whole, late, excess, tick, now_ms, shelf)
        after = self.hindsight.follow(
            rule, expression, replace(judged.memory, paused_until=0, trouble=failed), judged, tick, edited
        )
        after, truths, left = self.hindsight.settle(rule, expression, after, whole, tick, shelf)
        begins = _begins(str(address), memory.judged, tick)
        after, stored = self.hindsight.keep(rule, expression, after, whole, tick, begins, shelf)
        gone_at = self.hindsight.gone_at(rule, expression, after)
        until = tick if failed else still_until(rule, expression, window, gone_at, tick)
        after, said = troubles(address, rule, replace(after, still_until=until), tick, now_ms)
        made = events(judged.transitions + truths, rule, address, rule.revision, now_ms)
        spent.unjudged += late + left
        batches = _batches(rule, judged, tick) + _report(address, rule, spent, window, tick)
        kept = stored if stored is not held else None
        alive = self._lives(entry, after, stored, tick)
        return Outcome(after, kept, alive, made + said, batches, failed, unjudged=late + left)

    def _taken(
        self, rule: Rule, memory: Memory, held: Window, pieces: Sequence[Batch], tick: int, shelf: Shelf
    ) -> tuple[Memory, Window, int]:
        """Return the memory, the window with the pieces in it, and how many late samples nothing will be said of."""
        dropped = 0
        if memory.edited(rule.revision):
            memory, dropped = self.hindsight.drop(replace(memory, fired=()), shelf)
        memory, unjudged = self.hindsight.mark(rule, memory, held, pieces, tick, shelf)
        return memory, held.append(pieces) if pieces else held, unjudged + dropped

    def _given_up(
        self,
        address: Address,
        entry: tuple[Rule, Linked],
        memory: Memory,
        whole: Window,
        late: int,
        excess: str,
        tick: int,
        now_ms: int,
        shelf: Shelf,
    ) -> Outcome:
        """Return the tick at which the key's pause begins."""
        until = tick + self.budget.pause_ms
        waiting = replace(memory, revision=entry[0].revision, paused_until=until, trouble=excess)
        waiting, left = self.hindsight.drop(waiting, shelf)
        outcome = self._paused(address, entry, waiting, whole, (), tick, now_ms)
        return replace(outcome, unjudged=late + left)

    def _lives(self, entry: tuple[Rule, Linked], after: Memory, stored: Window, tick: int) -> bool:
        """Tell whether the key needs another tick."""
        held = len(stored) > 0 or bool(after.instances or after.troubles)
        return held or silent(entry[1]) or self.hindsight.waits(*entry, after, tick)

    def _judged(self, entry: tuple[Rule, Linked], memory: Memory, window: Window, tick: int) -> tuple[Judged, str, str]:
        """Return (what the rule makes of the window, why it failed, why it is too large); empty where it is not.

        It also fails if some of its results are left out: the others are made.
        """
        excess = self.budget.size(len(window.ids), window.nbytes)
        if excess:
            return Judged(memory), "", excess
        try:
            judged, left = fitting(judge(*entry, memory, window, tick))
        except RuleFault as fault:
            return Judged(memory), shortened(str(fault), REASON_BYTES), ""
        return judged, left, self.budget.size(len(judged.memory.instances), 0)

    def _accounted(self, spent: Spent, evaluations: int, seconds: float, failed: str) -> str:
        """Add to what a key has cost; return why it is too slow if it was so often enough, else nothing."""
        spent.evaluations, spent.seconds = spent.evaluations + evaluations, spent.seconds + seconds
        spent.failures += bool(failed)
        slow = self.budget.time(seconds)
        spent.slow = spent.slow + 1 if slow else 0
        if spent.slow < SLOW_IN_A_ROW:
            return ""
        spent.slow = 0
        return slow

    def still(self, key: str, entry: tuple[Rule, Linked], memory: Memory, tick: int) -> bool:
        """Tell whether a tick without new samples has the answer of the one before, and nothing else is due."""
        if tick >= memory.still_until or _begins(key, memory.judged, tick) or not _quiet(entry[0], memory):
            return False
        return tick < settles_at(memory) or not self.hindsight.may()

    def rests(self, rule: Rule, memory: Memory, tick: int) -> bool:
        """Tell whether such a tick leaves no trace: nothing is pending, fires or is sent again, nothing recorded."""
        until = rests_until(memory.instances)
        return bool(rule.alert) and until is not None and tick < until and _quiet(rule, memory)

    def following(self, key: str, rule: Rule, memory: Memory, tick: int) -> int:
        """Return the next tick (ms) of a key at which there may be something to do.

        A key that rests wakes in its own turn among the others, and always at the same ticks, so that its timers of
        different origin meet.
        """
        interval, turns = rule.interval_ms, REST_MS // rule.interval_ms
        until = rests_until(memory.instances)
        if turns < 2 or until is None or not self.rests(rule, memory, tick):
            return tick + interval
        number, own = tick // interval + 1, _own(key)
        turn = (number + (own - number) % turns) * interval
        minute = tick + MINUTE_MS - (tick + own) % MINUTE_MS
        times = [turn, *(next_tick(one - 1, interval) for one in (minute, until, memory.still_until))]
        if tick < settles_at(memory):  # else there was no time for its late samples: again when it is its turn
            times.append(next_tick(settles_at(memory) - 1, interval))
        return max(tick + interval, min(times))

    def again(self, address: Address, entry: tuple[Rule, Linked], memory: Memory, tick: int, now_ms: int) -> Outcome:
        """Return such a tick: what is held of samples is not looked at."""
        rule, expression = entry
        began = self.clock()
        memory, rested = self._woken(rule, memory, tick)
        judged = again(rule, expression, memory, tick)
        after = self.hindsight.follow(rule, expression, judged.memory, judged, tick, False)
        made = events(judged.transitions, rule, address, rule.revision, now_ms)
        spent = self._spent.setdefault(str(address), Spent())
        spent.evaluations, spent.seconds = spent.evaluations + 1 + rested, spent.seconds + self.clock() - began
        return Outcome(after, None, True, made, _batches(rule, judged, tick))

    def close(self, address: Address, memory: Memory, tick: int, now_ms: int) -> Outcome:
        """End what lives under a rule that is deleted or now reads other series."""
        self._spent.pop(str(address), None)
        judged = close(memory, address.rule, tick)
        about = close(replace(memory, instances=memory.troubles), address.rule, tick).transitions
        made = events(judged.transitions + about, None, address, memory.revision, now_ms)
        batches = batches_of(address.tenant, source_of(address.rule_id), tick, judged.series, judged.ended)
        return Outcome(Memory(), None, False, made, batches)

    def _woken(self, rule: Rule, memory: Memory, tick: int) -> tuple[Memory, int]:
        """Return the memory as the ticks through which the key rested would have left it, and how many those were."""
        rested = (tick - memory.judged) // rule.interval_ms - 1
        if rested < 1 or not memory.judged or not self.rests(rule, memory, tick - rule.interval_ms):
            return memory, 0
        return replace(memory, judged=tick - rule.interval_ms), rested

    def _paused(
        self,
        address: Address,
        entry: tuple[Rule, Linked],
        memory: Memory,
        held: Window,
        pieces: Sequence[Batch],
        tick: int,
        now_ms: int,
    ) -> Outcome:
        """Return a tick without evaluation: alerts stay as they were."""
        rule, expression = entry
        after, window = paused(self.budget, rule, expression, memory, held, pieces, tick)
        after, said = troubles(address, rule, after, tick, now_ms)
        return Outcome(after, window, True, said, paused=True)


def _own(key: str) -> int:
    """Return a number by which keys take turns."""
    return xxhash.xxh3_64_intdigest(key.encode())


def _begins(key: str, before: int, tick: int) -> bool:
    """Tell whether a minute of the key begins after one tick, up to another: one of all keys would be a jam."""
    own = _own(key)
    return (before + own) // MINUTE_MS != (tick + own) // MINUTE_MS


def _quiet(rule: Rule, memory: Memory) -> bool:
    """Tell whether nothing but a sample or the clock can change the answer."""
    busy = memory.trouble or memory.troubles or memory.paused_until
    return not busy and memory.revision == rule.revision


def _batches(rule: Rule, judged: Judged, tick: int) -> list[Batch]:
    return batches_of(rule.tenant, source_of(rule.rule_id), tick - rule.query_offset_ms, judged.series, judged.ended)


def _report(address: Address, rule: Rule, spent: Spent, window: Window, tick: int) -> list[Batch]:
    """Return the key's costs, once a minute; they count since the job's start, as a process's counters do."""
    if not _begins(str(address), tick - rule.interval_ms, tick):
        return []
    series = costs(
        rule,
        address.bucket,
        (
            ("last_evaluation_timestamp_seconds", tick / 1000),
            ("evaluations_total", spent.evaluations),
            ("evaluation_failures_total", spent.failures),
            ("evaluation_seconds_total", spent.seconds),
            ("late_samples_unjudged_total", spent.unjudged),
            ("window_series", len(window.ids)),
            ("window_bytes", window.nbytes),
        ),
    )
    return batches_of(rule.tenant, source_of(rule.rule_id), tick, series)
