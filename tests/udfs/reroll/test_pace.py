"""Looks leave a subtask time for what it reads."""

import heapq

import pytest

from udfs.reroll.pace import Pace

PAUSE_S = 60.0


def played(keys: int, cost: float, seconds: float) -> tuple[float, list[float]]:
    """Return (share of the time that is left for records, pauses between two looks of a key), timers coming first."""
    pace, now, busy = Pace(), 0.0, 0.0
    due = [(0.0, key) for key in range(keys)]
    last: dict[int, float] = {}
    pauses = []
    while due[0][0] < seconds:
        at, key = heapq.heappop(due)
        now = max(now, at) + cost
        busy += cost
        if key in last:
            pauses.append(now - cost - last[key])
        last[key] = now
        heapq.heappush(due, (now + max(PAUSE_S, pace.after(cost, now)), key))
    return 1 - busy / max(now, seconds), pauses


@pytest.mark.parametrize(("keys", "cost"), [(10, 8.0), (200, 0.3), (1, 100.0), (5000, 0.05)])
def test_half_of_the_time_is_left_whatever_looks_cost(keys: int, cost: float) -> None:
    left, _ = played(keys, cost, seconds=36_000)
    assert left > 0.45


def test_cheap_looks_come_as_often_as_they_would() -> None:
    left, pauses = played(10, 0.1, seconds=3600)
    assert left > 0.95
    assert max(pauses) < PAUSE_S + 2
