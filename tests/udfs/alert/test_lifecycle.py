"""The transition function by itself: one row of inputs per evaluation."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.alert.lifecycle import KEPT_MS, Instance, Transition, end, forget, step, transition_key
from udfs.alert.rule import Rule

LABELS = (("host", "a"),)
NOW = 1_700_000_000_000


def rule(for_s: float = 60, keep: float = 0) -> Rule:
    return Rule("acme", "g/A", "g", "A", "up == 0", for_s=for_s, keep_firing_for_s=keep)


def play(one: Rule, values: str, every_ms: int = 15_000) -> list[str]:
    """Evaluate once per character, x: the condition holds; return `step:state` for each transition."""
    instance, made = Instance(LABELS), []
    for number, char in enumerate(values):
        instance, entered = step(instance, 1.0 if char == "x" else None, NOW + number * every_ms, one)
        made += [f"{number}:{each.state}" for each in entered]
        assert not entered or entered[-1].state == instance.state
    return made


@pytest.mark.parametrize(
    ("one", "values", "expected"),
    [
        (rule(), "....", []),
        (rule(), "xxxx", ["0:pending"]),
        (rule(), "xxxxx", ["0:pending", "4:firing"]),
        (rule(), "xxxxx.", ["0:pending", "4:firing", "5:resolved"]),
        (rule(), "xx.xxxxx", ["0:pending", "2:inactive", "3:pending", "7:firing"]),
        (rule(0), "x.x", ["0:firing", "1:resolved", "2:firing"]),
        (rule(0, keep=30), "x..", ["0:firing"]),
        (rule(0, keep=30), "x...", ["0:firing", "3:resolved"]),
        (rule(0, keep=30), "x..x...", ["0:firing", "6:resolved"]),
        (rule(60, keep=30), "x.", ["0:pending", "1:inactive"]),
    ],
)
def test_states(one: Rule, values: str, expected: list[str]) -> None:
    assert play(one, values) == expected


def test_numbers_count_up_over_episodes_and_keys_differ() -> None:
    instance, made = Instance(LABELS), list[Transition]()
    for number, char in enumerate("x.x.x"):
        instance, entered = step(instance, 1.0 if char == "x" else None, NOW + number, rule(0))
        made += entered
    assert [one.seq for one in made] == [1, 2, 3, 4, 5]
    assert len({one.key for one in made}) == 5


def test_a_repeat_of_a_transition_has_the_same_key_whatever_the_revision() -> None:
    pending, _ = step(Instance(LABELS), 1.0, NOW, rule())
    edited = Rule("acme", "g/A", "g", "A", "up == 0", for_s=60, annotations=(("a", "b"),))
    once = step(pending, 1.0, NOW + 60_000, rule())[1]
    again = step(pending, 1.0, NOW + 60_000, edited)[1]
    assert [one.key for one in once] == [one.key for one in again]


def test_an_edit_to_a_longer_for_closes_the_page_and_waits_again() -> None:
    firing, _ = step(step(Instance(LABELS), 1.0, NOW, rule())[0], 1.0, NOW + 60_000, rule())
    waiting, made = step(firing, 1.0, NOW + 75_000, rule(120))
    assert [one.state for one in made] == ["resolved", "pending"]
    assert (waiting.state, waiting.active_at) == ("pending", NOW)
    again, fired = step(waiting, 1.0, NOW + 120_000, rule(120))
    assert again.state == "firing"
    first = transition_key("acme/g/A", LABELS, NOW, 0, "firing")
    assert fired[0].key != first, "a second page for the same start must not look like a repeat of the first"


def test_a_page_keeps_the_start_that_it_was_sent_with() -> None:
    firing, made = step(Instance(LABELS), 1.0, NOW, rule(0))
    still, none = step(firing, 2.0, NOW + 15_000, rule(0), since=NOW + 15_000)
    assert none == () and (still.active_at, still.value) == (made[0].active_at, 2.0)


def test_end_is_for_the_living() -> None:
    assert end(Instance(LABELS), NOW, "acme/g/A")[1] == ()
    firing, _ = step(Instance(LABELS), 1.0, NOW, rule(0))
    ended, made = end(firing, NOW + 1, "acme/g/A")
    assert [one.state for one in made] == ["resolved"]
    assert end(ended, NOW + 2, "acme/g/A")[1] == ()


def test_the_ended_are_forgotten_after_a_while_the_living_never() -> None:
    firing, _ = step(Instance(LABELS), 1.0, NOW, rule(0))
    ended, _ = end(firing, NOW, "acme/g/A")
    assert forget([firing, ended], NOW + KEPT_MS - 1) == [firing, ended]
    assert forget([firing, ended], NOW + KEPT_MS) == [firing]


@given(st.text("x.", max_size=40), st.sampled_from([0, 15, 60]), st.sampled_from([0, 30]))
def test_every_firing_is_resolved_before_the_next(values: str, for_s: int, keep: int) -> None:
    states = [one.partition(":")[2] for one in play(rule(for_s, keep), values)]
    after = {"pending": {"firing", "inactive"}, "firing": {"resolved"}}
    starts = {"firing"} if for_s == 0 else {"pending"}
    for this, following in pairwise(states):
        assert following in after.get(this, starts)
