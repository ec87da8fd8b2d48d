"""The memory that all requests which run at once hold together, by what they say they need before they take it.

Every place has a share for itself, so that a small query never waits for large ones. What needs more takes it from what
is left; if there is not enough, the request begins anew behind those that waited before (query/service.py). Who waits
holds nothing, so that no two can wait for each other.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from query.errors import QueryError, refused

# Of the whole, that part is the places' own.
_OWN = 4
# What a request takes that comes back for more: so often can it come.
_AGAIN = 2


class Larger(Exception):
    """The running request needs more than there is now. size: bytes, in all."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    tenant: str
    size: int
    given: "Future[None]" = field(default_factory=Future)


class Room:
    """size: bytes that all may hold. places: requests at once. For any number of threads."""

    def __init__(self, size: int, places: int) -> None:
        self.size = size
        self.share = size // (_OWN * places)
        self._free = size - places * self.share
        self.most = self._free + self.share
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []

    def take(self, tenant: str, size: int) -> bool:
        """Take bytes if there are so many and nobody waits for them; tell whether they were taken."""
        with self._lock:
            if self._waiting or size > self._free:
                return False
            self._hand(tenant, size)
            return True

    def give(self, tenant: str, size: int) -> None:
        """Give bytes back, to those who wait."""
        with self._lock:
            self._hand(tenant, -size)
            if not self._held[tenant]:
                del self._held[tenant]
            self._serve()

    async def wait(self, tenant: str, size: int, within_s: float) -> None:
        """Take bytes when there are so many; of those who wait, first whose tenant holds least. Raises QueryError."""
        waiter = _Waiter(tenant, size)
        with self._lock:
            self._waiting.append(waiter)
            self._serve()
        try:
            await asyncio.wait_for(asyncio.wrap_future(waiter.given), within_s)
        except BaseException as error:
            self._withdraw(waiter)
            if not isinstance(error, TimeoutError):
                raise
            limit = f"of {self.size:,} bytes (TIDEGAUGE_QUERY_MEMORY) that all hold too few are free"
            message = f"query timed out in query queue: it needs about {size:,} bytes more, and {limit}"
            raise QueryError(503, "timeout", "TG-query-queue", message) from None

    def _withdraw(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:
                # They were given at the very moment.
                self._hand(waiter.tenant, -waiter.size)
            self._serve()

    def _serve(self) -> None:
        while self._waiting:
            first = min(self._waiting, key=lambda one: self._held[one.tenant])
            if first.size > self._free:
                return
            self._waiting.remove(first)
            self._hand(first.tenant, first.size)
            # Not after cancel(): nobody sees it then, and _withdraw gives it back.
            if first.given.set_running_or_notify_cancel():
                first.given.set_result(None)

    def _hand(self, tenant: str, size: int) -> None:
        self._free -= size
        self._held[tenant] += size


class Held:
    """What one request holds, bytes. kept: until it ends. work: for what it does now. For one thread at a time."""

    def __init__(self, room: Room, tenant: str) -> None:
        self._room = room
        self._tenant = tenant
        self._granted = self._floor = room.share
        self._kept = self._work = 0
        self._waiting: asyncio.Task[None] | None = None

    def keep(self, size: int) -> None:
        """Hold so many bytes more until the request ends, or less; raises QueryError, Larger."""
        self._kept += size
        self._fit()

    def work(self, size: int) -> None:
        """Hold so many bytes for what is done now, instead of those for what was done before."""
        self._work = size
        self._fit()

    def reach(self, size: int) -> int:
        """Return how many bytes more it may hold without waiting: so many if they are there, or what it has."""
        lacks = self._kept + self._work + size - self._granted
        if lacks > 0 and self._room.take(self._tenant, lacks):
            self._granted += lacks
        return max(0, self._granted - self._kept - self._work)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Let what is held within end with it."""
        kept = self._kept
        try:
            yield
        finally:
            self._kept, self._work = kept, 0

    def most(self) -> int:
        """Return how many bytes more it may hold if need be, with nobody beside it."""
        return max(0, self._room.most - self._kept - self._work)

    def settle(self) -> None:
        """Give back what is not needed."""
        spare = self._granted - max(self._kept + self._work, self._floor)
        if spare > 0:
            self._granted -= spare
            self._room.give(self._tenant, spare)

    async def more(self, size: int, within_s: float) -> None:
        """Begin anew with so many bytes, when they are there; nothing is held meanwhile. Raises QueryError."""
        wanted = min(max(size, _AGAIN * self._floor), self._room.most)
        self.leave()
        self._waiting = asyncio.ensure_future(self._room.wait(self._tenant, wanted - self._room.share, within_s))
        await self._waiting
        self._granted = self._floor = wanted

    def withdraw(self) -> None:
        """Wait no more."""
        if self._waiting is not None:
            self._waiting.cancel()

    def only(self, size: int) -> None:
        """Hold nothing but so many bytes any more."""
        self._kept, self._work, self._floor = size, 0, self._room.share
        self.settle()

    def leave(self) -> None:
        """Hold nothing any more; once is as good as twice."""
        self.only(0)

    def _fit(self) -> None:
        size = self._kept + self._work
        if size > self._room.most:
            limit = f"{self._room.size:,} bytes (TIDEGAUGE_QUERY_MEMORY) that all queries together may hold"
            why = "ask for fewer series, a longer step or a shorter range"
            raise refused("TG-query-memory", f"the query needs about {size:,} bytes, too many of the {limit}: {why}")
        if size > self._granted:
            if not self._room.take(self._tenant, size - self._granted):
                raise Larger(size)
            self._granted = size
