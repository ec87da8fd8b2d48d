"""Ticks of the past wait for their company, and keep their order."""

from hypothesis import given
from hypothesis import strategies as st

from udfs.alert.settling import Settling


def settling() -> Settling:
    made = Settling(lateness=5_000, hold=10_000)
    assert made.behind == 20_000
    return made


def test_ticks_of_now_are_judged_at_once() -> None:
    one = settling()
    assert [one.due(tick, tick + 1, tick + 20_000) for tick in (0, 1_000, 2_000)] == [20_000, 21_000, 22_000]


def test_a_tick_of_the_past_waits_and_those_passed_with_it_do_not_wait_again() -> None:
    one = settling()
    assert one.due(0, 60_000, 100_000) == 110_000
    assert one.due(30_000, 60_000, 101_000) == 110_000
    assert [one.due(tick, 95_000, 110_000) for tick in (0, 30_000, 60_000)] == [110_000] * 3


def test_what_is_passed_during_a_wait_is_looked_at_then() -> None:
    one = settling()
    one.due(0, 60_000, 100_000)
    assert one.due(70_000, 80_000, 105_000) == 110_000
    assert one.due(70_000, 90_000, 110_000) == 120_000
    assert one.due(90_000, 90_000, 120_000) == 120_000


def test_a_tick_of_now_does_not_overtake_one_that_waits() -> None:
    one = settling()
    one.due(0, 1_000, 21_000)
    assert one.due(2_000, 2_000, 21_500) == 31_000


def test_no_hold_is_no_wait() -> None:
    assert Settling(lateness=5_000, hold=0).due(0, 60_000, 1_000_000) == 1_000_000


@given(outage=st.integers(0, 600), lag=st.integers(5, 10))
def test_a_stream_that_has_caught_up_waits_once(outage: int, lag: int) -> None:
    """Ticks must not become ticks of the past by having waited."""
    one, now = settling(), 1_000
    waiting = list(range(now - lag - outage, now - lag + 1))
    ends = now
    for now in range(1_000, 1_060):
        watermark = now - lag
        waiting = [tick for tick in waiting if one.due(tick * 1000, watermark * 1000, now * 1000) > now * 1000]
        ends = now if waiting else ends
        waiting.append(watermark + 1)
    assert ends <= 1_010


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 20_000)), min_size=1, max_size=60))
def test_no_tick_is_judged_before_an_earlier_one_and_none_waits_for_ever(moves: list[tuple[int, int]]) -> None:
    """Event time and the clock go on by any steps; a tick each second of event time, asked again whenever it is due."""
    one, watermark, now = Settling(lateness=500, hold=2_000), 0, 40_000
    waiting: list[tuple[int, int]] = []
    judged: list[int] = []
    following = 0
    for passes, takes in [*moves, *[(0, 20_000)] * 2]:
        watermark, now = watermark + passes, now + takes
        while following <= watermark:
            waiting.append((following, now))
            following += 1_000
        left = []
        for tick, asked in waiting:
            due = one.due(tick, watermark, now) if asked <= now else asked
            assert due <= now + 2_000
            if due <= now:
                judged.append(tick)
            else:
                left.append((tick, due))
        waiting = left
    assert judged == sorted(judged)
    assert len(judged) == following // 1_000
