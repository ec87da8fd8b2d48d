import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from promql.result import Vector
from query.cache import Block, CacheKey, RedisCache, decode, encode
from query.metrics import REGISTRY
from query.room import Held, Room
from query.spent import Spent, begin
from schemas.nan import STALE

KEY = CacheKey("acme", "plan", "raw", 0, 120_000, 60_000, 300_000, (("m", (0, "data", 1)),))
BLOCK = Block(
    Vector(
        [{"__name__": "m", "a": 'ü"\n'}, {}],
        np.array([[1.5, np.nan, np.inf], [STALE[0], -0.0, 0.0]]),
        np.array([[True, True, False], [True, False, True]]),
    ),
    ("an info",),
    ("a warning",),
)


def same(one: Block | None, other: Block) -> bool:
    return (
        one is not None
        and one.vector.labels == other.vector.labels
        and one.vector.values.tobytes() == other.vector.values.tobytes()
        and one.vector.present.tolist() == other.vector.present.tolist()
        and (one.infos, one.warnings) == (other.infos, other.warnings)
    )


def outcome(word: str) -> float:
    return REGISTRY.get_sample_value("tidegauge_query_cache_blocks_total", {"outcome": word}) or 0.0


@pytest.fixture
def cache(redis_endpoint: str) -> Iterator[RedisCache]:
    client = redis.Redis(port=int(redis_endpoint.rpartition(":")[2]))
    client.flushall()
    client.close()
    yield RedisCache(redis_endpoint, 1.0, 60, 10_000)


def test_a_block_comes_back_bit_by_bit(cache: RedisCache) -> None:
    cache.put([(KEY, BLOCK)])
    assert same(cache.get([KEY])[0], BLOCK)


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, tenant="other"),
        replace(KEY, plan="plan2"),
        replace(KEY, tier="1h"),
        replace(KEY, first_ms=60_000),
        replace(KEY, last_ms=180_000),
        replace(KEY, step_ms=30_000),
        replace(KEY, lookback_ms=1),
        replace(KEY, versions=()),
        replace(KEY, versions=(("m", (0, "data", 2)),)),
        replace(KEY, versions=(("n", (0, "data", 1)),)),
    ],
)
def test_every_field_of_the_key_counts(cache: RedisCache, other: CacheKey) -> None:
    cache.put([(KEY, BLOCK)])
    assert cache.get([other]) == [None]
    assert decode(encode(BLOCK, KEY), other) is None


def test_a_large_block_is_not_kept(cache: RedisCache) -> None:
    wide = replace(KEY, last_ms=60_000 * 2000)
    cache.put([(wide, Block(Vector([{}], np.zeros((1, 2001)), np.ones((1, 2001), np.bool_))))])
    assert cache.get([wide]) == [None]


@given(st.data())
def test_a_block_that_is_not_whole_is_none(data: st.DataObject) -> None:
    body = bytearray(encode(BLOCK, KEY))
    place = data.draw(st.integers(0, len(body) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "add"])):
        case "flip":
            body[place] ^= data.draw(st.integers(1, 255))
        case "cut":
            del body[place:]
        case _:
            body += b"\0" * (place + 1)
    assert decode(bytes(body), KEY) is None


def test_rubbish_in_redis_is_a_miss_that_is_counted(cache: RedisCache, redis_endpoint: str) -> None:
    client = redis.Redis(port=int(redis_endpoint.rpartition(":")[2]))
    cache.put([(KEY, BLOCK)])
    (name,) = client.keys("tidegauge:block:*")
    client.set(name, b"TGB\x02 rubbish")
    client.close()
    before = outcome("error")
    assert cache.get([KEY]) == [None]
    assert outcome("error") == before + 1


def test_without_redis_everything_is_a_miss() -> None:
    before = outcome("error")
    cache = RedisCache("127.0.0.1:1", 0.05, 60, 10_000)
    assert cache.get([KEY, KEY]) == [None, None]
    cache.put([(KEY, BLOCK)])
    assert outcome("error") == before + 3


def test_a_slow_redis_is_given_up(cache: RedisCache, redis_endpoint: str) -> None:
    client = redis.Redis(port=int(redis_endpoint.rpartition(":")[2]))
    cache.put([(KEY, BLOCK)])
    hasty = RedisCache(redis_endpoint, 0.05, 60, 10_000)
    client.execute_command("CLIENT", "PAUSE", 300, "ALL")
    assert hasty.get([KEY]) == [None]
    client.execute_command("CLIENT", "UNPAUSE")
    client.close()
    assert same(hasty.get([KEY])[0], BLOCK)


def test_the_newest_block_is_found_whatever_its_versions(cache: RedisCache) -> None:
    newer = replace(KEY, versions=(("m", (0, "data", 2)),))
    other = Block(replace(BLOCK.vector, values=-BLOCK.vector.values), (), ())
    cache.put([(KEY, BLOCK)])
    cache.put([(newer, other)])
    asked = replace(KEY, versions=())
    assert same(cache.last([asked])[0], other)
    assert cache.last([replace(asked, tenant="other"), replace(asked, step_ms=1)]) == [None, None]
    assert RedisCache("127.0.0.1:1", 0.05, 60, 10_000).last([asked]) == [None]


def test_no_more_is_read_than_the_request_may_hold(cache: RedisCache) -> None:
    """Of a wide range there are hundreds of blocks, each as large as one may be."""
    keys = [replace(KEY, first_ms=at, last_ms=at + 120_000) for at in range(0, 1_800_000, 180_000)]
    cache.put([(key, BLOCK) for key in keys])
    size = 2 * len(encode(BLOCK, KEY))

    def read(room: Room) -> tuple[list[bool], list[bool]]:
        held = Held(room, "acme")
        begin(Spent(20, time.monotonic, held=held))
        try:
            found = [block is not None for block in cache.get(keys)]
            with held.scope():
                last = [block is not None for block in cache.last(keys[:2])]
        finally:
            begin(None)
            held.leave()
        return found, last

    # Sizes differ by a digit or two of the keys' times.
    assert read(Room(round(5.5 * size), 1)) == ([True] * 5 + [False] * 5, [False] * 2)
    assert read(Room(100 * size, 1)) == ([True] * 10, [True] * 2)


def test_blocks_of_another_origin_are_not_seen(redis_endpoint: str) -> None:
    origins = [
        ("ch:8123", "one", "0.1"),
        ("ch:8123", "two", "0.1"),
        ("other:8123", "one", "0.1"),
        ("ch:8123", "one", "0.2"),
    ]
    caches = [RedisCache(redis_endpoint, 1.0, 60, 10_000, origin) for origin in origins]
    asked = replace(KEY, plan="origins")
    caches[0].put([(asked, BLOCK)])
    assert [one.get([asked])[0] is not None for one in caches] == [True, False, False, False]
    assert [one.last([asked])[0] is not None for one in caches] == [True, False, False, False]
    again = RedisCache(redis_endpoint, 1.0, 60, 10_000, origins[0])
    assert same(again.get([asked])[0], BLOCK)
