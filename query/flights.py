"""Blocks being evaluated right now: who needs one that another request evaluates already waits for it.

A block's key carries the data versions that the request itself has read after it came. Equal keys therefore mean that
no write ended between the two, and the first one's block is as good as one's own.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import Future

from query.cache import Block, CacheKey
from query.metrics import FLIGHTS
from query.spent import current

# Without a request around it.
WAIT_S = 30.0

Flight = Future[Block | None]


class Flights:
    """For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[CacheKey, Flight] = {}

    def claim(self, keys: Iterable[CacheKey]) -> tuple[list[CacheKey], dict[CacheKey, Flight]]:
        """Return the keys that the caller has to evaluate, and the flights of others to wait for.

        The caller must end() each of its own, and must do so before it waits: two callers cannot block each other.
        """
        mine, theirs = [], {}
        with self._lock:
            for key in keys:
                if key in self._running:
                    theirs[key] = self._running[key]
                else:
                    self._running[key] = Future()
                    mine.append(key)
        FLIGHTS.labels("led").inc(len(mine))
        return mine, theirs

    def end(self, key: CacheKey, block: Block | None) -> None:
        """Give a block to all who wait; None: there is none, they are on their own."""
        with self._lock:
            flight = self._running.pop(key, None)
        if flight is not None:
            flight.set_result(block)

    def wait(self, flight: Flight) -> Block | None:
        """Return another's block, None if it failed; raises QueryError when the time is over."""
        spent = current()
        try:
            block = flight.result(WAIT_S if spent is None else spent.left_s())
        except TimeoutError:
            block = None
            if spent is not None:
                spent.left_s()
        FLIGHTS.labels("left" if block is None else "joined").inc()
        return block
