"""Ticks of the past wait for their company, and keep their order."""

from hypothesis import given
from hypothesis import strategies as st

from udfs.alert.settling import Settling


def settling(lateness: int = 5_000, hold: int = 10_000) -> Settling:
    """Return one that has judged a tick of its now."""
    made = Settling(lateness, hold)
    assert made.due(1, 0, 1) == 1
    return made


def test_the_past_is_older_than_a_wait_makes_now() -> None:
    assert settling().behind == 20_000


def test_ticks_of_now_are_judged_at_once() -> None:
    one = settling()
    assert [one.due(tick, 1, tick + 20_000) for tick in (0, 1_000, 2_000)] == [20_000, 21_000, 22_000]


def test_a_job_that_starts_for_the_first_time_does_not_wait() -> None:
    one = Settling(lateness=5_000, hold=10_000)
    assert one.due(1_000, 0, 100_000) == 100_000
    assert one.due(2_000, 1_000, 100_000) == 100_000
    assert one.due(95_000, 94_000, 100_000) == 100_000
    assert one.due(96_000, 95_000, 200_000) == 210_000


def test_a_new_key_of_one_that_does_not_is_no_first_start() -> None:
    one = Settling(lateness=5_000, hold=10_000)
    assert one.due(60_000, 0, 100_000) == 100_000
    assert one.due(31_000, 30_000, 100_000) == 110_000


def test_ticks_of_the_past_wait_together_and_once() -> None:
    one = settling()
    assert one.due(0, 1, 100_000) == 110_000
    assert one.due(30_000, 1, 101_000) == 110_000
    assert [one.due(tick, 1, 110_000) for tick in (0, 30_000, 80_000)] == [110_000] * 3
    assert one.due(90_000, 1, 150_000) == 150_000


def test_after_ticks_of_now_they_wait_again() -> None:
    one = settling()
    one.due(0, 1, 100_000)
    assert one.due(110_000, 1, 120_000) == 120_000
    assert one.due(120_000, 1, 200_000) == 210_000


def test_a_tick_of_now_does_not_overtake_one_that_waits() -> None:
    one = settling()
    one.due(0, 1, 21_000)
    assert one.due(20_000, 1, 21_500) == 31_000


@given(outage=st.integers(25, 300), busy=st.floats(0.05, 0.95))
def test_however_busy_a_job_catches_up(outage: int, busy: float) -> None:
    """A tick takes `busy` of its second to judge: what waits must not come to wait for ever."""
    one, now, tick = settling(), 1_000.0, 1_000 - outage
    waited = 0.0
    while now - tick > 6:
        due = one.due(tick * 1000, 1, round(now * 1000)) / 1000
        if due > now + 0.001:
            waited += due - now
            now = due
        else:
            now, tick = max(now, tick + 5.0) + busy, tick + 1
    assert waited <= 10.1
    assert now - 1_000 <= 11 + (outage + 11) * busy / (1 - busy)


def test_no_hold_is_no_wait() -> None:
    assert Settling(lateness=5_000, hold=0).due(2, 1, 1_000_000) == 1_000_000


@given(outage=st.integers(0, 600), lag=st.integers(5, 10))
def test_a_stream_that_has_caught_up_waits_once(outage: int, lag: int) -> None:
    """Ticks must not become ticks of the past by having waited."""
    one, now = settling(), 1_000
    waiting = list(range(now - lag - outage, now - lag + 1))
    ends = now
    for now in range(1_000, 1_060):
        watermark = now - lag
        waiting = [tick for tick in waiting if one.due(tick * 1000, 1, now * 1000) > now * 1000]
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
    for passes, takes in [*moves, *[(0, 20_000)] * 2]:
        watermark, now = watermark + passes, now + takes
        while following <= watermark:
            waiting.append((following, now))
            following += 1_000
        left = []
        for tick, asked in waiting:
            due = one.due(tick, 1, now) if asked <= now else asked
            assert due <= now + 2_000
            if due <= now:
                judged.append(tick)
            else:
                left.append((tick, due))
        waiting = left
    assert judged == sorted(judged)
    assert len(judged) == following // 1_000
