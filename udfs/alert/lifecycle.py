"""The life of one alert instance: inactive → pending → firing → resolved, as a pure transition function.

Words and rules are Prometheus's (rules/alerting.go): `for`, keep_firing_for, one instance per label set. Timestamps
stand in for flags, so the same instance and the same `now` always give the same answer, however often the job restarts.

Events. A condition that begins gives `pending`, or `firing` at once if `for` is 0. A pending alert whose condition ends
gives `inactive`: who shows pending alerts must learn that one is gone. A firing one gives `resolved`. An edited rule
under which a firing alert should still be waiting gives `resolved` and then `pending`: no page is left open.

What fires is sent again every RESEND_MS, what has resolved for KEPT_MS longer, as the alert-generator specification of
prometheus/compliance asks: a receiver that has forgotten, or was away, learns the state. All of it is event time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import xxhash

from schemas.resend import RESEND_MS, holds_ms
from udfs.alert.rule import Rule

State = Literal["inactive", "pending", "firing", "resolved", "missed", "retracted"]
Labels = tuple[tuple[str, str], ...]

# As Prometheus's resolvedRetention. A forgotten instance counts its transitions from 1 again.
KEPT_MS = 15 * 60_000
NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Instance:
    """One label set of one rule. All times are event time in ms, 0 for never.

    demotions counts how often an edit of the rule sent the current episode back to pending. sent_at and resends speak
    of the latest transition: when it was last sent, and how often again. origin: udfs/alert/origin.py.
    """

    labels: Labels
    value: float = 0.0
    active_at: int = 0
    fired_at: int = 0
    cleared_at: int = 0
    ended_at: int = 0
    demotions: int = 0
    seq: int = 0
    sent_at: int = 0
    resends: int = 0
    origin: Labels = ()

    @property
    def live(self) -> bool:
        """Whether it is pending or firing."""
        return self.active_at > 0 and not self.ended_at

    @property
    def state(self) -> State:
        """The state, read off the timestamps."""
        if self.fired_at:
            return "resolved" if self.ended_at else "firing"
        return "pending" if self.live else "inactive"


class LateSample(NamedTuple):
    """A sample that came after the tick that should have seen it; arrived_at: the broker's clock, ms, 0: not known."""

    labels: Labels
    timestamp: int
    value: float
    arrived_at: int


@dataclass(frozen=True, slots=True)
class Transition:
    """One state entered, or said again (resend > 0), with all that an event says about it.

    key is equal for repeats and resends of the same transition. starts_at: when it began to fire; ends_at: when it
    ended, or until when a receiver may take it to fire if it hears no more; 0 for never.

    missed and retracted are entered by nobody: they tell what late samples say of a firing (udfs/alert/truth.py).
    concerns: key of the firing that is retracted. late: the samples that say so, late_more: how many more.
    demotions: of the instance; part of key.
    """

    state: State
    labels: Labels
    value: float
    active_at: int
    evaluated_at: int
    key: str
    seq: int
    starts_at: int = 0
    ends_at: int = 0
    resend: int = 0
    concerns: str = ""
    late: tuple[LateSample, ...] = ()
    late_more: int = 0
    origin: Labels = ()
    demotions: int = 0


def transition_key(rule: str, labels: Labels, active_at: int, demotions: int, state: State) -> str:
    """Return the idempotency key; rule is tenant/rule_id.

    The revision is left out: a job that died between an event and its checkpoint may meet a newer revision when it
    judges the same moment again.
    """
    parts = [rule, *(text for pair in labels for text in pair), str(active_at), str(demotions), state]
    return xxhash.xxh3_128_hexdigest(b"\xff".join(part.encode() for part in parts))


def step(
    instance: Instance, value: float | None, now: int, rule: Rule, since: int | None = None
) -> tuple[Instance, tuple[Transition, ...]]:
    """Return the instance after the evaluation at `now`, and the transitions it made (at most two).

    value is the expression's result for these labels, None if there was none. since is when the condition began to
    hold, where an edit made the job look back over the retained window; otherwise it is what the instance remembers.
    """
    if value is None:
        return _clear(instance, now, rule)
    if not instance.live:
        instance = replace(instance, active_at=now, fired_at=0, cleared_at=0, ended_at=0, demotions=0)
        fresh = True
    else:
        fresh = False
    began = instance.active_at if since is None else min(since, now)
    instance = replace(instance, value=value, cleared_at=0)
    due = now - began >= rule.for_ms
    if instance.fired_at:
        # Still firing under the rule as it is now: the page keeps the start that it was sent with.
        return (instance, ()) if due else _demote(instance, began, now, rule)
    instance = replace(instance, active_at=began)
    if due:
        return _enter(replace(instance, fired_at=now), "firing", now, rule)
    return _enter(instance, "pending", now, rule) if fresh else (instance, ())


def end(instance: Instance, now: int, rule: str) -> tuple[Instance, tuple[Transition, ...]]:
    """End a live instance whatever its condition, as when its rule is deleted; rule is tenant/rule_id."""
    if not instance.live:
        return instance, ()
    ended = replace(instance, ended_at=now, cleared_at=0)
    state: State = "resolved" if instance.fired_at else "inactive"
    return _enter(ended, state, now, rule)


def anew(instance: Instance, now: int, rule: Rule) -> tuple[Instance, Transition]:
    """Return a live instance that says its state as a transition of its own, and that."""
    said, (transition,) = _enter(instance, instance.state, now, rule)
    return said, transition


def resend(instance: Instance, now: int, rule: Rule) -> tuple[Instance, tuple[Transition, ...]]:
    """Return the instance and what it says again at `now`: its state, if it fires or has resolved lately."""
    state = instance.state
    if state not in ("firing", "resolved") or now - instance.sent_at < RESEND_MS:
        return instance, ()
    if state == "resolved" and now - instance.ended_at > KEPT_MS:
        return instance, ()
    instance = replace(instance, sent_at=now, resends=instance.resends + 1)
    return instance, (_said(instance, state, now, rule),)


def rests_until(instances: Iterable[Instance]) -> int | None:
    """Return the first time at which an ended instance is sent again or forgotten; None if one is live."""
    until = NEVER
    for one in instances:
        if one.live:
            return None
        resent_at = one.sent_at + RESEND_MS
        again = one.state == "resolved" and resent_at - one.ended_at <= KEPT_MS
        until = min(until, one.ended_at + KEPT_MS, resent_at if again else NEVER)
    return until


def forget(instances: Iterable[Instance], now: int) -> list[Instance]:
    """Return the instances that are live or ended lately."""
    return [one for one in instances if one.live or now - one.ended_at < KEPT_MS]


def _clear(instance: Instance, now: int, rule: Rule) -> tuple[Instance, tuple[Transition, ...]]:
    if instance.live and instance.fired_at and rule.keep_firing_for_ms:
        cleared_at = instance.cleared_at or now
        if now - cleared_at < rule.keep_firing_for_ms:
            return replace(instance, cleared_at=cleared_at), ()
    return end(instance, now, rule.key)


def _demote(instance: Instance, began: int, now: int, rule: Rule) -> tuple[Instance, tuple[Transition, ...]]:
    ended, resolved = end(instance, now, rule.key)
    waiting = replace(ended, active_at=began, fired_at=0, ended_at=0, demotions=instance.demotions + 1)
    pending, entered = _enter(waiting, "pending", now, rule)
    return pending, resolved + entered


def _enter(instance: Instance, state: State, now: int, rule: Rule | str) -> tuple[Instance, tuple[Transition, ...]]:
    instance = replace(instance, seq=instance.seq + 1, sent_at=now, resends=0)
    return instance, (_said(instance, state, now, rule),)


def _said(instance: Instance, state: State, now: int, rule: Rule | str) -> Transition:
    name = rule if isinstance(rule, str) else rule.key
    key = transition_key(name, instance.labels, instance.active_at, instance.demotions, state)
    ends_at = instance.ended_at
    if state == "firing" and isinstance(rule, Rule):
        ends_at = now + holds_ms(rule.interval_ms)
    fired_at = 0 if state == "pending" else instance.fired_at
    return Transition(
        state,
        instance.labels,
        instance.value,
        instance.active_at,
        now,
        key,
        instance.seq,
        fired_at,
        ends_at,
        instance.resends,
        origin=instance.origin,
        demotions=instance.demotions,
    )
