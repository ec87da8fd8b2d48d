"""How many evaluations of one tenant run at once, and how many more may wait: one tenant cannot take all places."""

import asyncio
from dataclasses import dataclass, field

from query.errors import QueryError


@dataclass(slots=True)
class _Tenant:
    free: asyncio.Semaphore
    users: int = field(default=0)


class Places:
    """each: running at once. waiting: most that wait. For one event loop."""

    def __init__(self, each: int, waiting: int) -> None:
        self._each = each
        self._waiting = waiting
        self._tenants: dict[str, _Tenant] = {}

    async def enter(self, tenant: str, within_s: float) -> None:
        """Take a place, waiting for one if need be; raises QueryError."""
        one = self._tenants.setdefault(tenant, _Tenant(asyncio.Semaphore(self._each)))
        if one.users >= self._each + self._waiting:
            limit = f"{self._each} (TIDEGAUGE_QUERY_CONCURRENCY) and {self._waiting} wait (TIDEGAUGE_QUERY_WAITING)"
            raise QueryError(503, "unavailable", "TG-query-busy", f"too many queries of tenant {tenant}: {limit} run")
        one.users += 1
        try:
            await asyncio.wait_for(one.free.acquire(), within_s)
        except TimeoutError:
            self._left(tenant, one)
            message = f"query timed out in query queue: {self._each} of tenant {tenant} run"
            raise QueryError(503, "timeout", "TG-query-queue", f"{message} (TIDEGAUGE_QUERY_CONCURRENCY)") from None
        except BaseException:
            self._left(tenant, one)
            raise

    def leave(self, tenant: str) -> None:
        """Give a place back."""
        one = self._tenants[tenant]
        one.free.release()
        self._left(tenant, one)

    def _left(self, tenant: str, one: _Tenant) -> None:
        one.users -= 1
        if not one.users:
            # Tenants come and go: who has nothing running takes no memory.
            del self._tenants[tenant]

    def __len__(self) -> int:
        """Return how many tenants have something running or waiting."""
        return len(self._tenants)
