"""What one request may still use and what it has used: its deadline, and the counts that `stats` and the slow log show.

It goes with the request from the event loop into its thread and down to each statement for ClickHouse, so it lies in a
context variable: no layer between has anything to do with it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from query.errors import timeout
from query.room import Held

_CURRENT: ContextVar["Spent | None"] = ContextVar("spent", default=None)


@dataclass(slots=True)
class Spent:
    """limit_s: the request's time in all. clock: monotonic seconds. cancelled: nobody waits for the answer any more.

    held: its memory; None: nobody counts it.
    """

    limit_s: float
    clock: Callable[[], float]
    began_s: float = field(init=False)
    queued_s: float = 0.0
    store_s: float = 0.0
    statements: int = 0
    series: int = 0
    samples: int = 0
    most_samples: int = 0
    cached_blocks: int = 0
    cancelled: bool = False
    held: Held | None = None
    # Series by what selects them, see query.source.matching.
    found: dict[Any, Any] = field(default_factory=dict)
    _under_way: int = 0
    _since_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.began_s = self.clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the request came."""
        return self.clock() - self.began_s

    def left_s(self) -> float:
        """Return the seconds that are left, more than 0; raises QueryError if there are none."""
        left = self.limit_s - self.elapsed_s
        if self.cancelled or left <= 0:
            raise timeout(self.limit_s)
        return left

    @contextmanager
    def statement(self) -> Iterator[None]:
        """Count a statement, and the time in which one or more are under way: two may be at once."""
        with self._lock:
            self.statements += 1
            if not self._under_way:
                self._since_s = self.clock()
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                if not self._under_way:
                    self.store_s += self.clock() - self._since_s

    def read(self, series: int, samples: int) -> None:
        """Count what a selector has read."""
        self.series += series
        self.samples += samples
        self.most_samples = max(self.most_samples, samples)

    def again(self) -> None:
        """Forget what was read: the request begins anew."""
        self.series = self.samples = self.most_samples = self.cached_blocks = 0
        self.found.clear()

    def stats(self) -> dict[str, dict[str, float]]:
        """Return Prometheus's query statistics (util/stats), as far as they exist here.

        peakSamples: of the largest selector. innerEvalTime: what is neither waiting nor reading.
        """
        whole = self.elapsed_s
        return {
            "timings": {
                "evalTotalTime": whole - self.queued_s,
                "queryPreparationTime": self.store_s,
                "innerEvalTime": max(0.0, whole - self.queued_s - self.store_s),
                "execQueueTime": self.queued_s,
                "execTotalTime": whole,
            },
            "samples": {"totalQueryableSamples": self.samples, "peakSamples": self.most_samples},
        }


def begin(spent: Spent | None) -> None:
    """Make it that of the running request; None: there is no request any more."""
    _CURRENT.set(spent)


def current() -> Spent | None:
    """Return that of the running request, None outside of one."""
    return _CURRENT.get()


def check() -> None:
    """Raise QueryError if the running request has no time left."""
    spent = current()
    if spent is not None:
        spent.left_s()


def _held() -> Held | None:
    """Return the memory of the running request; None: nobody counts it."""
    spent = current()
    return None if spent is None else spent.held


def keep(size: int) -> None:
    """Count bytes that the running request holds until it ends; raises QueryError, Larger."""
    if (held := _held()) is not None:
        held.keep(size)


def work(size: int) -> None:
    """Count bytes that it holds for what it does now, instead of those before; raises QueryError, Larger."""
    if (held := _held()) is not None:
        held.work(size)


def reach(size: int) -> int:
    """Return how many bytes more it may hold without waiting, at most about so many."""
    held = _held()
    return size if held is None else held.reach(size)


def most(size: int) -> int:
    """Return so many bytes, or how many more the request may hold at all, if those are less."""
    held = _held()
    return size if held is None else min(size, held.most())


@contextmanager
def scope() -> Iterator[None]:
    """Let what is counted within end with it."""
    held = _held()
    if held is None:
        yield
        return
    with held.scope():
        yield


def settle() -> None:
    """Give back what it has taken and does not hold."""
    if (held := _held()) is not None:
        held.settle()


def count_cached(blocks: int) -> None:
    """Count blocks that came from the cache."""
    spent = current()
    if spent is not None:
        spent.cached_blocks += blocks
