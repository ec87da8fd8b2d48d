"""Cardinality policies: limits that do not leak, names of what was refused, totals that stay right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Batch, Series, encode_series_set
from schemas.nan import MISSING, STALE
from tests.udfs.gate.pair import NOW, Pair, record, series

EPOCH = 300_000
HOUR = 3_600_000


def users(*numbers: int) -> list[Series]:
    return [series("hits", user=f"u{number}", method="GET") for number in numbers]


def test_a_set_is_asked_for_once_and_then_passes_by_one_look_up() -> None:
    pair = Pair()
    ways = [pair.send(record(users(1, 2))) for _ in range(3)]
    assert ways == ["slow", "fast", "fast"]
    assert pair.accounts[2].forwarded == 2


def test_a_metric_is_held_to_its_limit_and_the_refused_use_up_nothing() -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 3}]})
    pair.send(record(users(1, 2, 3, 4, 5)))
    assert len(pair.stored) == 3
    assert pair.rejected == {"TG-series-limit": 2}
    pair.send(record([*users(1), series("other", a="b")]))
    assert len(pair.stored) == 4
    assert pair.refused[0].refusal.samples == 2
    assert pair.refused[0].refusal.value == "hits"


def test_a_tenant_is_held_to_its_limit_over_all_metrics() -> None:
    pair = Pair({"max_series": 3})
    pair.send(record([series(f"m{n}") for n in range(5)]))
    assert (len(pair.stored), pair.rejected) == (3, {"TG-tenant-series-limit": 2})


def test_without_a_policy_the_setting_holds() -> None:
    pair = Pair(max_series=2)
    pair.send(record(users(1, 2, 3)))
    assert (len(pair.stored), pair.rejected) == (2, {"TG-tenant-series-limit": 1})


def test_values_of_a_label_are_held_to_their_limit() -> None:
    pair = Pair({"metrics": [{"name": "hits", "per_label_value_limits": {"user": 2}}]})
    pair.send(record(users(1, 2, 3)))
    pair.send(record([series("hits", user="u1", method="PUT"), series("hits", user="u9", method="PUT")]))
    assert pair.stored == {"hits{method=GET,user=u1}", "hits{method=GET,user=u2}", "hits{method=PUT,user=u1}"}
    assert pair.rejected == {"TG-label-values-limit": 2}


def test_only_the_offending_label_is_folded_and_the_total_stays() -> None:
    pair = Pair({"action": "fold", "metrics": [{"name": "hits", "per_label_value_limits": {"user": 2}}]})
    for _ in range(2):
        pair.send(record(users(*range(10))))
        assert pair.stored == {
            "hits{method=GET,user=u0}",
            "hits{method=GET,user=u1}",
            "hits{method=GET,tidegauge_source=s,user=__overflow__}",
        }
        assert pair.total("hits") == 10
    assert [(one.forwarded, one.folded) for one in pair.accounts] == [(3, 7), (3, 7)]


def test_over_max_series_the_label_with_a_new_value_is_folded() -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 4, "action": "fold"}]})
    pair.send(record([series("hits", host=f"h{n}", user="u0") for n in range(4)]))
    pair.send(record([series("hits", host="h0", user=f"u{n}") for n in range(1, 9)], source="t"))
    assert pair.stored == {
        *(f"hits{{host=h{n},user=u0}}" for n in range(4)),
        "hits{host=h0,tidegauge_source=t,user=__overflow__}",
    }
    assert pair.total("hits") == 12


def test_folding_is_itself_bounded() -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 10, "action": "fold"}]})
    for step in range(20):
        at = NOW + step
        pair.send(record([series("hits", a=f"a{step}-{n}", b=f"b{step}-{n}") for n in range(20)], at), at)
        assert pair.total("hits", at) == 20
    assert len(pair.stored) == 12


def test_stripped_labels_merge_and_sums_add() -> None:
    pair = Pair({"metrics": [{"name": "hits", "allowed_labels": ["method"]}]})
    for _ in range(2):
        pair.send(record([*users(1, 2, 3), series("hits", method="PUT"), series("other", user="u1")]))
        assert pair.stored == {"hits{method=GET,tidegauge_source=s}", "hits{method=PUT}", "other{user=u1}"}
        assert pair.total("hits") == 4
    assert [(one.forwarded, one.merged) for one in pair.accounts] == [(3, 2), (3, 2)]


def test_stripped_series_of_two_sources_do_not_overwrite_each_other() -> None:
    pair = Pair({"metrics": [{"name": "hits", "allowed_labels": ["method"]}]})
    for source in ("s", "t"):
        for _ in range(2):
            pair.send(record(users(1, 2), source=source))
    assert pair.total("hits") == 4


def test_histogram_bounds_are_never_stripped() -> None:
    pair = Pair({"metrics": [{"name": "b", "allowed_labels": []}]})
    pair.send(record([series("b", le="1", user="x"), series("b", le="2", user="x")]))
    assert pair.stored == {"b{le=1,tidegauge_source=s}", "b{le=2,tidegauge_source=s}"}


def test_a_budget_heals_when_the_explosion_stops() -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 3}]})
    at = NOW
    pair.send(record(users(1, 2, 3), at), at)
    for _ in range(13):
        at += EPOCH
        pair.send(record(users(1), at), at)
    pair.send(record(users(7, 8, 9), at), at)
    assert {"hits{method=GET,user=u7}", "hits{method=GET,user=u8}"} < pair.stored
    assert "hits{method=GET,user=u9}" not in pair.stored


def test_what_is_active_stays_admitted() -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 2}]})
    for step in range(60):
        at = NOW + step * EPOCH // 2
        pair.send(record(users(1, 2), at), at)
        pair.send(record(users(50 + step), at), at)
    assert len(pair.stored) == 2
    assert pair.rejected == {"TG-series-limit": 60}


def test_a_dry_run_drops_nothing_and_says_what_it_would_have() -> None:
    pair = Pair({"dry_run": True, "metrics": [{"name": "hits", "max_series": 2, "allowed_labels": ["user"]}]})
    for _ in range(2):
        pair.send(record(users(1, 2, 3)))
    assert (len(pair.stored), pair.rejected) == (3, {})
    assert [one.would for one in pair.accounts] == [{"TG-series-limit": 1}] * 2


def test_a_new_policy_is_in_force_with_the_next_record() -> None:
    pair = Pair()
    pair.send(record(users(1, 2, 3)))
    assert pair.send(record(users(1, 2, 3))) == "fast"
    pair.change({"metrics": [{"name": "hits", "allowed_labels": ["method"]}]})
    pair.send(record(users(1, 2, 3), NOW + 1), NOW + 1)
    assert pair.total("hits", NOW + 1) == 3
    assert {one.merged for one in pair.accounts} == {0, 2}


@pytest.mark.parametrize("deaf", [False, True], ids=["verdicts heard", "verdicts lost"])
def test_limits_hold_through_subtasks_duplicates_and_restarts(deaf: bool) -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 10}]}, subtasks=3, deaf=deaf)
    for step in range(60):
        data = record(users(*range(step, step + 4)))
        for subtask in (step % 3, (step + 1) % 3):
            pair.send(data, NOW, subtask)
        if step % 7 == 0:
            pair.restart()
    assert len(pair.stored) == 10


def test_a_replay_of_the_log_makes_the_same_decisions() -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 10}]}, subtasks=2)
    for step in range(20):
        pair.send(record(users(*range(step * 2, step * 2 + 3))), NOW, step % 2)
    stored, log = pair.stored, list(pair.log)
    pair.state.clear()
    pair.restart()
    for data, at in log:
        pair.decide(data, at, "acme")
    assert pair.stored == stored


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True), max_size=25),
    st.integers(1, 8),
    st.sampled_from(["reject", "fold"]),
    st.integers(0, 40),
)
def test_no_order_of_arrival_breaks_a_limit_or_a_total(
    batches: list[list[int]], limit: int, action: str, pace: int
) -> None:
    pair = Pair({"window": "1m", "metrics": [{"name": "hits", "max_series": limit, "action": action}]}, subtasks=2)
    for step, numbers in enumerate(batches):
        at = NOW + step * (1 + pace * 100)
        pair.send(record(users(*numbers), at), at, step % 2)
        if action == "fold":
            assert pair.total("hits", at) == len(numbers)
    counts = pair.budgets["acme"].counts() if batches else {}
    assert all(own <= limit and over <= max(1, limit // 10) + 1 for own, over in counts.values())
    if not pace:
        assert len(pair.stored) <= limit + 2


def test_a_raised_limit_lets_more_in_at_once() -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 2}]})
    for _ in range(2):
        pair.send(record(users(1, 2, 3)))
    pair.change({"metrics": [{"name": "hits", "max_series": 3}]})
    pair.send(record(users(1, 2, 3)))
    assert len(pair.stored) == 3


def test_what_was_seen_lately_outlives_a_restart() -> None:
    pair = Pair({"metrics": [{"name": "hits", "max_series": 1}]})
    at = NOW
    for _ in range(20):
        pair.send(record(users(1), at), at)
        at += EPOCH
    pair.restart()
    pair.send(record(users(2), at), at)
    assert pair.rejected == {"TG-series-limit": 1}


def test_members_that_are_stale_or_absent_add_nothing() -> None:
    pair = Pair({"metrics": [{"name": "hits", "allowed_labels": ["method"]}]})
    values = np.array([[1.0, 2.0, 4.0]] * 3)
    values.view(np.uint64)[0, 1] = MISSING.view(np.uint64)[0]
    values.view(np.uint64)[1, :2] = STALE.view(np.uint64)[0]
    values.view(np.uint64)[2] = STALE.view(np.uint64)[0]
    stamps = NOW + np.arange(3)
    data = Batch("acme", "s", 0, encode_series_set(users(1, 2, 3)), stamps, values).encode()
    pair.send(data)
    assert [pair.total("hits", NOW), pair.total("hits", NOW + 1)] == [5.0, 4.0]
    assert np.isnan(pair.total("hits", NOW + 2))
    assert (pair.accounts[0].received, pair.accounts[0].forwarded, pair.accounts[0].merged) == (8, 3, 5)


STRIP = {"metrics": [{"name": "*", "allowed_labels": ["method"]}]}


def test_repeats_are_no_members_of_a_sum() -> None:
    pair = Pair(STRIP)
    index, values = np.array([0, 1, 0, 2, 3, 3], np.uint32), np.array([1.0, 2.0, 10.0, 4.0, 7.0, 8.0])
    rows = [*users(1, 2, 3), series("up", method="GET")]
    pair.send(Batch("acme", "s", 0, encode_series_set(rows), np.full(6, NOW), values, index).encode())
    assert (pair.total("hits"), pair.total("up")) == (16.0, 8.0)
    (account,) = pair.accounts
    assert (account.received, account.deduplicated, account.merged, account.forwarded) == (6, 2, 2, 2)


@pytest.mark.parametrize("weighed", [False, True], ids=["dense", "sparse"])
def test_stripped_distributions_become_one(weighed: bool) -> None:
    pair = Pair(STRIP)
    rows = [Series("latency", (("user", f"u{number}"),), "distribution") for number in range(3)]
    batch = Batch("acme", "s", 0, encode_series_set(rows), np.array([NOW]), np.array([[1.0, 2.0, 4.0]]))
    if weighed:
        batch.index, batch.timestamps, batch.values = batch.points()
        batch.weights = np.ones(3, np.uint32)
    pair.send(batch.encode())
    assert [(one.source, one.index.tolist(), one.values.tolist()) for one in pair.passed if one.index is not None] == [
        ("s", [0, 0, 0], [1.0, 2.0, 4.0])
    ]
    assert pair.passed[0].series_ids is not None
    assert len(pair.passed[0].series_ids) == 1
