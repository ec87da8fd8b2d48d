"""Whole answers of range queries as JSON: what the same question gets until the next write.

Their keys carry what was written last into each table that they were made from (Store.written), as those of a tail do.
"""

from dataclasses import dataclass

from query.cache import CacheKey
from query.recent import Lru

# What Python takes for an entry beside its bytes, about.
_ENTRY_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Body:
    """data: the JSON of an answer's `data`. infos, warnings: what stands beside it."""

    data: bytes
    infos: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.data) + sum(map(len, (*self.infos, *self.warnings))) + _ENTRY_BYTES


# By the name of its form, what is said of tiers, and all else that can change it.
Bodies = Lru[tuple[str, tuple[str, ...], CacheKey], Body]
