"""Finished blocks of range results in Redis.

A block's key carries the versions of all data it was made from, so a write into that data makes another key. A second
entry names the newest key of a block: what is left to answer with while nobody can tell the versions.
Redis may be absent, slow, or hold rubbish: each is a miss, counted.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Protocol

import numpy as np
import orjson
import redis
import xxhash

from promql.result import Vector
from query.metrics import CACHE, CACHE_STORED
from query.spent import keep, most
from query.store import Version

FORMAT = 2
MAGIC = b"TGB\x02"
_HEAD = len(MAGIC) + 8
_PARTS = 6
_SIZES = 8 * _PARTS
# What a block takes that is read: as it came, and its parts, which are copies.
_HELD = 2

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

    def identity(self) -> bytes:
        """Return the key without the versions: which block it is, whatever its data."""
        return replace(self, versions=()).text()

    def last_name(self) -> str:
        """Return the name in Redis of the entry that names the newest block of this identity."""
        return f"tidegauge:last:{self.tenant}:{hashlib.sha256(self.identity()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Block:
    """The values of a block's steps, and what the evaluation said beside them."""

    vector: Vector
    infos: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Cache(Protocol):
    """Holds blocks."""

    def get(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        """Return the block of each key, None where there is none; raises Larger."""
        ...

    def put(self, blocks: Sequence[tuple[CacheKey, Block]]) -> None:
        """Keep blocks. Never raises."""
        ...

    def last(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        """Return the newest block of each key that was kept, whatever its versions; raises Larger."""
        ...


class NoCache:
    """A service without Redis."""

    def get(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        """Return nothing."""
        return [None] * len(keys)

    def put(self, blocks: Sequence[tuple[CacheKey, Block]]) -> None:
        """Keep nothing."""

    def last(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        """Return nothing."""
        return [None] * len(keys)


class RedisCache:
    """Blocks in Redis, each living ttl_s; larger ones than max_bytes are not kept. timeout_s for every call.

    origin: whose data they are made from, and by which version; others who use the same Redis never see them.
    """

    def __init__(
        self, endpoint: str, timeout_s: float, ttl_s: int, max_bytes: int, origin: tuple[str, ...] = ()
    ) -> None:
        host, _, port = endpoint.rpartition(":")
        self._redis = redis.Redis(
            host=host, port=int(port), socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None
        )
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._origin = hashlib.sha256(repr(origin).encode()).hexdigest()[:16]

    def _own(self, name: str) -> str:
        return f"{name}:{self._origin}"

    def get(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        """Return the block of each key, None where there is none or it is not whole."""
        if not keys:
            return []
        try:
            bodies = self._read([self._own(key.name()).encode() for key in keys])
        except redis.RedisError as error:
            CACHE.labels("error").inc(len(keys))
            log.warning("TG-cache-read: %s", error)
            return [None] * len(keys)
        found = []
        for key, body in zip(keys, bodies, strict=True):
            block = None if body is None else decode(body, key)
            outcome = "miss" if body is None else "error" if block is None else "hit"
            CACHE.labels(outcome).inc()
            found.append(block)
        return found

    def put(self, blocks: Sequence[tuple[CacheKey, Block]]) -> None:
        """Keep blocks."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for key, block in blocks:
                    # Before it is packed: what is too large must not cost a copy.
                    body = encode(block, key) if block.vector.values.nbytes <= self._max_bytes else b""
                    if 0 < len(body) <= self._max_bytes:
                        name = self._own(key.name())
                        pipe.set(name, body, ex=self._ttl_s)
                        pipe.set(self._own(key.last_name()), name, ex=self._ttl_s)
                        CACHE_STORED.inc(len(body))
                pipe.execute()
        except redis.RedisError as error:
            CACHE.labels("error").inc(len(blocks))
            log.warning("TG-cache-write: %s", error)

    def last(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        """Return the newest block of each key that was kept, whatever its versions."""
        try:
            names = self._redis.mget([self._own(key.last_name()) for key in keys])
            bodies = self._read([name or b"none" for name in names])
        except redis.RedisError as error:
            log.warning("TG-cache-read: %s", error)
            return [None] * len(keys)
        return [None if body is None else decode(body, key, True) for key, body in zip(keys, bodies, strict=True)]

    def _read(self, names: Sequence[bytes]) -> list[bytes | None]:
        """Return what lies under the names: of the first, as many as the request may hold; the others count as missing.

        A range may have hundreds of blocks, each as large as one may be. Raises redis.RedisError, Larger.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.strlen(name)
            sizes = [_HELD * size for size in pipe.execute()]
        room = most(sum(sizes))
        fit = sum(one <= room for one in accumulate(sizes))
        keep(sum(sizes[:fit]))
        bodies: list[bytes | None] = self._redis.mget(names[:fit]) if fit else []
        return bodies + [None] * (len(names) - fit)


def encode(block: Block, key: CacheKey) -> bytes:
    """Return a block: magic, xxh3-64 of the rest, sizes of its parts (uint64), parts.

    Parts: identity and versions of the key, infos and warnings, labels, values, present.
    """
    vector = block.vector
    parts = (
        key.identity(),
        repr(key.versions).encode(),
        orjson.dumps([block.infos, block.warnings]),
        orjson.dumps(vector.labels),
        vector.values.astype("<f8", copy=False).tobytes(),
        vector.present.tobytes(),
    )
    sizes = np.array([len(part) for part in parts], "<u8").tobytes()
    rest = b"".join((sizes, *parts))
    return MAGIC + xxhash.xxh3_64_digest(rest) + rest


def decode(body: bytes, key: CacheKey, any_version: bool = False) -> Block | None:
    """Return the block, or None if the bytes are not a whole block of this very key, its versions included."""
    rest = body[_HEAD:]
    if body[: len(MAGIC)] != MAGIC or len(rest) < _SIZES or xxhash.xxh3_64_digest(rest) != body[len(MAGIC) : _HEAD]:
        return None
    bounds = _SIZES + np.concatenate([[0], np.cumsum(np.frombuffer(rest, "<u8", _PARTS).astype(np.int64))])
    if bounds[-1] != len(rest):
        return None
    identity, versions, notes, names, values, present = (rest[low:high] for low, high in pairwise(bounds))
    if identity != key.identity() or not (any_version or versions == repr(key.versions).encode()):
        return None
    labels = orjson.loads(names)
    size = (key.last_ms - key.first_ms) // key.step_ms + 1
    if len(values) != 8 * len(labels) * size or len(present) != len(labels) * size:
        return None
    shape = (len(labels), size)
    cells = np.frombuffer(values, "<f8").reshape(shape), np.frombuffer(present, np.bool_).reshape(shape)
    infos, warnings = orjson.loads(notes)
    return Block(Vector(labels, *cells), tuple(infos), tuple(warnings))
