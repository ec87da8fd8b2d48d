"""Ticks wait until every partition of metrics.raw has been read, and not for ever."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Batch
from udfs.alert.heard import ASKED_MS, PATIENCE_MS, SLACK_MS, Heard, Reading
from udfs.alert.match import Address
from udfs.alert.recording import HEARTBEAT_SOURCE, beats_by, heartbeat, is_beat, partition_of

MARKS = ("heard/0", "heard/3")


def beat(at: int | None, partition: int = 0, partitions: int = 1, tenant: str = "ops") -> Batch:
    return replace(heartbeat(tenant, beats_by(partition, partitions), 12_345), received_at=at)


def reading() -> Reading:
    return Reading("ops", MARKS)


def told(one: Reading, *beats: Batch) -> list[int]:
    """Return how far each told, by the one who listens at every mark."""
    found = [list(one.take(batch)) for batch in beats]
    assert all([mark for mark, _ in pieces] in ([], list(MARKS)) for pieces in found)
    assert all(len({piece for _, piece in pieces}) <= 1 for pieces in found)
    return [int(pieces[0][1]) for pieces in found if pieces]


def test_it_is_told_when_the_last_partition_has_come_up() -> None:
    assert told(reading(), beat(7_000, 0, 3), beat(9_000, 1, 3), beat(5_000, 2, 3), beat(8_000, 2, 3)) == [5_000, 7_000]


def test_what_comes_again_is_not_told_again() -> None:
    assert told(reading(), beat(5_000), beat(4_000), beat(5_000), beat(6_000)) == [5_000, 6_000]


def test_a_partition_more_is_waited_for_and_one_less_is_not() -> None:
    assert told(reading(), beat(5_000), beat(6_000, 0, 2), beat(7_000, 1, 2), beat(8_000, 0, 1)) == [
        5_000,
        6_000,
        8_000,
    ]


@pytest.mark.parametrize(
    "other",
    [
        beat(5_000, tenant="acme"),
        beat(None),
        replace(beat(5_000), source=HEARTBEAT_SOURCE),
        replace(beat(5_000), source="rule:g/A"),
        replace(beat(5_000), source="host/0/1"),
    ],
    ids=["another tenant's", "an earlier gate's", "an earlier job's", "a rule's", "an agent's"],
)
def test_what_is_no_beat_tells_nothing(other: Batch) -> None:
    assert told(reading(), other) == []


@pytest.mark.parametrize("rest", ["", "/", "/1", "/1/", "/1/1", "/-1/2", "/a/2", "/0/2/3", "/\u0661/2", f"/0/{10**9}"])
def test_sources_of_other_makes_name_no_partition(rest: str) -> None:
    assert partition_of(HEARTBEAT_SOURCE + rest) is None


@given(st.integers(1, 999_999).flatmap(lambda of: st.tuples(st.integers(0, of - 1), st.just(of))))
def test_sources_name_their_partition(where: tuple[int, int]) -> None:
    assert partition_of(beats_by(*where)) == where
    assert is_beat(beats_by(*where))


def test_no_rule_has_a_key_that_is_a_mark() -> None:
    assert not str(Address("heard/0", "heard/0", "", 0)).startswith("heard/")


def heard(read: int, lateness: int = 5_000) -> Heard:
    one = Heard(lateness)
    one.take(b"%d" % read)
    return one


def test_a_tick_is_judged_when_all_was_read_that_made_it_due_but_for_the_beats_own_way() -> None:
    tick = 60_000
    assert heard(tick + 5_000 - SLACK_MS).due(tick, 65_300) == 65_300
    assert heard(tick + 5_000 - SLACK_MS - 1).due(tick, 65_300) == 65_300 + ASKED_MS


def test_ticks_that_wait_keep_their_order() -> None:
    """What a key that asks first ends must be told before what another begins at the same tick."""
    one = heard(50_000)
    assert one.due(60_000, 65_000) == 66_000
    one.take(b"63000")
    assert one.due(60_000, 65_500) == 66_000
    assert [one.due(60_000, 66_000), one.due(60_000, 66_001)] == [66_000, 66_001]


def test_nobody_waits_for_what_was_read_because_another_waits() -> None:
    one = heard(50_000)
    assert one.due(60_000, 65_000) == 66_000
    assert one.due(45_000, 65_100) == 65_100
    one.take(b"63000")
    assert one.due(61_000, 66_000) == 67_000
    assert one.due(60_000, 66_000) == 66_000


def test_before_anything_is_heard_ticks_wait_and_in_vain_only_once() -> None:
    one, now = Heard(5_000), 100_000
    while (again := one.due(60_000, now)) > now:
        assert again == now + ASKED_MS
        now = again
    assert now == 100_000 + PATIENCE_MS
    assert not one.covers(60_000)
    assert [one.due(tick, now + tick) for tick in (61_000, 62_000)] == [now + 61_000, now + 62_000]
    one.take(b"%d" % (now + 90_000))
    assert one.due(now + 80_000, now + 90_000) == now + 90_000
    assert one.due(now + 120_000, now + 125_000) == now + 126_000, "it hears again, and so waits again"


def test_no_patience_is_no_wait() -> None:
    assert [Heard(5_000, 0).due(60_000, now) for now in (65_000, 66_000)] == [65_000, 66_000]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(0, 5))
def test_no_tick_is_judged_before_its_data_and_none_waits_much_longer(lags: list[int], lateness: int) -> None:
    """lags: of what has been read of the slowest partition at each second, s."""
    one, waiting, judged = Heard(lateness * 1000), list[int](), dict[int, int]()
    lags = lags + [0] * 5
    for second, lag in enumerate(lags, 1_000):
        read = (second - lag) * 1000
        one.take(b"%d" % read)
        waiting.append(second - lateness)
        for tick in list(waiting):
            if one.due(tick * 1000, second * 1000) == second * 1000:
                waiting.remove(tick)
                judged[tick] = second
    known = [max(second - lag for second, lag in enumerate(lags[: n + 1], 1_000)) for n in range(len(lags))]
    assert not waiting
    for tick, second in judged.items():
        assert (tick + lateness) * 1000 - SLACK_MS <= known[second - 1_000] * 1000
        first = next(at for at, up_to in enumerate(known, 1_000) if (tick + lateness) * 1000 - SLACK_MS <= up_to * 1000)
        assert second <= max(first, tick + lateness) + 1
