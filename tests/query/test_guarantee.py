"""Guarantee 5: a cached answer equals the uncached one, whatever happens in between."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from promql.parse import parse
from promql.windows import STALE_BITS
from query import keys
from query.asked import Asked
from query.blocks import HOUR_MS, Steps
from query.bodies import Bodies, Body
from query.cache import Block, CacheKey, NoCache, RedisCache, decode, encode
from query.completeness import Completeness
from query.encode import matrix
from query.memory import MemoryStore
from query.ranges import Ranges
from query.recent import Layered, Recent
from query.store import Versions
from query.view import EVERYTHING
from tests.query.test_cache import outcome

H, M = HOUR_MS, 60_000
STALE = np.array([STALE_BITS], np.uint64).view(np.float64)[0]
TAIL = 300_000
START = 1_714_608_000_000
QUERIES = (
    "m",
    "sum(m)",
    "rate(m[10m])",
    "avg by (i) (m)",
    "m / n",
    "sum(rate(m[20m] offset 30m))",
    "n offset -5m",
    "topk(1, m)",
    'm{i="1"} > 5',
    "m or n",
    "m and on (i) n unless m > 8",
    "max_over_time(sum(m)[20m:2m])",
    "m - m @ 1714608000",
    "sum(m @ end())",
    "absent(m > 9)",
    'label_replace(m, "j", "$1", "i", "(.*)")',
)


class DictCache:
    """A cache in memory, which can also lose or spoil entries, or be away."""

    def __init__(self) -> None:
        self.away = False
        self.held: dict[str, bytes] = {}
        self.newest: dict[str, str] = {}
        self.hits = 0

    def get(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        held = {} if self.away else self.held
        found = [decode(held[key.name()], key) if key.name() in held else None for key in keys]
        self.hits += sum(one is not None for one in found)
        return found

    def put(self, blocks: Sequence[tuple[CacheKey, Block]]) -> None:
        for key, block in () if self.away else blocks:
            self.held[key.name()] = encode(block, key)
            self.newest[key.last_name()] = key.name()

    def last(self, keys: Sequence[CacheKey]) -> list[Block | None]:
        bodies = [self.held.get(self.newest.get(key.last_name(), "")) for key in keys]
        return [None if body is None else decode(body, key, True) for key, body in zip(keys, bodies, strict=True)]


def body_of(asked: Ranges, text: str, steps: Steps, now: int) -> bytes:
    """As the API asks."""
    grid = np.arange(steps.first_ms, steps.last_ms + 1, steps.step_ms, dtype=np.int64)
    form = "matrix", lambda answer: Body(matrix(answer.value, grid))
    return asked.body("t", parse(text), steps, now, EVERYTHING, asked.written(EVERYTHING), form).data


class Kept(Recent):
    """Counts what it gives."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.hits = 0

    def get(self, key: CacheKey) -> Block | None:
        found = super().get(key)
        self.hits += found is not None
        return found


class Whole(Bodies):
    """Counts what it gives."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.hits = 0

    def get(self, key: tuple[str, tuple[str, ...], CacheKey]) -> Body | None:
        found = super().get(key)
        self.hits += found is not None
        return found


def spoil(cache: DictCache, rng: random.Random) -> None:
    """Lose some entries, and shorten others."""
    for name in [name for name in cache.held if rng.random() < 0.1]:
        body = cache.held.pop(name)
        if rng.random() < 0.5:
            cache.held[name] = body[: rng.randrange(max(1, len(body)))]


def walk(seed: int, count: int) -> tuple[int, int, int, int]:
    """Take random steps; return (answers that differ, blocks from the cache, tails kept, whole answers kept)."""
    rng = random.Random(seed)
    store, cache = MemoryStore(TAIL), DictCache()
    tails, near = Kept(), Kept()
    # Blocks kept in the service would hide Redis: every other walk goes without.
    front = Layered(near, cache) if seed % 2 else cache
    # Whole answers would hide blocks: every third walk has them.
    bodies = Whole()
    cached = Ranges(store, front, TAIL, TAIL + M, tails=tails, bodies=None if seed % 3 else bodies)
    plain = Ranges(store, NoCache(), TAIL, TAIL + M)
    now, wrong = START, 0
    asked: list[tuple[str, Steps]] = []
    for _ in range(count):
        now += rng.choice([0, M, 10 * M])
        labels = {"__name__": rng.choice("mn"), "i": str(rng.randrange(3))}
        match rng.randrange(24):
            case 0:  # fresh
                stamps = [now - k * 15_000 for k in range(rng.randrange(1, 8))]
                store.write("t", labels, [(at, rng.random() * 10) for at in stamps], now)
            case 1:  # late
                late = now - rng.randrange(6 * H)
                store.write("t", labels, [(late + k * M, rng.random() * 10) for k in range(5)], now)
            case 2:  # corrected, and another tenant
                store.write("t", labels, [(START - k * M, float(k)) for k in range(30)], now)
                store.write("u", labels, [(START, 1.0)], now)
            case 3:  # evicted, or spoilt
                spoil(cache, rng)
            case 4:  # Redis goes, or comes back as it was or empty
                cache.away = not cache.away and rng.random() < 0.2
                cache.held = {} if rng.random() < 0.05 else cache.held
            case 5:
                store.reroll("t", rng.choice("mn"), now - rng.randrange(6 * H))
            case 6:  # a new series, late
                late = now - rng.randrange(6 * H)
                store.write("t", {**labels, "i": f"late{rng.randrange(9)}"}, [(late, rng.random() * 10)], now)
            case 7:  # the stream closes some, where a series has ended or is no number
                ended = now - rng.randrange(6 * H)
                store.write("t", labels, [(ended, rng.choice([STALE, float("nan")]))], now)
                store.complete["t"] = Completeness(ended // M * M, 1, 1)
            case _:
                if not asked or rng.random() < 0.4:
                    step = rng.choice([M, 5 * M])
                    first = (now - rng.randrange(6 * H)) // step * step
                    size = rng.randrange(1, 160)
                    asked = [*asked, (rng.choice(QUERIES), Steps(first, first + (size - 1) * step, step))][-6:]
                # Dashboards ask the same again and again.
                text, steps = rng.choice(asked)
                wrong += body_of(cached, text, steps, now) != body_of(plain, text, steps, now)
    return wrong, cache.hits + near.hits, tails.hits, bodies.hits


@pytest.mark.parametrize("seed", range(10))
def test_a_cached_answer_is_the_uncached_one_bit_by_bit(seed: int) -> None:
    """Ten walks of a thousand steps: a new store each, since the one in memory gets slower as it fills."""
    wrong, hits, tails, bodies = walk(seed, 1000)
    assert wrong == 0
    assert hits > 50
    assert tails > 50 or not seed % 3
    assert (bodies > 50) == (not seed % 3)


def test_the_same_walk_without_versions_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "covering", lambda *_: ())
    assert walk(1, 600)[0] > 0


def test_the_same_walk_without_what_was_closed_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys.Keys, "_closed", lambda *_: ())
    assert sum(walk(seed, 1000)[0] for seed in (1, 2)) > 0


def test_the_same_walk_with_a_cached_tail_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("query.blocks.newest", lambda *_: 0)
    assert walk(1, 600)[0] > 0


def test_the_same_walk_without_noticing_writes_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "written", lambda _: {"samples": 0})
    assert walk(1, 600)[0] > 0
    assert walk(3, 600)[0] > 0


def test_the_same_walk_with_whole_answers_of_any_time_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "tables", lambda *_: ())
    assert walk(3, 600)[0] > 0


def test_history_is_read_once_from_redis(redis_endpoint: str) -> None:
    store = MemoryStore(TAIL)
    now = START + 6 * H
    store.write("t", {"__name__": "m"}, [(START + k * M, float(k)) for k in range(6 * 60)], now)
    asked = Ranges(store, RedisCache(redis_endpoint, 1.0, 60, 1 << 20), TAIL, TAIL + M)
    steps = Steps(START + H, START + 4 * H - M, M)
    first = body_of(asked, "rate(m[5m])", steps, now)
    reads, hits = store.reads, outcome("hit")
    assert body_of(asked, "rate( m[300s] )", steps, now) == first
    assert (store.reads, outcome("hit")) == (reads, hits + 9)
    store.write("t", {"__name__": "m"}, [(START + 2 * H + 1, 1e6)], now)
    assert body_of(asked, "rate(m[5m])", steps, now) != first
    # Hour 2 is in the windows of its own three blocks and of the one after them.
    assert outcome("hit") == hits + 9 + 5


def test_an_error_before_the_range_is_not_an_error_of_the_range() -> None:
    store = MemoryStore(TAIL)
    now = START + 9 * H
    for i, first in (("1", START), ("2", START)):
        samples = [(first + k * M, 1.0) for k in range(31 if i == "2" else 180)]
        store.write("t", {"__name__": "m", "i": i}, samples, now)
    store.write("t", {"__name__": "one"}, [(START + k * M, 1.0) for k in range(180)], now)
    cached, plain = Ranges(store, DictCache(), 60_000, TAIL), Ranges(store, NoCache(), 60_000, TAIL)
    # The block of this hour begins with two series on a side that may have one.
    steps = Steps(START + 31 * M, START + 90 * M, M)
    assert body_of(cached, "one + on() m", steps, now) == body_of(plain, "one + on() m", steps, now)


@pytest.mark.parametrize(("ahead_s", "same"), [(-60, True), (2, True), (3600, False)])
def test_a_writer_whose_clock_was_ahead_hides_no_later_write(ahead_s: int, same: bool) -> None:
    class Dated(MemoryStore):
        def versions(self, *_: object) -> Versions:
            return {"m": [(START // 1000, "data", (now + ahead_s * 1000) * 1_000_000)]}

    now = START + 9 * H
    asked = Asked("t", parse("m"), (), now, EVERYTHING, 2)
    blocks = [Steps(START + M, START + H, M)]
    of_writes = [keys.Keys(Dated(), TAIL).finished(asked, blocks, {"samples": writes}) for writes in (1, 2)]
    assert (of_writes[0] == of_writes[1]) is same
