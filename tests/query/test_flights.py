"""Single flight: what many ask at once is evaluated once, and nobody waits for one who failed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from promql.parse import parse
from query.blocks import HOUR_MS, Steps
from query.encode import matrix
from query.errors import QueryError, unavailable
from query.flights import Flights
from query.memory import MemoryStore
from query.parts import Answer
from query.ranges import Ranges
from query.spent import Spent, begin
from query.view import EVERYTHING, View
from tests.query.test_cache import BLOCK, KEY
from tests.query.test_guarantee import DictCache

H, M = HOUR_MS, 60_000
START = 1_714_608_000_000
NOW = START + 9 * H
STEPS = Steps(START + H, START + 3 * H - M, M)


class Slow(MemoryStore):
    """A store that takes a while, and may fail the first time."""

    def __init__(self, fails: int = 0) -> None:
        super().__init__()
        self.fails = fails
        self.write("t", {"__name__": "m"}, [(START + k * M, float(k)) for k in range(300)], NOW)

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> Any:
        found = super().source(tenant, steps, view)
        time.sleep(0.3)
        if self.reads <= self.fails:
            raise unavailable("away")
        return found


def at_once(ranges: Ranges, count: int) -> list[Answer | QueryError]:
    together = threading.Barrier(count)

    def ask(_: int) -> Answer | QueryError:
        together.wait()
        try:
            return ranges.answer("t", parse("m + 1"), STEPS, NOW)
        except QueryError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_eight_that_ask_the_same_read_once() -> None:
    store = Slow()
    found = at_once(Ranges(store, DictCache(), 5 * M, 6 * M), 8)
    assert store.reads == 1
    bodies = {matrix(one.value, np.arange(STEPS.size)) for one in found if isinstance(one, Answer)}
    assert len(bodies) == 1 and len(found) == 8


def test_who_waited_for_one_that_failed_goes_on_alone() -> None:
    store = Slow(fails=1)
    found = at_once(Ranges(store, DictCache(), 5 * M, 6 * M), 3)
    assert sorted(type(one).__name__ for one in found) == ["Answer", "Answer", "QueryError"]
    assert store.reads == 3


def test_a_write_in_between_is_another_flight() -> None:
    store = Slow()
    ranges = Ranges(store, DictCache(), 5 * M, 6 * M)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ranges.answer, "t", parse("m"), STEPS, NOW)
        time.sleep(0.1)
        store.write("t", {"__name__": "m"}, [(START + 2 * H, 1e9)], NOW)
        second = ranges.answer("t", parse("m"), STEPS, NOW)
        first.result()
    assert store.reads == 2
    assert 1e9 in second.value.values  # type: ignore[union-attr] # a vector, as every plan of one metric


def test_nobody_waits_longer_than_its_time() -> None:
    flights = Flights()
    mine, _ = flights.claim([KEY])
    again, theirs = flights.claim([KEY])
    assert (mine, again) == ([KEY], [])
    begin(Spent(0.05, time.monotonic))
    try:
        with pytest.raises(QueryError, match="timed out"):
            flights.wait(theirs[KEY])
    finally:
        begin(None)
    flights.end(KEY, BLOCK)
    assert flights.wait(theirs[KEY]) is BLOCK
    assert flights.claim([KEY])[0] == [KEY]
