"""A policy has a place in time: what is judged again is judged by the same one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Series
from schemas.policy import Policy, PolicyFault
from tests.udfs.gate.pair import LIMITS, NOW, Pair, record, series
from udfs.gate.policies import DELAY_MS, Policies


def policy(most: int, tenant: str = "acme") -> bytes:
    return Policy.model_validate({"tenant": tenant, "max_series": most}).encode()


CHANGES: list[tuple[str, bytes | None, int]] = [
    ("acme", policy(1), NOW),
    ("*", policy(2, "*"), NOW + 100),
    ("acme", policy(3), NOW + 200),
    ("acme", None, NOW + 300),
    ("*", None, NOW + 400),
]
# ms after NOW + DELAY_MS, max_series of acme, of another
IN_FORCE = [(-1, 9, 9), (0, 1, 9), (99, 1, 9), (100, 1, 2), (199, 1, 2), (200, 3, 2), (300, 2, 2), (400, 9, 9)]


@given(st.integers(0, 5), st.permutations(IN_FORCE))
def test_what_is_in_force_follows_from_the_stamps_however_often_the_topic_is_read(
    start: int, asked: list[tuple[int, int, int]]
) -> None:
    policies = Policies(LIMITS, max_series=9)
    for change in CHANGES + CHANGES[start:]:
        policies.put(*change)
    for after, own, other in asked:
        at = NOW + DELAY_MS + after
        assert (policies.of("acme", at).most_series, policies.of("other", at).most_series) == (own, other)


def test_of_many_versions_the_newest_are_kept_and_the_oldest_of_them_counts_for_all_before() -> None:
    policies = Policies(LIMITS)
    for number in range(100):
        policies.put("acme", policy(number + 1), NOW + number)
    found = [policies.of("acme", NOW + DELAY_MS + number).most_series for number in (0, 84, 85, 99)]
    assert found == [85, 85, 86, 100]


RECORDS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=12, unique=True)


@given(RECORDS, st.integers(0, 12), st.integers(0, 12), st.integers(0, 10))
def test_of_records_that_a_clock_stamped_out_of_order_the_later_counts_after_any_restart(
    records: list[tuple[int, bool]], stop: int, again: int, at: int
) -> None:
    topic = [
        ("acme", policy(number + 1) if kept else None, NOW + stamp) for number, (stamp, kept) in enumerate(records)
    ]
    # What holds at a time: of the records stamped up to then the last one.
    known = [change for change in topic if change[2] <= NOW + at]
    value = known[-1][1] if known else None
    expected = 99 if value is None else Policy.decode(value).most_series
    policies = Policies(LIMITS, max_series=99)
    for change in topic + topic[again:]:
        policies.put(*change)
        if change is topic[-1]:
            assert policies.of("acme", NOW + at + DELAY_MS).most_series == expected
    assert policies.of("acme", NOW + at + DELAY_MS).most_series == expected
    compacted = Policies(LIMITS, max_series=99)
    for change in topic[min(stop, len(topic) - 1) :]:
        compacted.put(*change)
    newest = NOW + 10 + DELAY_MS
    assert compacted.of("acme", newest).most_series == policies.of("acme", newest).most_series


def test_of_a_topic_longer_than_what_is_kept_a_repeat_changes_nothing() -> None:
    policies = Policies(LIMITS)
    for number in [*range(100), *range(50)]:
        policies.put("acme", policy(number + 1), NOW + number)
    assert policies.of("acme", NOW + DELAY_MS + 100).most_series == 100


def test_a_policy_that_names_no_series_leaves_them_to_the_setting() -> None:
    policies = Policies(LIMITS, max_series=9)
    policies.put("acme", b'{"tenant":"acme","window":"1d"}', NOW)
    assert policies.of("acme", NOW + DELAY_MS).most_series == 9


def test_a_policy_under_anothers_key_is_refused_and_changes_nothing() -> None:
    policies = Policies(LIMITS, max_series=9)
    with pytest.raises(PolicyFault, match="TG-policy-key"):
        policies.put("other", policy(1), NOW)
    assert policies.of("other", NOW + DELAY_MS).most_series == 9


def users(*numbers: int) -> list[Series]:
    return [series("hits", user=f"u{number}") for number in numbers]


STEPS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(-3000, 3000)),  # which users, ms from when the policy changes
    min_size=1,
    max_size=30,
)


@given(STEPS, st.integers(0, 30), st.sampled_from(["1m", "1h", "1d"]))
def test_a_replay_around_a_change_of_policy_makes_the_same_decisions(
    steps: list[tuple[int, int]], checkpoint: int, window: str
) -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 3}]}, deaf=True)
    pair.change({"window": window, "metrics": [{"name": "hits", "max_series": 8, "action": "fold"}]}, NOW - DELAY_MS)
    held: dict[str, list[bytes]] = {}
    for number, (first, off) in enumerate(steps):
        if number == checkpoint:
            held = {tenant: list(chunks) for tenant, chunks in pair.state.items()}
            pair.passed.clear()
        pair.decide(record(users(first, first + 1), NOW + off), NOW + off, "acme")
    first_run = [one.encode() for one in pair.passed]
    if checkpoint < len(steps):
        pair.state = held
        pair.passed.clear()
        pair.restart()
        for first, off in steps[checkpoint:]:
            pair.decide(record(users(first, first + 1), NOW + off), NOW + off, "acme")
    assert [one.encode() for one in pair.passed] == first_run


@pytest.mark.parametrize("restart", [False, True])
def test_once_judged_by_a_newer_policy_a_tenant_is_not_judged_by_an_older_one(restart: bool) -> None:
    pair = Pair({"max_series": 1}, deaf=True)
    pair.change({"max_series": 2}, NOW + 1000 - DELAY_MS)
    for at, one in ((NOW + 999, 1), (NOW + 1000, 1), (NOW + 999, 2)):
        if restart:
            pair.restart()
        pair.decide(record(users(one), at), at, "acme")
    assert pair.stored == {"hits{user=u1}", "hits{user=u2}"}
