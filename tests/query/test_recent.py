"""Blocks in the service itself, and questions that are asked once for all who wait."""

import threading
import tracemalloc
from dataclasses import replace

import numpy as np

from promql.result import Vector
from query.cache import Block, NoCache
from query.recent import Layered, Recent
from query.shared import Shared
from tests.query.test_cache import BLOCK, KEY, same
from tests.query.test_guarantee import DictCache

OTHER = replace(KEY, plan="other")


def test_a_block_stays_until_others_need_its_place() -> None:
    recent = Recent(4000)
    recent.put(KEY, BLOCK)
    assert same(recent.get(KEY), BLOCK)
    assert recent.get(replace(KEY, versions=())) is None
    recent.put(OTHER, BLOCK)
    assert recent.get(KEY) is not None  # the newest used now
    recent.put(replace(KEY, plan="third"), BLOCK)
    assert (recent.get(KEY) is not None, recent.get(OTHER)) == (True, None)


def test_what_is_too_large_is_not_kept() -> None:
    recent = Recent(1000)
    recent.put(KEY, Block(Vector([{}], np.zeros((1, 500)), np.ones((1, 500), np.bool_))))
    assert recent.get(KEY) is None


def test_keys_take_no_place() -> None:
    recent = Recent(1 << 20)
    tracemalloc.start()
    for number in range(100):
        versions = tuple(("m", (number + 3600 * hour, "data", 1)) for hour in range(1000))
        recent.put(replace(KEY, versions=versions), BLOCK)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1 << 20


def test_a_kept_block_does_not_hold_what_it_was_cut_from() -> None:
    whole = np.zeros((2, 1000))
    recent = Recent(100_000)
    recent.put(KEY, Block(Vector([{}], whole[:1, :3], np.ones((1, 3), np.bool_))))
    found = recent.get(KEY)
    assert found is not None and not np.shares_memory(found.vector.values, whole)


def test_behind_it_is_asked_for_what_is_missing_only() -> None:
    behind = DictCache()
    behind.put([(KEY, BLOCK)])
    layered = Layered(Recent(10_000), behind)
    assert [same(one, BLOCK) for one in layered.get([KEY, OTHER])] == [True, False]
    behind.held.clear()
    assert same(layered.get([KEY])[0], BLOCK)
    layered.put([(OTHER, BLOCK)])
    assert OTHER.name() in behind.held
    assert Layered(Recent(10_000), NoCache()).last([KEY]) == [None]


def test_an_answer_is_never_older_than_the_question() -> None:
    asked, go = threading.Semaphore(0), threading.Semaphore(0)
    calls: list[int] = []

    def ask() -> int:
        calls.append(len(calls) + 1)
        answer = calls[-1]
        asked.release()
        go.acquire()
        return answer

    shared = Shared(ask)
    got: list[int] = []
    first = threading.Thread(target=lambda: got.append(shared.get()))
    first.start()
    asked.acquire()
    # These come while the first question runs: its answer may be too old for them, the next one serves them all.
    others = [threading.Thread(target=lambda: got.append(shared.get())) for _ in range(5)]
    for other in others:
        other.start()
    while shared.waiting < 5:
        pass
    go.release()
    asked.acquire()
    go.release()
    for thread in (first, *others):
        thread.join()
    assert sorted(got) == [1, 2, 2, 2, 2, 2]
    assert calls == [1, 2]
