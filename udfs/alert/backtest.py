"""Rules over history: when each alert would have fired, for whom, and what two versions of the rules tell apart."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from promql.columns import Columns, Matcher, Selector, Source
from promql.reads import selectors
from promql.steps import pinned
from udfs.alert.expression import parse_expression
from udfs.alert.group import MAX_TICKS, Change, Failure, Run, Setting
from udfs.alert.lifecycle import Labels
from udfs.alert.order import ALERTS, FOR_STATE, names
from udfs.alert.recorded import Recorded
from udfs.alert.rule import Rule
from udfs.alert.rulefile import Group

Told = Callable[[int, int], None]
# What tells selectors apart, whatever the time: metric and matchers.
Key = tuple[str, tuple[Matcher, ...]]


@dataclass(frozen=True, slots=True)
class Episode:
    """One time that an alert was pending or firing; all times ms since 1970 UTC, 0 for not (yet).

    value and annotations are those of the firing, or of the beginning if it never fired.
    """

    rule: str
    labels: Labels
    active_at: int
    fired_at: int
    ended_at: int
    value: float
    annotations: Labels


@dataclass(frozen=True, slots=True)
class Unseen:
    """A selector that found no sample in all of its time, and the ids of the rules that read it."""

    selector: Selector
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a backtest found: episodes by their time, evaluations without an answer, evaluations in all.

    alerts: the keys of all alerting rules, in the order of the file. unseen: what the rules read and is not there.
    """

    episodes: tuple[Episode, ...]
    failures: tuple[Failure, ...]
    evaluations: int
    alerts: tuple[str, ...]
    unseen: tuple[Unseen, ...]

    @property
    def fired(self) -> tuple[Episode, ...]:
        """The episodes in which the alert fired."""
        return tuple(one for one in self.episodes if one.fired_at)


@dataclass(frozen=True, slots=True)
class Difference:
    """What fired under one version of the rules only, and what fired at other times: (before, after)."""

    gone: tuple[Episode, ...]
    new: tuple[Episode, ...]
    moved: tuple[tuple[Episode, Episode], ...]
    same: int


def backtest(
    groups: Sequence[Group],
    source: Source,
    start_ms: int,
    end_ms: int,
    setting: Setting,
    told: Told | None = None,
    oldest_ms: int = 0,
) -> Report:
    """Return what the groups would have done from start to end.

    Ticks stand on the stream's grid, the multiples of the interval. Evaluation begins earlier by the longest `for` and
    keep_firing_for, so that what fires at the start is known; what ended before the start is left out. But it begins
    at oldest_ms at the earliest: the source holds nothing before. told(done, all) is called now and then, in ms of
    history. Raises RuleFault for an expression that is none.
    """
    rules = [rule for group in groups for rule in group.rules]
    before = max([0, *(rule.for_ms + rule.keep_firing_for_ms + rule.interval_ms for rule in rules)])
    first = max(start_ms - before, oldest_ms)
    fetched = Fetched(source, rules, first)
    run = Run(groups, fetched, replace(setting, since_ms=first), first)
    steps = [max(1, round(group.interval_s * 1000)) for group in groups]
    evaluations = 0
    for low, high in _slices(first, end_ms, min(steps, default=60_000) * MAX_TICKS):
        fetched.fetch(low, high)
        for place, ticks in _turns(low, high, steps, one_by_one=run.chunk == 1):
            run.evaluate(place, ticks)
            evaluations += len(ticks) * len(groups[place].rules)
        fetched.look(run.recorded, high)
        if not fetched.pinned:
            run.recorded.forget(high - fetched.span_ms)
        if told is not None:
            told(min(high, end_ms) - first, end_ms - first)
    episodes = (one for one in episodes_of(run.changes) if not one.ended_at or one.ended_at >= start_ms)
    failures = tuple(one for one in run.failures if one.at >= start_ms)
    alerts = tuple(rule.key for rule in rules if rule.alert)
    return Report(tuple(episodes), failures, evaluations, alerts, fetched.unseen())


def episodes_of(changes: Iterable[Change]) -> list[Episode]:
    """Return the episodes that changes tell of, by the time of their beginning."""
    live: dict[tuple[str, Labels], Episode] = {}
    done: list[Episode] = []
    for change in changes:
        one, key = change.transition, (change.rule.key, change.transition.labels)
        match one.state:
            case "pending":
                live[key] = Episode(key[0], one.labels, one.active_at, 0, 0, one.value, change.annotations)
            case "firing":
                live[key] = Episode(
                    key[0], one.labels, one.active_at, one.evaluated_at, 0, one.value, change.annotations
                )
            case "resolved" | "inactive" if key in live:
                done.append(replace(live.pop(key), ended_at=one.evaluated_at))
    return sorted([*done, *live.values()], key=lambda one: (one.active_at, one.rule, one.labels))


def difference(before: Report, after: Report) -> Difference:
    """Return what fires differently; firings of equal labels that overlap are the same one at another time."""
    gone: list[Episode] = []
    moved: list[tuple[Episode, Episode]] = []
    same = 0
    left = {_key(one): one for one in after.fired}
    others: dict[Labels, list[Episode]] = {}
    for one in after.fired:
        others.setdefault(one.labels, []).append(one)
    for one in before.fired:
        twin = next((two for two in others.get(one.labels, ()) if _key(two) in left and _meet(one, two)), None)
        if twin is None:
            gone.append(one)
            continue
        del left[_key(twin)]
        if (one.fired_at, one.ended_at) == (twin.fired_at, twin.ended_at):
            same += 1
        else:
            moved.append((one, twin))
    return Difference(tuple(gone), tuple(left.values()), tuple(moved), same)


def _key(one: Episode) -> tuple[str, Labels, int]:
    return one.rule, one.labels, one.active_at


def _meet(one: Episode, other: Episode) -> bool:
    return (not other.ended_at or one.fired_at < other.ended_at) and (not one.ended_at or other.fired_at < one.ended_at)


def _slices(first: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield (low, high] slices of the time from first to end, both included."""
    low = first - 1
    while low < end:
        high = min(end, low + length)
        yield low, high
        low = high


def _turns(
    low: int, high: int, steps: Sequence[int], one_by_one: bool
) -> Iterator[tuple[int, "np.ndarray[tuple[int], np.dtype[np.int64]]"]]:
    """Yield (place of a group, its ticks in (low, high]): all of a group's at once, or each by itself, by time."""
    ticks = [np.arange((low // step + 1) * step, high + 1, step, dtype=np.int64) for step in steps]
    if not one_by_one:
        yield from ((place, times) for place, times in enumerate(ticks) if len(times))
        return
    for time, place in sorted((time, place) for place, times in enumerate(ticks) for time in times.tolist()):
        yield place, np.array([time], np.int64)


class Fetched:
    """A Source that reads what a slice of time needs once, however many ticks are evaluated in it.

    It knows what the rules' selectors found. since_ms: from then on the names that the rules record are theirs alone.
    """

    def __init__(self, source: Source, rules: Sequence[Rule], since_ms: int) -> None:
        self._source, self._since_ms, self._made = source, since_ms, names(rules)
        self._plans = [(parse_expression(rule.expr), rule.query_offset_ms, rule.rule_id) for rule in rules]
        self._held: dict[Key, tuple[Selector, Columns]] = {}
        self._readers: dict[Key, list[str]] = {}
        for plan, _, rule_id in self._plans:
            for key in dict.fromkeys(map(_of, selectors(plan))):
                self._readers.setdefault(key, []).append(rule_id)
        # Which have found nothing yet, and in what time. Of ALERTS each rule's own episodes tell.
        own = self._made & {ALERTS, FOR_STATE}
        self._missing: dict[Key, Selector | None] = {key: None for key in self._readers if key[0] not in own}
        reads = [(one, offset) for plan, offset, _ in self._plans for one in selectors(plan)]
        self.span_ms = max([0, *(offset - one.start_ms for one, offset in reads)])
        """How far behind a tick the oldest sample lies that an expression reads; with @ nothing is said."""
        self.pinned = any(pinned(plan) for plan, _, _ in self._plans)

    def fetch(self, low_ms: int, high_ms: int) -> None:
        """Read for ticks in (low, high]; what was read before is forgotten."""
        hulls: dict[Key, Selector] = {}
        for plan, offset, _ in self._plans:
            for one in selectors(plan, low_ms + 1 - offset, high_ms - offset):
                hull = _hull(hulls.get(_of(one)), one)
                hulls[_of(one)] = replace(hull, end_ms=min(hull.end_ms, high_ms))
        self._held = {key: (hull, self._read(hull)) for key, hull in hulls.items()}

    def select(self, selector: Selector) -> Columns:
        """Return the samples of the matching series."""
        held = self._held.get(_of(selector))
        if held and held[0].start_ms <= selector.start_ms and selector.end_ms <= held[0].end_ms:
            return held[1]
        return self._read(selector)

    def look(self, recorded: Recorded, until_ms: int) -> None:
        """Note which selectors find what the rules themselves have recorded up to a time."""
        for metric, matchers in list(self._missing):
            if len(recorded.select(Selector(metric, matchers, -1, until_ms)).timestamps):
                del self._missing[metric, matchers]

    def unseen(self) -> tuple[Unseen, ...]:
        """Return the selectors that found nothing wherever they looked."""
        found = self._missing.items()
        return tuple(Unseen(hull, tuple(self._readers[key])) for key, hull in found if hull is not None)

    def _read(self, selector: Selector) -> Columns:
        found, key = self._source.select(selector), _of(selector)
        if key in self._missing:
            # What others once stored under a name that the rules record counts before the run only, as for Joined.
            made = selector.metric in self._made
            if (found.timestamps < self._since_ms).any() if made else len(found.timestamps):
                del self._missing[key]
            else:
                self._missing[key] = _hull(self._missing[key], selector)
        return found


def _of(selector: Selector) -> Key:
    return selector.metric, selector.matchers


def _hull(held: Selector | None, more: Selector) -> Selector:
    """Return a selector of the time of both."""
    if held is None:
        return more
    return replace(held, start_ms=min(held.start_ms, more.start_ms), end_ms=max(held.end_ms, more.end_ms))
