"""An alert rule as the job knows it, and its JSON form on control.rules.

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
    "alert": (str,),
    "expr": (str,),
    "for_s": (int, float),
    "keep_firing_for_s": (int, float),
    "labels": (dict,),
    "annotations": (dict,),
    "revision": (str,),
}
_OPTIONAL = {"file": "", "keep_firing_for_s": 0, "labels": {}, "annotations": {}, "revision": ""}


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
    """One alerting rule. Durations are seconds; labels and annotations are sorted (name, value) pairs.

    rule_id is group/alert; the second rule of a group with the same alert name is group/alert#2, and so on.
    file names where the rule came from, so that applying the file again can delete what it no longer holds.
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

    @cached_property
    def revision(self) -> str:
        """Hash of everything that can change a decision or what people read of it; 16 hex digits."""
        text = orjson.dumps(
            {
                "alert": self.alert,
                "annotations": self.annotations,
                "expr": self.expr,
                "for_s": float(self.for_s),
                "interval_s": float(self.interval_s),
                "keep_firing_for_s": float(self.keep_firing_for_s),
                "labels": self.labels,
            },
            option=orjson.OPT_SORT_KEYS,
        )
        return xxhash.xxh3_64_hexdigest(text)

    def encode(self) -> bytes:
        """Return the JSON value for control.rules."""
        return orjson.dumps(
            {
                "tenant": self.tenant,
                "rule_id": self.rule_id,
                "file": self.file,
                "group": self.group,
                "interval_s": self.interval_s,
                "alert": self.alert,
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
    if fields["for_s"] < 0 or fields["keep_firing_for_s"] < 0:
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
