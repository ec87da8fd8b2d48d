"""What was said before a restart, beyond the checkpoint that the job came back from. Pure.

Mostly it is said again, word for word. Not where the rule was edited meanwhile, or where samples are in time now that
were late then: a firing that was sent would never be resolved, and one that was resolved would go on in silence. So
behind the last tick that a key had said something at, it says where its alerts are otherwise than was said last.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from udfs.alert.event import Event, events, read
from udfs.alert.lifecycle import Instance, Labels, Transition, anew, end, transition_key
from udfs.alert.match import Address
from udfs.alert.memory import Memory
from udfs.alert.rule import Rule
from udfs.alert.trouble import FAILING, PAUSED, about_of, summary_of

_OPEN = ("pending", "firing")

_log = logging.getLogger("tidegauge.alert")


@dataclass(slots=True)
class Words:
    """What was said of one alert by any key of its rule: the keys of all, and the most demotions by active_at."""

    keys: set[str] = field(default_factory=set)
    demotions: dict[int, int] = field(default_factory=dict)

    def add(self, told: Transition) -> None:
        """Take what was said next."""
        self.keys.add(told.key)
        self.demotions[told.active_at] = max(told.demotions, self.demotions.get(told.active_at, 0))

    def apart(self, now: Instance, again: bool) -> Instance:
        """Return an instance whose next keys nobody has met. again: nor that of its state, which is said again."""
        said = self.demotions.get(now.active_at, -1)
        return replace(now, demotions=max(now.demotions + again, said + 1))


@dataclass(slots=True)
class Key:
    """What one key had said last, by labels. before: of how many transitions its memory knew when the job came back."""

    last: dict[Labels, Transition] = field(default_factory=dict)
    before: dict[Labels, int] | None = None

    @property
    def until(self) -> int:
        """Return the last tick that said something, ms."""
        return max((one.evaluated_at for one in self.last.values()), default=0)


class Said:
    """What the newest records of alert.events say, oldest first of each alert; each key takes it up once."""

    def __init__(self, records: Iterable[bytes]) -> None:
        self._keys: dict[str, Key] = {}
        self._words: dict[tuple[str, Labels], Words] = defaultdict(Words)
        for record in records:
            try:
                name, told = read(record)
                # What late samples say is entered by nobody.
                rule = Address.parse(name).rule if name and told.seq else ""
            except (ValueError, TypeError) as error:  # anyone who may write to the topic may have written it
                _log.warning("a record of alert.events is unreadable: %s", error)
                continue
            if rule:
                self._keys.setdefault(name, Key()).last[told.labels] = told
                self._words[rule, told.labels].add(told)

    def until(self, name: str, memory: Memory) -> int:
        """Return the last tick that the key has said something at beyond its memory, ms; 0: there is none.

        To be asked at the first tick of each key, before it is judged.
        """
        key = self._keys.get(name)
        if key is None:
            return 0
        if key.before is None:
            key.before = {one.labels: one.seq for one in (*memory.instances, *memory.troubles)}
            key.last = {labels: one for labels, one in key.last.items() if one.evaluated_at > memory.judged}
        if not key.last:
            del self._keys[name]
        return key.until

    def correct(self, name: str, memory: Memory, rule: Rule | None, now_ms: int) -> tuple[Memory, list[Event]]:
        """Return the memory, and what is to be said right behind `until`; there is nothing to correct any more then.

        rule is None where all that lives is about to end.
        """
        key, address = self._keys.pop(name), Address.parse(name)
        about = {about_of(address, one) for one in (FAILING, PAUSED)}
        held = {one.labels: one for one in (*memory.instances, *memory.troubles)}
        made: list[Transition] = []
        for labels, last in key.last.items():
            words = self._words[address.rule, labels]
            now = held.get(labels) or Instance(labels)
            spoken = transition_key(address.rule, labels, now.active_at, now.demotions, now.state)
            if spoken != last.key and (now.live or last.state in _OPEN):
                new = now.seq > (key.before or {}).get(labels, 0) and spoken not in words.keys
                held[labels], said = _corrected(now, last, words, new, address.rule, rule, key.until + 1)
                made += said
        after = replace(
            memory,
            instances=tuple(one for labels, one in held.items() if labels not in about),
            troubles=tuple(one for labels, one in held.items() if labels in about),
            # What has ended is to be sent again, though no sample comes.
            still_until=0 if made else memory.still_until,
        )
        revision = rule.revision if rule else memory.revision
        mine = events([one for one in made if one.labels not in about], rule, address, revision, now_ms)
        others = events(
            [one for one in made if one.labels in about], None, address, revision, now_ms, summary_of(memory)
        )
        return after, mine + others


def _corrected(
    now: Instance, last: Transition, words: Words, new: bool, name: str, rule: Rule | None, at: int
) -> tuple[Instance, tuple[Transition, ...]]:
    """Return an alert that is otherwise than was said last, and what is to be said of it.

    new: this run has said how it is, and nobody before. name: tenant/rule_id; rule is None if it is gone.
    """
    now = replace(now, seq=max(now.seq, last.seq))
    if not now.live:
        return end(_instance(now, last), at, name)
    if rule is None and last.state not in _OPEN:
        return replace(now, ended_at=at), ()
    closed: tuple[Transition, ...] = ()
    if last.state == "firing" and now.state == "pending":
        ended, closed = end(_instance(now, last), at, name)
        now = replace(now, seq=ended.seq)
    known = now.state == last.state or (new and now.fired_at >= last.evaluated_at)
    if known or rule is None:
        return words.apart(now, again=False), closed
    now, said = anew(words.apart(now, again=True), at, rule)
    return now, (*closed, said)


def _instance(before: Instance, last: Transition) -> Instance:
    """Return the instance that pends or fires as was said last. before: as this run has it."""
    return Instance(
        last.labels,
        last.value,
        last.active_at,
        last.starts_at,
        demotions=last.demotions,
        seq=before.seq,
        origin=before.origin,
    )
