"""Which alerts still stand: a transition may be written and never taken back.

One that was sent between two checkpoints is unknown to a job that comes back from the older one, and there are cases in
which the job does not end it (docs/alerts.md). What proves that: it has gone on judging the rule for longer than the
alert's ends_at, and does not record the alert as ALERTS, which it does at every tick. A job that is down or behind
proves nothing.
"""

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from promql.columns import NAME, Columns, Floats, Int64s, Labels, Selector, Source
from promql.plan import Select
from promql.series import Signature, signature
from query.store import Alert, Store
from query.view import View
from schemas.resend import holds_ms

# Alerts about the rule itself (udfs/alert/evaluator.py). They are not recorded as ALERTS.
TROUBLES = FAILING, PAUSED = "RuleFailing", "RulePaused"
_RECORDED, _STATE = "ALERTS", "alertstate"
# Told once a minute of each key of a rule that is not paused, at the time of a tick; equal values: none has failed.
_FAILURES = "tidegauge_rule_evaluation_failures_total"
# How far back both are read, ms: rules with an interval of more than a few minutes prove nothing within it.
_READ_MS = 1_800_000
# Behind an outage many ticks are judged at once, and what they make is stored in any order, so long apart at most, ms.
_APART_MS = 60_000
_HOUR_MS = 3_600_000
# Rules of a tenant, series of one alert's name.
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Key:
    """The ticks, ms, at which a key of a rule told how often it had failed."""

    bucket: str
    ticks: Int64s
    failures: Floats

    def judged_ms(self, after: int) -> int:
        """Return for how long after a time it was judged up to the newest tick, without a failure in between."""
        later = self.ticks > after
        if not later.any():
            return 0
        ticks, changes = self.ticks[later], np.flatnonzero(np.diff(self.failures[later]))
        return int(ticks[-1] - ticks[changes[-1] + 1 if len(changes) else 0])


# By rule id.
Keys = Mapping[str, Sequence[Key]]
# When an alert was last recorded in a state, ms.
Said = Mapping[tuple[Signature, str], int]


def standing(store: Store, tenant: str, alerts: Sequence[Alert], now_ms: int) -> list[Alert]:
    """Return the alerts that stand, with the state that they are recorded in, in their order; raises QueryError."""
    if all(_fresh(now_ms, one.evaluated_ms) for one in alerts):
        return list(alerts)
    said = _said(store.source(tenant, 1), now_ms)
    if all(_fresh(now_ms, _last(one, said)) for one in alerts):
        return list(alerts)
    keys = _keys(store.source(tenant, 1, View(now_ms - _APART_MS)), now_ms)
    rules = _in_force(store.rules(tenant, _MOST), {one.rule_id for one in alerts}) if keys else {}
    left = [
        one
        for one in alerts
        if not _bucket(one) or not _over(one, keys, one.evaluated_ms, rules.get(one.rule_id), others=False)
    ]
    paused = {one.rule_id for one in left if _bucket(one) and _named(one) == PAUSED}
    now = [
        one if _bucket(one) or one.rule_id in paused else _now(one, keys, said, rules.get(one.rule_id)) for one in left
    ]
    # What never was recorded (the gate may refuse a series) proves nothing by not being recorded now.
    doubted = [one for one, as_now in zip(left, now, strict=True) if as_now is None]
    known = _recorded(store, tenant, doubted, now_ms)
    return [
        as_now or one
        for one, as_now in zip(left, now, strict=True)
        if as_now is not None or signature(one.labels) not in known
    ]


def _fresh(now_ms: int, said_ms: int) -> bool:
    return now_ms - said_ms <= holds_ms(0)


def _last(one: Alert, said: Said) -> int:
    """Return when an alert was last said: as it entered its state, or by its record."""
    return max(one.evaluated_ms, said.get((signature(one.labels), one.state), 0))


def _now(one: Alert, keys: Keys, said: Said, rule: Mapping[str, Any] | None) -> Alert | None:
    """Return an alert in the state that it is in, None if it should be over."""
    after = _last(one, said)
    if not _over(one, keys, after, rule, others=True):
        return one
    other = "pending" if one.state == "firing" else "firing"
    recorded = said.get((signature(one.labels), other), 0)
    return replace(one, state=other) if recorded > after and not _over(one, keys, recorded, rule, others=True) else None


def _over(one: Alert, keys: Keys, after: int, rule: Mapping[str, Any] | None, *, others: bool) -> bool:
    """Tell whether the job has judged for longer than an alert holds that was last said at a time.

    Where nothing is told of its rule, which is gone or sees no series now, what is told of others counts; of a rule in
    force only if `others`.
    """
    bucket = _bucket(one)
    mine = [key for key in keys.get(one.rule_id, ()) if bucket in ("", key.bucket)]
    interval_ms, offset_ms = (round(1000 * _number(rule, name)) for name in ("interval_s", "query_offset_s"))
    held_ms = holds_ms(interval_ms) + offset_ms
    if mine:
        return all(key.judged_ms(after) > held_ms for key in mine)
    if rule is not None and not (others and held_ms < _READ_MS // 2):
        return False
    return any(key.judged_ms(after) > held_ms for key in itertools.chain.from_iterable(keys.values()))


def _in_force(stored: Sequence[tuple[str, str]], wanted: set[str]) -> dict[str, Mapping[str, Any]]:
    """Return the rules that are wanted, by id; what is no rule is not in force."""
    found: dict[str, Mapping[str, Any]] = {}
    for rule_id, body in stored:
        with suppress(orjson.JSONDecodeError):
            rule = orjson.loads(body) if rule_id in wanted else None
            if isinstance(rule, dict):
                found[rule_id] = rule
    return found


def _number(rule: Mapping[str, Any] | None, name: str) -> float:
    value = (rule or {}).get(name, 0)
    return value if isinstance(value, int | float) else 0


def _keys(source: Source, now_ms: int) -> dict[str, list[Key]]:
    found: dict[str, list[Key]] = {}
    for labels, ticks, failures in _rows(source.select(Selector(_FAILURES, (), now_ms - _READ_MS, now_ms))):
        found.setdefault(labels.get("rule", ""), []).append(Key(labels.get("bucket", ""), ticks, failures))
    return found


def _said(source: Source, now_ms: int) -> dict[tuple[Signature, str], int]:
    found = {}
    for labels, times, _ in _rows(source.select(Selector(_RECORDED, (), now_ms - _READ_MS, now_ms))):
        found[_alert_of(labels), labels.get(_STATE, "")] = int(times[-1])
    return found


def _rows(held: Columns) -> list[tuple[Labels, Int64s, Floats]]:
    """Return each series that has numbers, without its staleness markers."""
    bounds, found = held.offsets.tolist(), []
    for place, labels in enumerate(held.labels):
        mine = slice(bounds[place], bounds[place + 1])
        numbers = np.isfinite(held.values[mine])
        if numbers.any():
            found.append((labels, held.timestamps[mine][numbers], held.values[mine][numbers]))
    return found


def _recorded(store: Store, tenant: str, alerts: Sequence[Alert], now_ms: int) -> set[Signature]:
    """Return which alerts have been recorded in their state since it was entered, as exactly as series are known."""
    wanted: dict[tuple[str, str, int], int] = {}
    for one in alerts:
        # The store knows by the hour when a series was last seen.
        group = _named(one), one.state, one.evaluated_ms // _HOUR_MS
        wanted[group] = min(one.evaluated_ms, wanted.get(group, one.evaluated_ms))
    known: set[Signature] = set()
    for (name, state, _), since_ms in wanted.items():
        select = Select(_RECORDED, (("alertname", "=", name), (_STATE, "=", state)))
        known |= {_alert_of(one) for one in store.label_sets(tenant, select, since_ms, now_ms, _MOST)}
    return known


def _alert_of(labels: Labels) -> Signature:
    return signature({name: value for name, value in labels.items() if name not in (NAME, _STATE)})


def _named(one: Alert) -> str:
    return one.labels.get("alertname", "")


def _bucket(one: Alert) -> str:
    """Return of which key of its rule an alert tells, nothing for the rule's own."""
    about = _named(one) in TROUBLES and one.labels.get("rule") == one.rule_id
    return one.labels.get("bucket", "") if about else ""
