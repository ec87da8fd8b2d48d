"""What a subtask of the gate remembers of sets, and what it takes."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Batch, encode_series_set
from tests.udfs.gate.pair import LIMITS, NOW, series
from udfs.gate.admission import Admissions
from udfs.gate.budget import FOLDED, SERIES, Budget, Decision
from udfs.gate.policies import Policies
from udfs.gate.standing import Owner, Standing, Verdict, set_key

EPOCH = NOW // 300_000


def batch(name: str, width: int) -> Batch:
    rows = [series("hits", pod=f"{name}-{number}") for number in range(width)]
    return Batch("acme", "s", 0, encode_series_set(rows), np.array([NOW]), np.ones((1, width)))


def answer(standing: Standing, one: Batch, decision: Decision) -> None:
    policy = standing.policies.of("acme", NOW)
    key = set_key(one, policy)
    standing.hear(*Verdict.read(Verdict(policy.revision, decision).encode(key)))


def folded(labels: list[tuple[str, ...]]) -> Decision:
    return Decision(EPOCH, np.full(len(labels), FOLDED, np.uint8), tuple(labels))


@contextmanager
def traced() -> Iterator[list[int]]:
    """Yield a list that has, afterwards, the bytes that were allocated within and are still held."""
    taken: list[int] = []
    tracemalloc.start()
    yield taken
    gc.collect()
    taken.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()


# What is said of the n-th set that churns, and how many there are.
ANSWERS: dict[str, tuple[int, Callable[[int], Decision | None]]] = {
    "none": (2400, lambda n: None),
    "all admitted": (2400, lambda n: Decision(EPOCH)),
    "all refused": (800, lambda n: Decision(EPOCH, np.full(1000, SERIES, np.uint8))),
    "folded alike": (60, lambda n: folded([("pod", "host")] * 1000)),
    "folded each by labels of its own": (80, lambda n: folded([(f"a{n}_{i}", f"b{n}_{i}") for i in range(100)])),
}


@pytest.mark.parametrize("said", ANSWERS)
def test_answers_that_no_batch_comes_for_take_100_bytes_a_series_of_the_bound(said: str) -> None:
    count, decide = ANSWERS[said]
    standing = Standing(2, Policies(LIMITS), max_series=4000)
    with traced() as taken:
        for number in range(count):
            one = Batch("acme", "s", 0, f"set {number}".encode(), np.array([NOW]), np.ones((1, 1)))
            assert standing.admission(one, NOW) is None
            decision = decide(number)
            if decision is not None:
                answer(standing, one, decision)
    assert taken[0] < 1.2 * 100 * standing.max_series


def long(number: int) -> Batch:
    rows = [series("hits", **{f"l{n}": f"{number}-{one}-".ljust(1000, "x") for n in range(8)}) for one in range(5)]
    return Batch("acme", "s", 0, encode_series_set(rows), np.array([NOW]), np.ones((1, 5)))


@pytest.mark.parametrize("who", ["gate", "owner", "without policies"])
def test_what_is_known_of_sets_with_long_labels_takes_400_bytes_a_series_of_the_bound(who: str) -> None:
    policies = Policies(LIMITS)
    authorities: dict[str, Standing | Owner | Admissions] = {
        "gate": Standing(2, policies, max_series=4000),
        "owner": Owner(2, policies, max_series=4000),
        "without policies": Admissions(2, LIMITS, max_series=4000),
    }
    authority = authorities[who]
    if isinstance(authority, Owner):
        authority.budget = Budget("acme")
    with traced() as taken:
        for number in range(150):
            one = long(number)
            if authority.admission(one, NOW) is None and isinstance(authority, Standing):
                answer(authority, one, Decision(EPOCH))
                assert authority.admission(one, NOW) is not None
        del one
    assert taken[0] < 2 * 400 * 4000  # with what growth tells of them, at the owner


def test_a_set_larger_than_the_whole_bound_passes_and_is_not_kept() -> None:
    policies = Policies(LIMITS)
    one, small = long(0), batch("set", 3)
    standing, owner = Standing(2, policies, max_series=90), Owner(2, policies, max_series=90)
    owner.budget = Budget("acme")
    for each in (small, one):
        assert standing.admission(each, NOW) is None
        answer(standing, each, Decision(EPOCH))
        for authority in (standing, owner, Admissions(2, LIMITS, max_series=90)):
            for _ in range(2):
                admission = authority.admission(each, NOW)
                assert admission is not None
                assert sum(len(part.columns) for part in admission.parts) == len(each.values[0])
    assert standing.admission(small, NOW) is not None  # it is still known


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=120))
def test_what_was_dropped_is_asked_again_and_passes_once_answered(steps: list[tuple[int, bool]]) -> None:
    standing = Standing(2, Policies(LIMITS), max_series=60)  # seven answers
    for number, answered in steps:
        one = batch(f"set{number}", number % 3 + 1)
        if standing.admission(one, NOW) is None and answered:
            answer(standing, one, Decision(EPOCH))
            assert standing.admission(one, NOW) is not None


def test_an_answer_too_large_to_keep_is_asked_for_again() -> None:
    standing = Standing(2, Policies(LIMITS), max_series=60)
    one = batch("set", 3)
    large = folded([("pod", "l" * 9000)] * 3)
    for decision, passes in ((large, False), (Decision(EPOCH), True)):
        assert standing.admission(one, NOW) is None
        answer(standing, one, decision)
        assert (standing.admission(one, NOW) is not None) == passes


@pytest.mark.parametrize("width", [10, 50, 900])
def test_as_many_sets_as_it_can_know_are_known_after_one_round(width: int) -> None:
    standing = Standing(2, Policies(LIMITS), max_series=2000)
    sets = [batch(f"set{number}", width) for number in range(2000 // (width + 1))]
    for one in sets:
        assert standing.admission(one, NOW) is None
    for one in sets:
        answer(standing, one, folded([("pod",)] * width))
    assert all(standing.admission(one, NOW) is not None for one in sets)


def test_behind_a_restart_a_set_is_asked_for_once_and_passes_by_what_was_said_before() -> None:
    """All its records would wait at the owner otherwise: for minutes, where that begins slowly."""
    standing, one, two = Standing(2, Policies(LIMITS)), batch("a", 3), batch("b", 3)
    policy = standing.policies.of("acme", NOW)
    verdict = Verdict(policy.revision, Decision(EPOCH, np.array([0, SERIES, 0], np.uint8)))
    standing.recall(set_key(one, policy), verdict)
    assert [standing.admission(what, NOW) for what in (one, two)] == [None, None], "the owner is to see both"
    passed = standing.admission(one, NOW)
    assert passed is not None and passed.refused
    assert standing.admission(two, NOW) is None
    answer(standing, one, Decision(EPOCH))
    now = standing.admission(one, NOW)
    assert now is not None and not now.refused, "the answer counts, not what was said before"


@pytest.mark.parametrize(("revision", "epoch"), [(1, EPOCH), (0, EPOCH - 2)], ids=["policy", "epoch"])
def test_what_was_said_under_another_policy_or_long_ago_lets_nothing_pass(revision: int, epoch: int) -> None:
    standing, one = Standing(2, Policies(LIMITS)), batch("a", 1)
    policy = standing.policies.of("acme", NOW)
    standing.recall(set_key(one, policy), Verdict(policy.revision + revision, Decision(epoch)))
    assert [standing.admission(one, NOW) for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("said", ANSWERS)
def test_what_was_said_before_takes_100_bytes_a_series_of_the_bound(said: str) -> None:
    count, decide = ANSWERS[said]
    standing = Standing(2, Policies(LIMITS), max_series=4000)
    with traced() as taken:
        for number in range(count):
            decision = decide(number)
            if decision is not None:
                standing.recall(*Verdict.read(Verdict(0, decision).encode(("acme", b"%016d" % number))))
    assert taken[0] < 1.2 * 100 * standing.max_series
