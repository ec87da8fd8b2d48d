"""What one change links anew is what linking everything anew would give."""

import hypothesis.strategies as st
from hypothesis import given

from tests.udfs.alert.stream import rule_of
from udfs.alert.book import Book
from udfs.alert.chain import Linked, link, relink
from udfs.alert.expression import check_expression
from udfs.alert.rule import Rule, RuleFault

EXPRS = ("sum by (host) (load)", "max(a)", "a + on () b", "count_over_time(b[5m])", 'sum({__name__=~"a|b"})', "c > 1")


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    return Rule(
        tenant="acme",
        rule_id=f"x/{draw(st.sampled_from('pqrstu'))}",
        group=draw(st.sampled_from("gh")),
        alert="A" if (record := draw(st.sampled_from(("a", "b", "c", "")))) == "" else "",
        record=record,
        expr=draw(st.sampled_from(EXPRS)),
        labels=draw(st.sampled_from(((), (("host", "all"),)))),
        position=draw(st.integers(0, 3)),
        file="f",
    )


@given(st.lists(st.tuples(rules(), st.integers(0, 3)), max_size=24))
def test_what_one_change_links_anew_is_enough(changes: list[tuple[Rule, int]]) -> None:
    book = Book()
    for rule, put in changes:
        try:
            book.put(rule.key, rule.encode() if put else None)
        except RuleFault as fault:
            assert fault.id == "TG-rule-loop"
        entries = [(known, check_expression(known.expr)) for known, _ in book.all()]
        wanted: dict[str, Linked] = {}
        for group in "gh":
            wanted |= relink([entry for entry in entries if entry[0].group == group])
        assert {known.key: linked for known, linked in book.all()} == wanted


@given(st.lists(rules(), max_size=12))
def test_many_at_once_are_as_one_after_the_other(some: list[Rule]) -> None:
    records = {rule.key: rule.encode() for rule in some}
    book, one_by_one = Book(), Book()
    faults = {}
    for key, value in records.items():
        try:
            one_by_one.put(key, value)
        except RuleFault as fault:
            faults[key] = fault.id
    assert {key: fault.id for key, fault in book.load(records).items()} == faults
    assert list(book.all()) == list(one_by_one.all())


def test_a_rule_of_a_group_that_looks_back_too_far_costs_no_other() -> None:
    exprs = {"a": "sum(load)", "b": "sum_over_time(a[20h])", "c": "sum_over_time(b[20h])", "d": "b > 1"}
    made = [
        Rule("acme", f"x/{name}", "g", "", expr, record=name, position=place)
        for place, (name, expr) in enumerate(exprs.items())
    ]
    book = Book()
    faults = book.load({rule.key: rule.encode() for rule in made})
    assert {key: fault.id for key, fault in faults.items()} == {"acme/x/c": "TG-rule-span"}
    assert [rule.name for rule, _ in book.all()] == ["a", "b", "d"]


def test_a_group_of_many_rules_links_each_but_once() -> None:
    book = Book()
    expression = check_expression("sum(load)")
    for number in range(300):
        rule = Rule("acme", f"g/{number}", "g", "", "sum(load)", record=f"r{number}", position=number)
        book.put(rule.key, rule.encode())
    first = {rule.key: linked for rule, linked in book.all()}
    book.put("acme/g/7", None)
    assert all(linked is first[rule.key] for rule, linked in book.all()) and len(book) == 299
    assert first["acme/g/7"] == link(rule_of("sum(load)"), expression, {})
