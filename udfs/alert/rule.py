"""A rule, alerting or recording, as the job knows it, and its JSON form on control.rules.

Key `tenant/rule_id`, value JSON; a null value deletes the rule. The words are Prometheus's (rulefmt.Rule).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import xxhash

MAX_JSON_BYTES = 64 << 10
# Prometheus leaves the interval to its global evaluation_interval; on a stream an evaluation costs little.
DEFAULT_INTERVAL_S = 15

_FIELDS: dict[str, tuple[type, ...]] = {
    "tenant": (str,),
    "rule_id": (str,),
    "file": (str,),
    "group": (str,),
    "interval_s": (int, float),
    "position": (int,),
    "limit": (int,),
    "query_offset_s": (int, float),
    "alert": (str,),
    "record": (str,),
    "expr": (str,),
    "for_s": (int, float),
    "keep_firing_for_s": (int, float),
    "labels": (dict,),
    "annotations": (dict,),
    "revision": (str,),
}
_OPTIONAL = {
    "file": "",
    "position": 0,
    "limit": 0,
    "query_offset_s": 0,
    "alert": "",
    "record": "",
    "for_s": 0,
    "keep_firing_for_s": 0,
    "labels": {},
    "annotations": {},
    "revision": "",
}


class RuleFault(ValueError):
    """A rule that is refused: stable id TG-rule-..., reason, and where known the line, group and rule."""

    def __init__(self, fault_id: str, reason: str, line: int = 0, group: str = "", rule: str = "") -> None:
        self.id, self.reason, self.line, self.group, self.rule = fault_id, reason, line, group, rule
        place = [f"line {line}"] if line else []
        place += [f"group {group!r}"] if group else []
        place += [f"rule {rule!r}"] if rule else []
        super().__init__(f"{', '.join(place) or 'rule'}: {fault_id}: {reason}")


@dataclass(frozen=True)
class Rule:
    """One rule: alert or record is its name, the other is "". Durations are seconds; labels, annotations: sorted pairs.

    rule_id is group/name; the second rule of a group with the same name is group/name#2, and so on.
    file names where the rule came from, so that applying the file again can delete what it no longer holds.
    position: place in its group, from 0; rules of a group are evaluated in this order. limit: most alerts or series of
    one evaluation, 0 for no limit. query_offset_s: the expression is evaluated so long before the tick.
    """

    tenant: str
    rule_id: str
    group: str
    alert: str
    expr: str
    interval_s: float = DEFAULT_INTERVAL_S
    for_s: float = 0
    keep_firing_for_s: float = 0
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    file: str = ""
    record: str = ""
    position: int = 0
    limit: int = 0
    query_offset_s: float = 0

    @property
    def name(self) -> str:
        """The alert's name, or that of the recorded series."""
        return self.alert or self.record

    @property
    def key(self) -> str:
        """Key on control.rules."""
        return f"{self.tenant}/{self.rule_id}"

    @property
    def interval_ms(self) -> int:
        """Milliseconds between two evaluations."""
        return max(1, round(self.interval_s * 1000))

    @property
    def for_ms(self) -> int:
        """Milliseconds that the condition must hold before the alert fires."""
        return round(self.for_s * 1000)

    @property
    def keep_firing_for_ms(self) -> int:
        """Milliseconds that a firing alert goes on firing after the condition has cleared."""
        return round(self.keep_firing_for_s * 1000)

    @property
    def query_offset_ms(self) -> int:
        """Milliseconds by which the expression is evaluated before the tick."""
        return round(self.query_offset_s * 1000)

    @cached_property
    def revision(self) -> str:
        """Hash of everything that can change a decision or what people read of it; 16 hex digits."""
        said: dict[str, object] = {
            "alert": self.alert,
            "annotations": self.annotations,
            "expr": self.expr,
            "for_s": float(self.for_s),
            "interval_s": float(self.interval_s),
            "keep_firing_for_s": float(self.keep_firing_for_s),
            "labels": self.labels,
        }
        # Only where set: rules without them keep the revision that they had before there were these fields.
        more = {"record": self.record, "limit": self.limit, "query_offset_s": float(self.query_offset_s)}
        said.update({name: value for name, value in more.items() if value})
        return xxhash.xxh3_64_hexdigest(orjson.dumps(said, option=orjson.OPT_SORT_KEYS))

    def encode(self) -> bytes:
        """Return the JSON value for control.rules."""
        return orjson.dumps(
            {
                "tenant": self.tenant,
                "rule_id": self.rule_id,
                "file": self.file,
                "group": self.group,
                "interval_s": self.interval_s,
                "position": self.position,
                "limit": self.limit,
                "query_offset_s": self.query_offset_s,
                "alert": self.alert,
                "record": self.record,
                "expr": self.expr,
                "for_s": self.for_s,
                "keep_firing_for_s": self.keep_firing_for_s,
                "labels": dict(self.labels),
                "annotations": dict(self.annotations),
                "revision": self.revision,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "Rule":
        """Return the rule of a JSON value; raises RuleFault. The expression is not looked at here."""
        if len(data) > MAX_JSON_BYTES:
            raise RuleFault("TG-rule-size", f"{len(data)} bytes; a rule has at most {MAX_JSON_BYTES}")
        try:
            record = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise RuleFault("TG-rule-json", f"not JSON: {error}") from error
        fields = _checked(record)
        fields.pop("revision")
        return cls(**fields)


def _checked(record: object) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise RuleFault("TG-rule-json", f"expected a JSON object, got {type(record).__name__}")
    name = str(record.get("rule_id", ""))
    unknown = sorted(set(record) - set(_FIELDS))
    if unknown:
        raise RuleFault("TG-rule-field", f"unknown field {unknown[0]!r}", rule=name)
    fields: dict[str, Any] = {**_OPTIONAL, **record}
    for field, types in _FIELDS.items():
        if field not in fields:
            raise RuleFault("TG-rule-missing", f"field {field!r} is missing", rule=name)
        value = fields[field]
        if not isinstance(value, types) or isinstance(value, bool):
            raise RuleFault("TG-rule-type", f"field {field!r} is a {type(value).__name__}", rule=name)
    if not 1 <= fields["interval_s"] <= 86_400:
        raise RuleFault("TG-rule-duration", f"interval of {fields['interval_s']} s is not in 1 s … 1 d", rule=name)
    if bool(fields["alert"]) == bool(fields["record"]):
        raise RuleFault("TG-rule-missing", "exactly one of 'alert' and 'record' must be set", rule=name)
    if min(fields["for_s"], fields["keep_firing_for_s"], fields["query_offset_s"]) < 0:
        raise RuleFault("TG-rule-duration", "a duration is negative", rule=name)
    for field in ("labels", "annotations"):
        fields[field] = pairs(fields[field], field, name)
    return fields


def pairs(mapping: Mapping[str, object], field: str, rule: str) -> tuple[tuple[str, str], ...]:
    """Return a mapping of strings as sorted pairs; raises RuleFault if a value is none."""
    for key, value in mapping.items():
        if not isinstance(value, str):
            raise RuleFault("TG-rule-type", f"{field}.{key} is a {type(value).__name__}, not a string", rule=rule)
    return tuple(sorted((key, str(value)) for key, value in mapping.items()))
