"""Prometheus rule files, read as `promtool check rules` reads them: strictly, each fault with line, group and rule.

Format: prometheus.io/docs/prometheus/latest/configuration/recording_rules (rulefmt.RuleGroups of Prometheus 3.5), names
in UTF-8. What Prometheus takes but a stream cannot evaluate is a fault too, unless the file is only to be tested.
"""

from dataclasses import dataclass, field, replace
from functools import partial

import yaml

from udfs.alert.book import refuse
from udfs.alert.document import Document, is_null
from udfs.alert.expression import check_expression, parse_expression
from udfs.alert.rule import DEFAULT_INTERVAL_S, Rule, RuleFault
from udfs.alert.template import check_template, missing
from udfs.duration import parse_duration

__all__ = ["Group", "RuleFile", "parse_duration", "parse_file", "parse_rules"]

MAX_RULES = 20_000
# Go's int.
MAX_LIMIT = (1 << 63) - 1
_GROUP_KEYS = {"name", "interval", "rules", "labels", "limit", "query_offset"}
_RULE_KEYS = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}
# Alerts only: of a series nothing is awaited and nothing is told.
_ALERT_KEYS = ("for", "keep_firing_for", "annotations")
_RESERVED = "__name__"
Texts = dict[str, tuple[str, yaml.Node]]


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated in their order, every interval_s seconds, at the same times."""

    name: str
    interval_s: float
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What stands in a file. A rule with a fault is left out; with a warning it is not."""

    groups: tuple[Group, ...]
    faults: list[RuleFault]
    warnings: list[RuleFault]

    @property
    def rules(self) -> list[Rule]:
        """The rules of all groups, in their order."""
        return [rule for group in self.groups for rule in group.rules]


def parse_rules(text: str, tenant: str, file: str = "") -> tuple[list[Rule], list[RuleFault]]:
    """Return the rules of a file for the stream, and everything that is wrong with it."""
    read = parse_file(text, tenant, file, stream=True)
    return read.rules, read.faults


def parse_file(
    text: str, tenant: str, file: str = "", *, interval_s: float = DEFAULT_INTERVAL_S, stream: bool = False
) -> RuleFile:
    """Return what stands in a rule file. interval_s: of groups that name none. stream: refuse what a stream cannot."""
    reader = _Reader(text, tenant, file, interval_s, stream)
    reader.document.attempt(reader.groups)
    if stream and not reader.document.faults:
        reader.document.attempt(reader.together)
    return RuleFile(tuple(reader.read), reader.document.faults, reader.warnings)


@dataclass(slots=True)
class _Shared:
    """What the rules of one group have in common; seen: how often each name has stood here, and which rules have."""

    interval_s: float
    limit: int
    query_offset_s: float
    labels: dict[str, str]
    alerts: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    seen: set[object] = field(default_factory=set)
    rules: list[Rule] = field(default_factory=list)


class _Reader:
    """Walks the document and collects groups, faults and warnings."""

    def __init__(self, text: str, tenant: str, file: str, interval_s: float, stream: bool) -> None:
        self.document = Document(text)
        self.tenant, self.file, self.interval_s, self.stream = tenant, file, interval_s, stream
        self.read: list[Group] = []
        self.warnings: list[RuleFault] = []
        self._names: set[str] = set()
        self._results: dict[object, str] = {}
        self._ids: dict[str, str] = {}
        self._count = 0

    def groups(self) -> None:
        """Read the whole file."""
        document = self.document
        if document.root is None:
            return
        fields = document.mapping(document.root, {"groups"}, "the file")
        for node in document.sequence(fields, "groups"):
            document.group = document.rule = ""
            document.attempt(partial(self._group, node))

    def _group(self, node: yaml.Node) -> None:
        document = self.document
        if isinstance(node, yaml.MappingNode):
            document.group = next((str(v.value) for k, v in node.value if k.value == "name" and _scalar(v)), "")
        fields = document.mapping(node, _GROUP_KEYS, "a group")
        name = document.text(fields, "name")
        if not name:
            document.note("TG-rule-missing", "'name' is missing or empty", fields.get("name", node))
        elif name in self._names:
            document.note("TG-rule-duplicate", "a group of this name stands in the file already", node)
        self._names.add(name)
        interval = document.duration(fields, "interval") or self.interval_s
        if self.stream and not 1 <= interval <= 86_400:
            reason = f"interval of {interval} s is not in 1 s … 1 d"
            document.note("TG-rule-duration", reason, fields["interval"])
            interval = DEFAULT_INTERVAL_S
        limit, offset = max(0, document.integer(fields, "limit")), document.duration(fields, "query_offset") or 0
        if limit > MAX_LIMIT:
            document.note("TG-rule-type", f"limit must be at most {MAX_LIMIT}, not {limit}", fields["limit"])
            limit = 0
        labels = self._labels(fields)
        shared = _Shared(interval, limit, offset, _texts(labels))
        for one in document.sequence(fields, "rules"):
            document.rule = ""
            document.attempt(partial(self._rule, one, shared))
        document.rule = ""
        # Those of a recording rule are no templates.
        self._templates("label", labels if shared.alerts else {})
        self.read.append(Group(name, interval, tuple(shared.rules)))

    def _rule(self, node: yaml.Node, shared: _Shared) -> None:
        document, before = self.document, len(self.document.faults)
        self._count += 1
        if self._count > MAX_RULES:
            raise document.fault("TG-rule-size", f"the file has more than {MAX_RULES} rules", node)
        document.rule = _name(node)
        fields = document.mapping(node, _RULE_KEYS, "a rule")
        alert, record = document.text(fields, "alert"), document.text(fields, "record")
        if bool(alert) == bool(record):
            what = "only one of 'record' and 'alert' must be set" if alert else "one of 'record' or 'alert' must be set"
            document.note("TG-rule-missing", what, fields.get("record", node))
        if record:
            self._record(record, fields)
        expr = self._expr(fields, node)
        own = self._labels(fields)
        self._templates("label", own if alert else {})
        shared.alerts |= bool(alert)
        labels = {**shared.labels, **_texts(own)}
        annotations = self._annotations(fields)
        rule = Rule(
            tenant=self.tenant,
            rule_id="",
            group=document.group,
            alert=alert,
            expr=expr,
            interval_s=shared.interval_s,
            for_s=document.duration(fields, "for") or 0,
            keep_firing_for_s=document.duration(fields, "keep_firing_for") or 0,
            labels=tuple(sorted(labels.items())),
            annotations=tuple(sorted(annotations.items())),
            file=self.file,
            record=record,
            position=len(shared.rules),
            limit=shared.limit,
            query_offset_s=shared.query_offset_s,
        )
        self._duplicates(rule, shared, node)
        if len(document.faults) == before:
            number = shared.counts[rule.name] = shared.counts.get(rule.name, 0) + 1
            rule_id = f"{rule.group}/{rule.name}" + (f"#{number}" if number > 1 else "")
            self._take(replace(rule, rule_id=rule_id), shared, node)

    def _take(self, rule: Rule, shared: _Shared, node: yaml.Node) -> None:
        """Take a rule whose id no other has; on the stream only if its record can be read."""
        document, place = self.document, f"line {node.start_mark.line + 1}, group {rule.group!r}, rule {rule.name!r}"
        held = self._ids.setdefault(rule.rule_id, place)
        if held is not place:
            reason = f"its id {rule.rule_id!r} is that of {held} already; rename the rule or its group"
            document.note("TG-rule-duplicate", reason, node)
        elif not self.stream or document.guarded(node, lambda: Rule.decode(rule.encode())):
            shared.rules.append(rule)

    def together(self) -> None:
        """Refuse rules that are right one by one and not in force together."""
        self.document.group = self.document.rule = ""
        refuse({rule.key: rule.encode() for group in self.read for rule in group.rules}, {})

    def _record(self, record: str, fields: dict[str, yaml.Node]) -> None:
        for key in _ALERT_KEYS:
            if key in fields and self._given(key, fields):
                self.document.note("TG-rule-field", f"invalid field {key!r} in a recording rule", fields[key])
        if "{" in record or "}" in record:
            reason = f"{record!r} cannot be a metric's name: it has braces, as an expression has"
            self.document.note("TG-rule-name", reason, fields["record"])

    def _given(self, key: str, fields: dict[str, yaml.Node]) -> bool:
        """Tell whether a field says anything, as it may not in a recording rule."""
        if key != "annotations":
            return self.document.text(fields, key) not in ("", "0", "0s")
        return not is_null(fields[key]) and bool(fields[key].value or not isinstance(fields[key], yaml.MappingNode))

    def _expr(self, fields: dict[str, yaml.Node], node: yaml.Node) -> str:
        expr = self.document.text(fields, "expr").strip()
        if not expr:
            self.document.note("TG-rule-missing", "'expr' is missing or empty", fields.get("expr", node))
        else:
            check = check_expression if self.stream else parse_expression
            self.document.guarded(fields["expr"], partial(check, expr))
        return expr

    def _labels(self, fields: dict[str, yaml.Node]) -> Texts:
        found = self.document.strings(fields, "labels")
        for name, (_, node) in found.items():
            if name in ("", _RESERVED):
                self.document.note("TG-rule-label", f"{name!r} cannot be a name in labels", node)
        return found

    def _annotations(self, fields: dict[str, yaml.Node]) -> dict[str, str]:
        found = self.document.strings(fields, "annotations")
        for name, (_, node) in found.items():
            if not name:
                self.document.note("TG-rule-label", f"{name!r} cannot be a name in annotations", node)
        self._templates("annotation", found)
        return _texts(found)

    def _templates(self, what: str, found: Texts) -> None:
        for name, (text, node) in found.items():
            prefix = f"{what} {name!r}: "
            lacks = missing(text) if self.stream else ""
            if lacks:
                self.document.note("TG-rule-unsupported", f"{prefix}the stream has no {lacks} for templates", node)
            self.document.guarded(node, partial(check_template, text), prefix)

    def _duplicates(self, rule: Rule, shared: _Shared, node: yaml.Node) -> None:
        """Refuse a rule that stands in the group twice; warn where two rules may give the same series or alerts."""
        result = (rule.alert, rule.record, rule.labels)
        if (result, rule.expr) in shared.seen:
            what = "alert" if rule.alert else "record"
            reason = f"the same {what}, expr and labels stand in the group already"
            self.document.note("TG-rule-duplicate", reason, node)
        elif result in self._results:
            reason = f"a rule of the same name and labels stands in group {self._results[result]!r}: both may give"
            reason += " the same alerts" if rule.alert else " the same series"
            self.warnings.append(self.document.fault("TG-rule-ambiguous", reason, node))
        shared.seen.add((result, rule.expr))
        self._results.setdefault(result, rule.group)


def _texts(found: Texts) -> dict[str, str]:
    return {name: text for name, (text, _) in found.items()}


def _scalar(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)


def _name(node: yaml.Node) -> str:
    """Return the rule's name before anything of it is checked, so that every fault can say it."""
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    return next((str(value.value) for key, value in entries if key.value in ("alert", "record") and _scalar(value)), "")
