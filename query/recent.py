"""Blocks in this process, in front of Redis: under the same keys, so that they are as right as those, without a copy.

What no version covers (the fresh tail, edges of a range) is kept here only, its key carrying what was written last to
each table that it reads (Store.written): the next write, whoever's, makes another key.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from promql.result import Vector
from query.cache import Block, Cache, CacheKey
from query.metrics import CACHE

# A label set as Python holds it, about.
_LABELS_BYTES = 500


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """At most about max_bytes of values; the least recently used goes first. For any number of threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value of the key, None if it is not here."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            self._held.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of so many bytes, unless it alone is more than all may be."""
        if size > self._max_bytes:
            return
        with self._lock:
            _, old = self._held.pop(key, (value, 0))
            self._held[key] = value, size
            self._bytes += size - old
            while self._bytes > self._max_bytes:
                _, (_, gone) = self._held.popitem(last=False)
                self._bytes -= gone


class Recent:
    """At most about max_bytes of blocks."""

    def __init__(self, max_bytes: int) -> None:
        # Digests of keys: a key holds a version for each hour that its block reads, and may be larger than the block.
        self._held: Lru[bytes, Block] = Lru(max_bytes)

    def get(self, key: CacheKey) -> Block | None:
        """Return the block of the key, None if it is not here."""
        return self._held.get(_digest(key))

    def put(self, key: CacheKey, block: Block) -> None:
        """Keep a block."""
        vector = block.vector
        size = vector.values.nbytes + vector.present.nbytes + _LABELS_BYTES * (len(vector.labels) + 1)
        # A copy: the arrays may be windows of a whole answer's.
        own = Block(Vector(vector.labels, vector.values.copy(), vector.present.copy()), block.infos, block.warnings)
        self._held.put(_digest(key), own, size)


def _digest(key: CacheKey) -> bytes:
    return hashlib.sha256(key.text()).digest()


class Layered:
    """A cache with recent blocks in front of it. Implements query.cache.Cache."""

    def __init__(self, recent: Recent, behind: Cache) -> None:
        self._recent = recent
        self._behind = behind

    def get(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        """Return the block of each key, None where neither has it."""
        found = [self._recent.get(key) for key in keys]
        there = sum(block is not None for block in found)
        if there:
            CACHE.labels("hit").inc(there)
        if there == len(keys):
            return found
        asked = [place for place, block in enumerate(found) if block is None]
        for place, block in zip(asked, self._behind.get([keys[place] for place in asked]), strict=True):
            found[place] = block
            if block is not None:
                self._recent.put(keys[place], block)
        return found

    def put(self, blocks: Sequence[tuple[CacheKey, Block]]) -> None:
        """Keep blocks in both."""
        for key, block in blocks:
            self._recent.put(key, block)
        self._behind.put(blocks)

    def last(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        """Return the newest block of each key that the cache behind has kept, whatever its versions."""
        return self._behind.last(keys)
