"""The rules in force, as the control topic has told them so far."""

from collections.abc import Iterator

from udfs.alert.expression import Expression, check_expression
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.template import check_template


class Book:
    """Rules by their key on control.rules, `tenant/rule_id`. generation rises with every change."""

    def __init__(self) -> None:
        self._rules: dict[str, tuple[Rule, Expression]] = {}
        self.generation = 0

    def put(self, key: str, value: bytes | None) -> None:
        """Take one record of control.rules; None deletes. Raises RuleFault and keeps what was in force before."""
        if value is None:
            if self._rules.pop(key, None) is not None:
                self.generation += 1
            return
        rule = Rule.decode(value)
        if rule.key != key:
            raise RuleFault(
                "TG-rule-key", f"the record's key is {key!r}, its rule says {rule.key!r}", rule=rule.rule_id
            )
        expression = check_expression(rule.expr)
        for _, text in rule.labels + rule.annotations:
            check_template(text)
        self._rules[key] = rule, expression
        self.generation += 1

    def get(self, key: str) -> tuple[Rule, Expression] | None:
        """Return the rule and its expression, None if there is none of that key."""
        return self._rules.get(key)

    def of(self, tenant: str) -> Iterator[tuple[Rule, Expression]]:
        """Yield the tenant's rules."""
        return (entry for entry in self._rules.values() if entry[0].tenant == tenant)

    def __len__(self) -> int:
        return len(self._rules)
