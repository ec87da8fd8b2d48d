"""What a subtask of the gate remembers of sets, and what it takes."""

import gc
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Batch, encode_series_set
from tests.udfs.gate.pair import LIMITS, NOW, series
from udfs.gate.budget import FOLDED, SERIES, Decision
from udfs.gate.policies import Policies
from udfs.gate.standing import Standing, Verdict, set_key

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
    tracemalloc.start()
    for number in range(count):
        one = Batch("acme", "s", 0, f"set {number}".encode(), np.array([NOW]), np.ones((1, 1)))
        assert standing.admission(one, NOW) is None
        decision = decide(number)
        if decision is not None:
            answer(standing, one, decision)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1.2 * 100 * standing.max_series


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
