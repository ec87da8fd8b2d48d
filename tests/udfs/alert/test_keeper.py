"""What the job holds in force after the records of an edit, whatever their order and wherever it was restarted."""

from functools import partial
from itertools import permutations

import pytest

from tests.udfs.alert.fakeflink import Broadcast
from udfs.alert.keeper import Keeper
from udfs.alert.rule import Rule


def record(name: str, expr: str) -> Rule:
    return Rule("t", f"g/{name}", "g", "", expr, record=name)


# The edit turns the dependency round.
BEFORE = [record("a", "raw"), record("b", "a"), record("c", "b")]
AFTER = [record("a", "b * 2"), record("b", "c"), record("c", "raw / 2")]


def taken(keeper: Keeper, rules: list[Rule], state: Broadcast) -> dict[str, str]:
    for rule in rules:
        keeper.take(rule.key, rule.encode(), state)
    return {rule.record: rule.expr for rule, _ in keeper.book.all()}


@pytest.mark.parametrize("order", [*permutations(range(3))])
@pytest.mark.parametrize("restarts", [False, True])
def test_an_edit_comes_into_force_whatever_the_order_of_its_records(order: tuple[int, ...], restarts: bool) -> None:
    refused: list[str] = []
    state = Broadcast()
    keeper = Keeper(lambda: {}, lambda: refused.append("x"))
    taken(keeper, BEFORE, state)
    for place in order:
        held = taken(keeper, [AFTER[place]], state)
        if restarts:
            keeper = Keeper(lambda: {}, lambda: refused.append("x"))
            keeper.load(lambda: state)
    assert held == {rule.record: rule.expr for rule in AFTER}
    assert dict(state) == {rule.key: rule.encode().decode() for rule in AFTER}
    assert len(refused) <= 2


def test_what_waits_is_given_up_for_a_newer_record_of_its_key() -> None:
    state = Broadcast()
    keeper = Keeper(lambda: {}, lambda: None)
    taken(keeper, [*BEFORE[:2], AFTER[0]], state)
    newer = record("a", "raw + 1")
    assert taken(keeper, [newer], state)["a"] == "raw + 1"
    keeper.take("t/g/b", None, state)
    assert dict(state) == {newer.key: newer.encode().decode()}


def test_what_waits_is_given_up_when_it_is_deleted() -> None:
    state = Broadcast()
    keeper = Keeper(lambda: {}, lambda: None)
    taken(keeper, [*BEFORE[:2], AFTER[0]], state)
    keeper.take("t/g/a", None, state)
    keeper.take("t/g/b", None, state)
    assert not state and not len(keeper.book)


def test_the_first_start_takes_what_is_stored_in_any_order() -> None:
    for rules in permutations(AFTER):
        stored = {rule.key: rule.encode() for rule in rules}
        assert len(Keeper(partial(dict, stored), lambda: None).load(Broadcast)) == 3
