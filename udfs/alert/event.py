"""A transition as the record that goes to alert.events, and back."""

from collections.abc import Iterable
from typing import NamedTuple

import orjson

from schemas.codec import codec
from udfs.alert.bound import annotations, fits, late_samples
from udfs.alert.lifecycle import Labels, LateSample, Transition
from udfs.alert.match import Address
from udfs.alert.origin import result_of
from udfs.alert.rule import Rule
from udfs.alert.template import expand

_AS_THEY_ARE = (
    *("state", "value", "active_at", "evaluated_at", "key", "seq", "starts_at", "ends_at", "resend"),
    *("concerns", "late_more", "demotions"),
)


class Event(NamedTuple):
    """Kafka key (rule and labels) and value (AlertEvent in single-object encoding), and its event time in ms."""

    key: bytes
    value: bytes
    evaluated_at: int


def events(
    transitions: Iterable[Transition],
    rule: Rule | None,
    address: Address,
    revision: str,
    emitted_at: int,
    notes: tuple[tuple[str, str], ...] = (),
) -> list[Event]:
    """Return the events of transitions in their order.

    rule is None when it has been deleted: the event then carries the last revision and no annotations. emitted_at: the
    job's wall clock in ms. notes: further annotations, as they are. What would make an event too large is cut
    (udfs/alert/bound.py), but for its labels: with too long ones there is no event.
    """
    made = []
    for one in transitions:
        if not fits(one.labels):
            continue
        labels = dict(one.labels)
        late = late_samples(one.late)
        record = {
            "tenant": address.tenant,
            "rule_id": address.rule_id,
            "revision": revision,
            "alert": labels.get("alertname", ""),
            "state": one.state,
            "labels": labels,
            "annotations": annotations({**_expanded(rule, one), **dict(notes)}),
            "value": one.value,
            "active_at": one.active_at,
            "evaluated_at": one.evaluated_at,
            "emitted_at": emitted_at,
            "key": one.key,
            "seq": one.seq,
            "starts_at": one.starts_at,
            "ends_at": one.ends_at,
            "resend": one.resend,
            "concerns": one.concerns,
            "late": [{**sample._asdict(), "labels": dict(sample.labels)} for sample in late],
            "late_more": one.late_more + len(one.late) - len(late),
            "address": str(address),
            "demotions": one.demotions,
        }
        key = orjson.dumps([address.tenant, address.rule_id, labels], option=orjson.OPT_SORT_KEYS)
        made.append(Event(key, codec("alert_event").encode(record), one.evaluated_at))
    return made


def read(record: bytes) -> tuple[str, Transition]:
    """Return (address, transition) of an event, the address empty if it does not tell; raises CodecError."""
    told = codec("alert_event").decode(record)
    fields = {name: told[name] for name in _AS_THEY_ARE}
    late = tuple(LateSample(**{**one, "labels": _pairs(one["labels"])}) for one in told["late"])
    return told["address"], Transition(**fields, labels=_pairs(told["labels"]), late=late)


def _pairs(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _expanded(rule: Rule | None, one: Transition) -> dict[str, str]:
    if rule is None or not rule.annotations:
        return {}
    labels = result_of(one.labels, one.origin)
    return {name: expand(text, labels, one.value) for name, text in rule.annotations}
