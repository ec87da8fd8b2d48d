"""The culprit: which metric grows, by which label, from where, and a policy that would hold it."""

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import codec
from schemas.policy import parse
from tests.udfs.gate.pair import NOW, series
from udfs.gate.growth import EXACT, Distinct, Growth, is_over, suggestion

HOUR = NOW - NOW % 3_600_000


def told(growth: Growth, first: int, count: int, now: int, source: str = "web-1") -> list[bytes]:
    """Return the records of so many new users."""
    rows = [series("hits", user=f"u{number}", method="GET") for number in range(first, first + count)]
    ids = np.arange(first, first + count, dtype=np.uint64)
    refused = np.arange(count) % 2 == 1
    return list(growth.note("acme", source, rows, ids, refused, now))


def test_the_culprit_is_named() -> None:
    growth = Growth()
    told(growth, 0, 50, NOW, "web-2")
    (record,) = told(growth, 50, 450, NOW + 1000)
    one = codec("growth").decode(record)
    policy = one.pop("policy")
    assert one == {
        **{"tenant": "acme", "metric": "hits", "hour": HOUR, "label": "user", "values": 500, "series": 500},
        **{"examples": ["u0", "u1", "u2", "u3", "u4"], "source": "web-1", "refused": 250, "per_minute": 500.0},
        **{"first_seen": NOW, "last_seen": NOW + 1000},
    }
    assert isinstance(policy, str)
    assert parse(policy, "pasted")[0].metric("hits").per_label_value_limits == {"user": 100}


def test_it_is_told_at_most_every_two_seconds_and_only_while_it_grows() -> None:
    growth = Growth()
    assert told(growth, 0, 99, NOW) == []
    assert [len(told(growth, step * 100, 100, NOW + step * 100)) for step in range(41)].count(1) == 3
    assert told(growth, 0, 100, NOW + 60_000) == []


def test_an_hour_begins_anew() -> None:
    growth = Growth()
    told(growth, 0, 200, NOW)
    (record,) = told(growth, 0, 150, NOW + 3_600_000)
    one = codec("growth").decode(record)
    assert (one["series"], one["hour"]) == (150, HOUR + 3_600_000)


@pytest.mark.parametrize("count", [1, EXACT, EXACT + 1, 10_000, 200_000])
def test_counts_are_exact_and_then_within_three_standard_errors(count: int) -> None:
    distinct = Distinct()
    for value in np.random.default_rng(count).permutation(np.arange(count, dtype=np.uint64) * 977).tolist() * 2:
        distinct.add(value)
    assert len(distinct) == pytest.approx(count, abs=0 if count <= EXACT else count * 0.05)


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_every_suggestion_is_a_policy_that_names_its_metric(metric: str, label: str) -> None:
    (policy,) = parse(suggestion("acme", metric, label), "pasted")
    assert policy.metric(metric).name != "*" or metric == "*"
    assert policy.metric(metric).action == "fold"


@pytest.mark.parametrize("count", [150, 5000])
def test_a_restart_goes_on_counting(count: int) -> None:
    whole, before, after = Growth(), Growth(), Growth()
    told(before, 0, count, NOW)
    for key, data in before.unsaved():
        assert not is_over(key, NOW)
        assert is_over(key, NOW + 3_600_000)
        after.restore("acme", data)
    assert list(before.unsaved()) == []
    told(whole, 0, count, NOW)
    # Half of what comes is known.
    (known,) = told(after, count // 2, count, NOW + 3000)
    (wanted,) = told(whole, count // 2, count, NOW + 3000)
    assert codec("growth").decode(known) == codec("growth").decode(wanted)


def test_what_is_saved_does_not_replace_what_is_newer() -> None:
    growth = Growth()
    told(growth, 0, 150, NOW)
    ((_, old),) = growth.unsaved()
    told(growth, 0, 300, NOW + 3_600_000)
    growth.restore("acme", old)
    (one,) = told(growth, 300, 100, NOW + 3_603_000)
    assert codec("growth").decode(one)["series"] == 400


def test_what_is_saved_means_the_same_to_another_process() -> None:
    growth = Growth()
    told(growth, 0, 150, NOW)
    ((_, data),) = growth.unsaved()
    values = next(one["values"] for one in codec("growth_state").decode(data)["labels"] if one["label"] == "method")
    assert values == {"few": xxhash.xxh3_64_digest(b"GET")[::-1], "many": None}
