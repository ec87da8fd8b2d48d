"""Prometheus rule files, read strictly: an unknown key fails, and every fault carries line, group and rule.

Format: prometheus.io/docs/prometheus/latest/configuration/recording_rules (rulefmt.RuleGroups). `record` rules, `limit`
and `query_offset` are refused by name: a rule that silently did nothing would be worse.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import yaml

from udfs.alert.expression import check_expression
from udfs.alert.rule import DEFAULT_INTERVAL_S, Rule, RuleFault
from udfs.alert.template import check_template

MAX_FILE_BYTES = 4 << 20
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
# prometheus/common model.ParseDuration: units in this order, each at most once.
_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?\Z")
_UNIT_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
_GROUP_KEYS = {"name", "interval", "rules", "labels", "limit", "query_offset", "partial_response_strategy"}
_RULE_KEYS = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}


def parse_duration(text: str) -> float:
    """Return the seconds of a Prometheus duration such as 5m, 1h30m or 0; raises ValueError."""
    if text == "0":
        return 0
    found = _DURATION.match(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is no duration; expected such as 30s, 5m or 1h30m")
    milliseconds = sum(int(number) * unit for number, unit in zip(found.groups(), _UNIT_MS, strict=True) if number)
    return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000


def parse_rules(text: str, tenant: str, file: str = "") -> tuple[list[Rule], list[RuleFault]]:
    """Return the rules of a file and everything that is wrong with it; a rule with a fault is not returned."""
    reader = _Reader(tenant, file)
    try:
        if len(text.encode()) > MAX_FILE_BYTES:
            raise RuleFault("TG-rule-size", f"the file is larger than {MAX_FILE_BYTES} bytes")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            reader.document(root)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        reader.faults.append(RuleFault("TG-rule-yaml", f"{error.problem or error.context}", line))
    except yaml.YAMLError as error:
        reader.faults.append(RuleFault("TG-rule-yaml", str(error)))
    except RuleFault as fault:
        reader.faults.append(fault)
    return reader.rules, reader.faults


class _Reader:
    """Walks the YAML nodes, which know their lines, and collects rules and faults."""

    def __init__(self, tenant: str, file: str) -> None:
        self.tenant, self.file = tenant, file
        self.rules: list[Rule] = []
        self.faults: list[RuleFault] = []
        self._group = ""
        self._rule = ""

    def fault(self, fault_id: str, reason: str, node: yaml.Node) -> RuleFault:
        return RuleFault(fault_id, reason, node.start_mark.line + 1, self._group, self._rule)

    def attempt(self, read: Callable[[], None]) -> None:
        """Run one group or rule; its fault is kept and the next one is read."""
        try:
            read()
        except RuleFault as fault:
            self.faults.append(fault)

    def document(self, root: yaml.Node) -> None:
        fields = self.mapping(root, {"groups"}, "the file")
        groups = self.sequence(fields["groups"], "groups") if "groups" in fields else []
        seen: set[str] = set()
        for node in groups:
            self._group = self._rule = ""
            self.attempt(partial(self.group, node, seen))

    def group(self, node: yaml.Node, seen: set[str]) -> None:
        fields = self.mapping(node, _GROUP_KEYS, "a group")
        name = self.required(fields, "name", node)
        self._group = name
        if name in seen:
            raise self.fault("TG-rule-duplicate", "a group of this name stands in the file already", node)
        seen.add(name)
        for key in ("limit", "query_offset", "partial_response_strategy"):
            if key in fields and self.text(fields[key], key) not in ("0", "0s"):
                raise self.fault("TG-rule-unsupported", f"group key {key!r} is not supported", fields[key])
        interval = self.duration(fields, "interval", DEFAULT_INTERVAL_S)
        if not 1 <= interval <= 86_400:
            raise self.fault("TG-rule-duration", f"interval of {interval} s is not in 1 s … 1 d", fields["interval"])
        labels = self.strings(fields, "labels")
        counts: dict[str, int] = {}
        same: set[Any] = set()
        for rule in self.sequence(fields["rules"], "rules") if "rules" in fields else []:
            self._rule = ""
            self.attempt(partial(self.rule, rule, interval, labels, counts, same))

    def rule(
        self, node: yaml.Node, interval: float, shared: dict[str, str], counts: dict[str, int], same: set[Any]
    ) -> None:
        self._rule = _alert_name(node)
        fields = self.mapping(node, _RULE_KEYS, "a rule")
        if "record" in fields:
            self._rule = self.text(fields["record"], "record")
            raise self.fault("TG-rule-unsupported", "recording rules (record) are not supported yet", fields["record"])
        alert = self.required(fields, "alert", node)
        expr = self.required(fields, "expr", node)
        self.guarded(fields["expr"], partial(check_expression, expr))
        labels = {**shared, **self.strings(fields, "labels")}
        annotations = self.strings(fields, "annotations")
        for key, texts in (("labels", labels), ("annotations", annotations)):
            for name, value in texts.items():
                self.label_name(name, key, fields.get(key, node))
                self.guarded(fields.get(key, node), partial(check_template, value))
        identity = (alert, expr, tuple(sorted(labels.items())))
        if identity in same:
            raise self.fault("TG-rule-duplicate", "the same alert, expr and labels stand in the group already", node)
        same.add(identity)
        number = counts[alert] = counts.get(alert, 0) + 1
        self.rules.append(
            Rule(
                tenant=self.tenant,
                rule_id=f"{self._group}/{alert}" + (f"#{number}" if number > 1 else ""),
                group=self._group,
                alert=alert,
                expr=expr,
                interval_s=interval,
                for_s=self.duration(fields, "for", 0),
                keep_firing_for_s=self.duration(fields, "keep_firing_for", 0),
                labels=tuple(sorted(labels.items())),
                annotations=tuple(sorted(annotations.items())),
                file=self.file,
            )
        )

    def guarded(self, node: yaml.Node, check: Callable[[], object]) -> None:
        try:
            check()
        except RuleFault as fault:
            raise self.fault(fault.id, fault.reason, node) from fault

    def label_name(self, name: str, key: str, node: yaml.Node) -> None:
        if not _LABEL.match(name) or (key == "labels" and name in ("__name__", "alertname")):
            raise self.fault("TG-rule-label", f"{name!r} cannot be a name in {key}", node)

    def mapping(self, node: yaml.Node, known: set[str] | None, what: str) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self.fault("TG-rule-type", f"{what} must be a mapping", node)
        fields: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self.text(key, "a key")
            if known is not None and name not in known:
                raise self.fault("TG-rule-field", f"unknown key {name!r}; {what} has {', '.join(sorted(known))}", key)
            if name in fields:
                raise self.fault("TG-rule-duplicate", f"key {name!r} is given twice", key)
            fields[name] = value
        return fields

    def sequence(self, node: yaml.Node, what: str) -> Iterator[yaml.Node]:
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
            return iter(())
        if not isinstance(node, yaml.SequenceNode):
            raise self.fault("TG-rule-type", f"{what} must be a list", node)
        return iter(node.value)

    def text(self, node: yaml.Node, what: str) -> str:
        # As in Prometheus, a number or a boolean where a string is due is taken by its spelling.
        if not isinstance(node, yaml.ScalarNode):
            raise self.fault("TG-rule-type", f"{what} must be a string", node)
        return str(node.value)

    def required(self, fields: dict[str, yaml.Node], key: str, node: yaml.Node) -> str:
        text = self.text(fields[key], key).strip() if key in fields else ""
        if not text:
            raise self.fault("TG-rule-missing", f"{key!r} is missing or empty", fields.get(key, node))
        return text

    def strings(self, fields: dict[str, yaml.Node], key: str) -> dict[str, str]:
        if key not in fields or fields[key].tag.endswith(":null"):
            return {}
        return {name: self.text(value, name) for name, value in self.mapping(fields[key], None, key).items()}

    def duration(self, fields: dict[str, yaml.Node], key: str, default: float) -> float:
        if key not in fields:
            return default
        try:
            return parse_duration(self.text(fields[key], key))
        except ValueError as error:
            raise self.fault("TG-rule-duration", f"{key}: {error}", fields[key]) from error


def _alert_name(node: yaml.Node) -> str:
    """Return the rule's name before anything of it is checked, so that every fault can say it."""
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    return next((str(value.value) for key, value in entries if key.value == "alert"), "")
