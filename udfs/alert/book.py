"""The rules in force, as the control topic has told them so far."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from udfs.alert.chain import Linked, link, relink
from udfs.alert.expression import Expression, check_expression
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.template import check_template

Group = tuple[str, str, str]
Entry = tuple[Rule, Expression]


class Book:
    """Rules by their key on control.rules, `tenant/rule_id`. generation rises with every change."""

    def __init__(self) -> None:
        self._rules: dict[str, Entry] = {}
        self._groups: dict[Group, dict[str, Entry]] = {}
        # By group: how many rules read a name, and how many record it.
        self._reads: dict[Group, Counter[str]] = {}
        self._records: dict[Group, Counter[str]] = {}
        # By tenant and name of the series: the rules that record it.
        self._recording: dict[tuple[str, str], dict[str, Entry]] = {}
        self._linked: dict[str, Linked] = {}
        self.generation = 0
        # By tenant and metric, "" for any: place in the book and key of the rules that read it; of which generation.
        self._index: dict[tuple[str, str], dict[int, str]] = {}
        self._indexed = 0

    def put(self, key: str, value: bytes | None) -> None:
        """Take one record of control.rules; None deletes. Raises RuleFault and keeps what was in force before."""
        if value is None:
            gone = self._rules.get(key)
            if gone is not None:
                self._leave(key)
                del self._rules[key]
                del self._linked[key]
                self._linked.update(self._relinked(_group(gone[0]), gone, None))
                self.generation += 1
            return
        rule, expression = self._checked(key, value)
        before = self._rules.get(key)
        linked = self._relinked(_group(rule), before, (rule, expression))
        self._enter(key, (rule, expression))
        self._linked.update(linked)
        if before is not None and _group(before[0]) != _group(rule):
            self._linked.update(self._relinked(_group(before[0]), before, None))
        self.generation += 1

    def load(self, records: Mapping[str, bytes]) -> dict[str, RuleFault]:
        """Take many records, as put() would one by one; return why some are refused. Groups are linked once."""
        faults: dict[str, RuleFault] = {}
        groups: dict[Group, list[str]] = {}
        for key, value in records.items():
            try:
                entry = self._checked(key, value)
            except RuleFault as fault:
                faults[key] = fault
                continue
            self._enter(key, entry)
            groups.setdefault(_group(entry[0]), []).append(key)
        for group, keys in groups.items():
            try:
                self._linked.update(relink(list(self._groups[group].values())))
            except RuleFault:
                faults |= self._one_by_one(keys, records)
        self.generation += 1
        return faults

    def _one_by_one(self, keys: Iterable[str], records: Mapping[str, bytes]) -> dict[str, RuleFault]:
        """Take rules of a group that cannot be linked as a whole; return which of them it is for."""
        faults = {}
        for key in keys:
            self._leave(key)
            del self._rules[key]
        for key in keys:
            try:
                self.put(key, records[key])
            except RuleFault as fault:
                faults[key] = fault
        return faults

    def _checked(self, key: str, value: bytes) -> Entry:
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
        return rule, expression

    def _enter(self, key: str, entry: Entry) -> None:
        if key in self._rules:
            self._leave(key)
        rule, expression = entry
        self._rules[key] = entry
        self._groups.setdefault(_group(rule), {})[key] = entry
        self._reads.setdefault(_group(rule), Counter()).update(one.metric for one in expression.selectors)
        self._records.setdefault(_group(rule), Counter())[rule.record] += 1
        if rule.record:
            self._recording.setdefault((rule.tenant, rule.record), {})[key] = entry

    def _leave(self, key: str) -> None:
        rule, expression = self._rules[key]
        del self._groups[_group(rule)][key]
        self._reads[_group(rule)].subtract(one.metric for one in expression.selectors)
        self._records[_group(rule)][rule.record] -= 1
        if rule.record:
            del self._recording[rule.tenant, rule.record][key]

    def get(self, key: str) -> tuple[Rule, Linked] | None:
        """Return the rule and its expression, None if there is none of that key."""
        entry = self._rules.get(key)
        return None if entry is None else (entry[0], self._linked[key])

    def reading(self, tenant: str, names: Iterable[str]) -> list[tuple[Rule, Linked]]:
        """Return the tenant's rules that may read a series of one of these names, in the order of the book."""
        if self._indexed != self.generation:
            self._index.clear()
            self._indexed = self.generation
            for place, (key, (rule, _)) in enumerate(self._rules.items()):
                for selector in self._linked[key].selectors:
                    self._index.setdefault((rule.tenant, selector.metric), {})[place] = key
        found = {place: key for name in {"", *names} for place, key in self._index.get((tenant, name), {}).items()}
        return [(self._rules[found[place]][0], self._linked[found[place]]) for place in sorted(found)]

    def all(self) -> Iterator[tuple[Rule, Linked]]:
        """Yield the rules of all tenants."""
        return ((rule, self._linked[key]) for key, (rule, _) in self._rules.items())

    def __len__(self) -> int:
        return len(self._rules)

    def _relinked(self, group: Group, before: Entry | None, after: Entry | None) -> dict[str, Linked]:
        """Return what the change of one rule links anew in a group: itself, and those that read what it records."""
        changed = [rule for rule, _ in filter(None, (before, after))]
        reads, records = self._reads.get(group, Counter()), self._records.get(group, Counter())
        read = any(reads.get(rule.record) for rule in changed if rule.record)
        reading = after is not None and any(records.get(one.metric) for one in after[1].selectors if one.metric)
        if not read and not reading:  # most rules: nothing that is looked for among all others
            return {after[0].key: link(*after, {})} if after is not None else {}
        members = dict(self._groups.get(group, {}))
        if after is not None:
            members[after[0].key] = after
        known = {key: self._linked[key] for key in members if key != changed[0].key}
        return relink(list(members.values()), known, [rule.record for rule in changed])

    def _refuse_loop(self, rule: Rule, expression: Expression) -> None:
        """Raise RuleFault if a recording rule reads, itself or by way of others, the series that it records."""
        if not rule.record:
            return
        seen: set[str] = set()
        waiting = [one.metric for one in expression.selectors if one.metric]
        while waiting:
            name = waiting.pop()
            if name == rule.record:
                reason = f"{rule.record} is made of {rule.record}, by way of the rules that record what it reads"
                raise RuleFault("TG-rule-loop", reason, group=rule.group, rule=rule.name)
            if name not in seen:
                seen.add(name)
                made = self._recording.get((rule.tenant, name), {})
                reads = [read for key, (_, read) in made.items() if key != rule.key]
                waiting += [one.metric for read in reads for one in read.selectors if one.metric]


def refuse(wanted: Mapping[str, bytes], beside: Mapping[str, bytes]) -> None:
    """Raise the RuleFault with which a book refuses one of the wanted records, others being in force beside them.

    If it refuses none in this order it refuses none in any, for less was in force before. Groups are linked once.
    """
    book = Book()
    book.load(beside)  # what is refused already is not in force
    for fault in book.load(wanted).values():
        raise fault


def _group(rule: Rule) -> Group:
    return rule.tenant, rule.file, rule.group
