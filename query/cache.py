"""Finished blocks of range results in Redis.

A block's key carries the versions of all data it was made from, so a write into that data makes another key.
Redis may be absent, slow, or hold rubbish: each is a miss, counted.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import orjson
import redis
import xxhash

from promql.result import Vector
from query.metrics import CACHE, CACHE_STORED
from query.store import Version

FORMAT = 1
MAGIC = b"TGB\x01"
_HEAD = len(MAGIC) + 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Everything that can change a block's answer. tier: where the samples come from, "raw" so far."""

    tenant: str
    plan: str
    tier: str
    first_ms: int
    last_ms: int
    step_ms: int
    lookback_ms: int
    versions: tuple[tuple[str, Version], ...]

    def text(self) -> bytes:
        """Return the key in full; repr of a tuple of texts and numbers is the same for equal keys only."""
        return repr((FORMAT, self)).encode()

    def name(self) -> str:
        """Return the key's name in Redis."""
        return f"tidegauge:block:{self.tenant}:{hashlib.sha256(self.text()).hexdigest()}"


class Cache(Protocol):
    """Holds blocks."""

    def get(self, keys: Sequence[CacheKey]) -> list[Vector | None]:
        """Return the block of each key, None where there is none. Never raises."""
        ...

    def put(self, blocks: Sequence[tuple[CacheKey, Vector]]) -> None:
        """Keep blocks. Never raises."""
        ...


class NoCache:
    """A service without Redis."""

    def get(self, keys: Sequence[CacheKey]) -> list[Vector | None]:
        """Return nothing."""
        return [None] * len(keys)

    def put(self, blocks: Sequence[tuple[CacheKey, Vector]]) -> None:
        """Keep nothing."""


class RedisCache:
    """Blocks in Redis, each living ttl_s; larger ones than max_bytes are not kept. timeout_s for every call."""

    def __init__(self, endpoint: str, timeout_s: float, ttl_s: int, max_bytes: int) -> None:
        host, _, port = endpoint.rpartition(":")
        self._redis = redis.Redis(
            host=host, port=int(port), socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None
        )
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes

    def get(self, keys: Sequence[CacheKey]) -> list[Vector | None]:
        """Return the block of each key, None where there is none or it is not whole."""
        if not keys:
            return []
        try:
            bodies = self._redis.mget([key.name() for key in keys])
        except redis.RedisError as error:
            CACHE.labels("error").inc(len(keys))
            log.warning("TG-cache-read: %s", error)
            return [None] * len(keys)
        found = []
        for key, body in zip(keys, bodies, strict=True):
            vector = None if body is None else decode(body, key)
            outcome = "miss" if body is None else "error" if vector is None else "hit"
            CACHE.labels(outcome).inc()
            found.append(vector)
        return found

    def put(self, blocks: Sequence[tuple[CacheKey, Vector]]) -> None:
        """Keep blocks."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for key, vector in blocks:
                    body = encode(vector, key)
                    if len(body) <= self._max_bytes:
                        pipe.set(key.name(), body, ex=self._ttl_s)
                        CACHE_STORED.inc(len(body))
                pipe.execute()
        except redis.RedisError as error:
            CACHE.labels("error").inc(len(blocks))
            log.warning("TG-cache-write: %s", error)


def encode(vector: Vector, key: CacheKey) -> bytes:
    """Return a block as magic, xxh3-64 of the rest, sizes of four parts (uint64), then key, labels, values, present."""
    parts = (
        key.text(),
        orjson.dumps(vector.labels),
        vector.values.astype("<f8", copy=False).tobytes(),
        vector.present.tobytes(),
    )
    sizes = np.array([len(part) for part in parts], "<u8").tobytes()
    rest = b"".join((sizes, *parts))
    return MAGIC + xxhash.xxh3_64_digest(rest) + rest


def decode(body: bytes, key: CacheKey) -> Vector | None:
    """Return the block, or None if the bytes are not a whole block of this very key."""
    rest = body[_HEAD:]
    if body[: len(MAGIC)] != MAGIC or len(rest) < 32 or xxhash.xxh3_64_digest(rest) != body[len(MAGIC) : _HEAD]:
        return None
    bounds = 32 + np.concatenate([[0], np.cumsum(np.frombuffer(rest, "<u8", 4).astype(np.int64))])
    if bounds[-1] != len(rest):
        return None
    text, names, values, present = (rest[low:high] for low, high in pairwise(bounds))
    if text != key.text():
        return None
    labels = orjson.loads(names)
    size = (key.last_ms - key.first_ms) // key.step_ms + 1
    if len(values) != 8 * len(labels) * size or len(present) != len(labels) * size:
        return None
    shape = (len(labels), size)
    return Vector(labels, np.frombuffer(values, "<f8").reshape(shape), np.frombuffer(present, np.bool_).reshape(shape))
