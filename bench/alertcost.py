"""What an evaluation costs the alert job, without Flink: state decoded, judged and encoded, as at every tick."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench import alertload
from bench.alertload import METRICS_A_SOURCE, TENANT, Source
from bench.report import Progress
from schemas.batch import Batch
from schemas.ids import series_id
from udfs.alert.book import Book
from udfs.alert.budget import Budget
from udfs.alert.evaluator import Evaluator
from udfs.alert.hindsight import Hindsight
from udfs.alert.match import Address, Match
from udfs.alert.memory import Memory
from udfs.alert.rulefile import parse_file
from udfs.alert.window import Window

STEP_MS = 15_000
# A lookback of five minutes is full after twenty scrapes.
SCRAPES, MEASURED = 24, 3


@dataclass(slots=True)
class Key:
    """The keyed state of one address, in a dictionary: a Shelf too."""

    memory: bytes | None = None
    window: bytes | None = None
    pieces: list[bytes] = field(default_factory=list)
    held: dict[int, bytes] = field(default_factory=dict)
    waiting: list[bytes] = field(default_factory=list)

    def ticks(self) -> list[int]:
        """Return the ticks of which the past has a piece."""
        return list(self.held)

    def past(self) -> Iterable[tuple[int, bytes]]:
        """Return (tick, piece) of the past."""
        return self.held.items()

    def put(self, tick: int, piece: bytes) -> None:
        """Add to the past."""
        self.held[tick] = piece

    def forget(self, tick: int) -> None:
        """Drop a piece of the past."""
        self.held = {at: piece for at, piece in self.held.items() if at != tick}

    def late(self) -> list[bytes]:
        """Return the pieces that wait."""
        return self.waiting

    def wait(self, piece: bytes) -> None:
        """Add a piece that waits."""
        self.waiting.append(piece)

    def settled(self) -> None:
        """Drop what waited."""
        self.waiting = []


def cost(rules: int, buckets: int, progress: Progress) -> dict[str, Any]:
    """Return us a rule's evaluation (all of its keys) and us a series in it, the mean over the last ticks."""
    book = Book()
    for rule in parse_file(alertload.rule_file(rules, "15s"), TENANT, "bench.yaml", stream=True).rules:
        book.put(rule.key, rule.encode())
    match = Match(book, buckets)
    evaluator = Evaluator(Budget(), time.perf_counter, Hindsight(600_000, time.perf_counter))
    keys: dict[str, Key] = {}
    sources = [Source(number) for number in range(rules // METRICS_A_SOURCE)]
    ids = [
        np.array([series_id(TENANT, one.name, one.labels) for one in alertload.series_of(source.number)], np.uint64)
        for source in sources
    ]
    matching = judging = 0.0
    for number in range(1, SCRAPES + 1):
        progress(f"scrape {number} of {SCRAPES}")
        at = 1_699_999_200_000 + number * STEP_MS
        began = time.process_time()
        for source, own in zip(sources, ids, strict=True):
            batch, _ = source.scrape(at)
            batch.series_ids = own
            for address, piece in match.split(batch):
                if piece is not None:
                    keys.setdefault(address, Key()).pieces.append(piece.encode())
        matched = time.process_time()
        if number > SCRAPES - MEASURED - 1:
            for address, key in keys.items():
                _tick(evaluator, book, Address.parse(address), key, at)
        if number > SCRAPES - MEASURED:
            matching += matched - began
            judging += time.process_time() - matched
    evaluations = rules * MEASURED
    series = rules * alertload.HOSTS * MEASURED
    return {
        "rules": rules,
        "keys": len(keys),
        "us_per_rule": judging / evaluations * 1e6,
        "us_per_series": judging / series * 1e6,
        "match_us_per_sample": matching / series * 1e6,
    }


def _tick(evaluator: Evaluator, book: Book, address: Address, key: Key, at: int) -> None:
    entry = book.get(address.rule)
    assert entry is not None
    memory = Memory.decode(key.memory)
    held = Window.decode(key.window) if key.window is not None else Window.empty(TENANT)
    pieces = [Batch.decode(piece) for piece in key.pieces]
    made = evaluator.tick(address, entry, memory, held, pieces, at, at, key)
    if made.failed:
        raise RuntimeError(f"TG-bench-evaluation: {address}: {made.failed}")  # it would be cheap
    key.pieces = []
    key.memory = made.memory.encode()
    if made.window is not None:
        key.window = made.window.encode()
