"""The rules in force, as the control topic has told them so far."""

from collections.abc import Iterator

from udfs.alert.chain import Linked, relink
from udfs.alert.expression import Expression, check_expression
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.template import check_template

Group = tuple[str, str, str]


class Book:
    """Rules by their key on control.rules, `tenant/rule_id`. generation rises with every change."""

    def __init__(self) -> None:
        self._rules: dict[str, tuple[Rule, Expression]] = {}
        self._linked: dict[str, Linked] = {}
        self.generation = 0

    def put(self, key: str, value: bytes | None) -> None:
        """Take one record of control.rules; None deletes. Raises RuleFault and keeps what was in force before."""
        if value is None:
            gone = self._rules.pop(key, None)
            if gone is not None:
                del self._linked[key]
                self._linked.update(self._relinked(_group(gone[0]), None))
                self.generation += 1
            return
        rule = Rule.decode(value)
        if rule.key != key:
            raise RuleFault(
                "TG-rule-key", f"the record's key is {key!r}, its rule says {rule.key!r}", rule=rule.rule_id
            )
        expression = check_expression(rule.expr)
        # Labels of a recording rule are no templates.
        for _, text in rule.labels + rule.annotations if rule.alert else ():
            check_template(text)
        self._refuse_loop(rule, expression)
        linked = self._relinked(_group(rule), (rule, expression))
        before = self._rules.get(key)
        self._rules[key] = rule, expression
        self._linked.update(linked)
        if before is not None and _group(before[0]) != _group(rule):
            self._linked.update(self._relinked(_group(before[0]), None))
        self.generation += 1

    def get(self, key: str) -> tuple[Rule, Linked] | None:
        """Return the rule and its expression, None if there is none of that key."""
        entry = self._rules.get(key)
        return None if entry is None else (entry[0], self._linked[key])

    def of(self, tenant: str) -> Iterator[tuple[Rule, Linked]]:
        """Yield the tenant's rules."""
        return ((rule, self._linked[key]) for key, (rule, _) in self._rules.items() if rule.tenant == tenant)

    def all(self) -> Iterator[tuple[Rule, Linked]]:
        """Yield the rules of all tenants."""
        return ((rule, self._linked[key]) for key, (rule, _) in self._rules.items())

    def __len__(self) -> int:
        return len(self._rules)

    def _relinked(self, group: Group, changed: tuple[Rule, Expression] | None) -> dict[str, Linked]:
        key = changed[0].key if changed else ""
        members = [entry for name, entry in self._rules.items() if name != key and _group(entry[0]) == group]
        return relink([*members, *([changed] if changed else [])])

    def _refuse_loop(self, rule: Rule, expression: Expression) -> None:
        """Raise RuleFault if a recording rule reads, itself or by way of others, the series that it records."""
        if not rule.record:
            return
        made: dict[str, list[tuple[Rule, Expression]]] = {}
        for key, entry in self._rules.items():
            if key != rule.key and entry[0].tenant == rule.tenant and entry[0].record:
                made.setdefault(entry[0].record, []).append(entry)
        seen: set[str] = set()
        waiting = [one.metric for one in expression.selectors if one.metric]
        while waiting:
            name = waiting.pop()
            if name == rule.record:
                reason = f"{rule.record} is made of {rule.record}, by way of the rules that record what it reads"
                raise RuleFault("TG-rule-loop", reason, group=rule.group, rule=rule.name)
            if name not in seen:
                seen.add(name)
                waiting += [one.metric for _, read in made.get(name, ()) for one in read.selectors if one.metric]


def _group(rule: Rule) -> Group:
    return rule.tenant, rule.file, rule.group
