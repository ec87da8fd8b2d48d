"""Ticks of the past wait for their company, and keep their order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.alert.settling import ASKED_MS, PATIENCE_MS, Settling


def due(one: Settling, tick: int, now: int, watermark: int) -> int:
    """Ask, where event time is at the watermark."""
    return one.due(tick, now, lambda: watermark)


def settling(lateness: int = 5_000, hold: int = 10_000) -> Settling:
    """Return one that has judged a tick of its now."""
    made = Settling(lateness, hold)
    assert due(made, 1_000, 6_000, 1_000) == 6_000
    return made


def released(one: Settling, tick: int, now: int, near: int | None = None) -> int:
    """Return when a tick may be judged. near: from when on event time is where the clock is; None: it stands still."""
    watermark = tick
    while True:
        if near is not None and now >= near:
            watermark = now - one.lateness
        again = due(one, tick, now, watermark)
        if again == now:
            return now
        assert now < again <= now + ASKED_MS
        now = again


def test_the_past_is_older_than_a_wait_makes_now() -> None:
    assert settling().behind == 20_000


def test_ticks_of_now_are_judged_at_once() -> None:
    one = settling()
    assert [due(one, tick, tick + 20_000, tick) for tick in (1_000, 2_000)] == [21_000, 22_000]


@pytest.mark.parametrize("one", [settling(), Settling(5_000, 10_000)], ids=["an outage", "a restart"])
def test_ticks_of_the_past_wait_together_and_once(one: Settling) -> None:
    assert due(one, 2_000, 100_000, 95_000) == 101_000
    assert due(one, 30_000, 101_000, 95_000) == 102_000
    assert due(one, 30_000, 109_500, 95_000) == 110_000
    assert [due(one, tick, 110_000, 100_000) for tick in (80_000, 2_000, 30_000)] == [110_000] * 3
    assert due(one, 100_000, 121_000, 110_000) == 121_000, "worked off by and by"
    assert due(one, 101_000, 124_000, 110_000) == 124_000


def test_the_wait_is_for_what_is_read_beside_once_event_time_is_of_now() -> None:
    """A gate that takes 25 s to come back, as on a busy machine, is what the ticks wait for; not its first 10 s."""
    assert released(settling(), 2_000, 100_000, near=125_000) == 135_000


def test_a_wait_in_which_event_time_stood_still_does_not_count() -> None:
    one = settling()
    assert released(one, 2_000, 100_000) == 100_000 + PATIENCE_MS
    assert due(one, 2_000, 160_500, 2_000) == 160_500, "what waited with it"
    assert released(one, 3_000, 162_000, near=162_000) == 172_000


def test_where_event_time_never_comes_up_to_the_clock_they_wait_once() -> None:
    one, now = settling(), 100_000
    while (again := due(one, 2_000, now, now - 30_000)) > now:
        now = again
    assert now == 100_000 + PATIENCE_MS
    assert [due(one, tick, tick + 30_000, tick) for tick in (131_000, 140_000)] == [161_000, 170_000]


def test_a_job_that_is_slow_does_not_wait() -> None:
    one = settling()
    assert [due(one, tick, 5 * tick, tick) - 5 * tick for tick in range(1_000, 100_000, 1_000)] == [0] * 99


def test_after_ticks_of_now_they_wait_again() -> None:
    one = settling()
    assert released(one, 2_000, 100_000, near=100_000) == 110_000
    assert due(one, 110_000, 120_000, 115_000) == 120_000
    assert released(one, 120_000, 200_000, near=200_000) == 210_000


def test_a_tick_of_now_does_not_overtake_one_that_waits() -> None:
    one = settling()
    due(one, 2_000, 27_000, 22_000)
    assert due(one, 20_000, 27_500, 22_000) == 28_500


@given(outage=st.integers(25, 300), busy=st.floats(0.05, 0.95))
def test_however_busy_a_job_catches_up(outage: int, busy: float) -> None:
    """A tick takes `busy` of its second to judge: what waits must not come to wait for ever."""
    one, now, tick = settling(), 1_000.0, 1_000 - outage
    waited, watermark = 0.0, float(tick)
    while now - tick > 6:
        again = due(one, tick * 1000, round(now * 1000), round(watermark * 1000)) / 1000
        if again > now + 0.001:
            waited += again - now
            now = again
            watermark = now - 5.0
        else:
            now, tick = max(now, tick + 5.0) + busy, tick + 1
            watermark = max(watermark, float(tick))
    assert waited <= 11.1
    assert now - 1_000 <= 12 + (outage + 12) * busy / (1 - busy)


def test_no_hold_is_no_wait() -> None:
    assert due(settling(hold=0), 2_000, 1_000_000, 2_000) == 1_000_000


@given(outage=st.integers(0, 600), lag=st.integers(5, 10))
def test_a_stream_that_has_caught_up_waits_once(outage: int, lag: int) -> None:
    """Ticks must not become ticks of the past by having waited."""
    one, now = settling(), 1_000
    waiting = list(range(now - lag - outage, now - lag + 1))
    ends = now
    for now in range(1_000, 1_060):
        watermark = now - lag
        waiting = [t for t in waiting if due(one, t * 1000, now * 1000, watermark * 1000) > now * 1000]
        ends = now if waiting else ends
        waiting.append(watermark + 1)
    assert ends <= 1_010


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 20_000)), min_size=1, max_size=60))
def test_no_tick_is_judged_before_an_earlier_one_and_none_waits_for_ever(moves: list[tuple[int, int]]) -> None:
    """Event time and the clock go on by any steps; a tick each second of event time, asked again whenever it is due."""
    one, watermark, now = settling(lateness=500, hold=2_000), 0, 40_000
    waiting: list[tuple[int, int]] = []
    judged: list[int] = []
    following = 0
    for passes, takes in [*moves, *[(0, PATIENCE_MS)] * 2]:
        watermark, now = watermark + passes, now + takes
        while following <= watermark:
            waiting.append((following, now))
            following += 1_000
        left = []
        for tick, asked in waiting:
            again = due(one, tick, now, watermark) if asked <= now else asked
            assert again <= now + ASKED_MS
            if again <= now:
                judged.append(tick)
            else:
                left.append((tick, again))
        waiting = left
    assert judged == sorted(judged)
    assert len(judged) == following // 1_000
