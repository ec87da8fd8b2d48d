"""Range queries through the cache: finished history from blocks, the rest evaluated, put together.

A cached answer must equal a fresh one. What makes it so: blocks end before the fresh tail, the time at which every
write raises a version; versions are read before any data is; a step's value depends on that step alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from promql.annotations import Annotations
from promql.errors import PromqlError
from promql.evaluate import MAX_CELLS, evaluate
from promql.plan import Expr, Select, canonical, kind, walk
from promql.result import Result, Vector
from promql.steps import stepwise
from query.blocks import HOUR_MS, Steps, finished_blocks, gaps, hulls, merged
from query.cache import Block, Cache, CacheKey
from query.errors import UNAVAILABLE, QueryError
from query.flights import Flights
from query.metrics import STALE_BLOCKS
from query.pieces import cut, join
from query.spent import count_cached
from query.store import Store, Version, Versions
from query.view import EVERYTHING, View


@dataclass(frozen=True, slots=True)
class Answer:
    """The value at the steps, and what a reader must know of it."""

    value: Result
    infos: Sequence[str] = ()
    warnings: Sequence[str] = ()


Piece = tuple[Steps, Block]


@dataclass(frozen=True, slots=True)
class Ranges:
    """Answers range queries. settled_ms: how old data must be for every write into it to raise a version."""

    store: Store
    cache: Cache
    lookback_ms: int
    settled_ms: int
    max_cells: int = MAX_CELLS
    flights: Flights = field(default_factory=Flights)

    def answer(self, tenant: str, expr: Expr, steps: Steps, now_ms: int, view: View = EVERYTHING) -> Answer:
        """Return the value of the plan at the steps; now_ms is the wall clock, read before anything else."""
        blocks: list[Steps] = []
        if cacheable(expr) and not view.raw_only:
            blocks = finished_blocks(steps, expr, self.lookback_ms, now_ms - self.settled_ms)
        if not blocks:
            return self._evaluate(tenant, expr, steps, view)
        try:
            return joined(self._through_cache(tenant, expr, steps, blocks), steps)
        except PromqlError:
            # A block may begin before the range, where the query fails; the range itself decides.
            return self._evaluate(tenant, expr, steps)
        except QueryError as error:
            if error.id != UNAVAILABLE:
                raise
            return self._last_known(tenant, expr, steps, blocks, error)

    def _through_cache(self, tenant: str, expr: Expr, steps: Steps, blocks: Sequence[Steps]) -> list[Piece]:
        keys = dict(zip(blocks, self._keys(tenant, expr, blocks), strict=True))
        found = zip(blocks, self.cache.get(list(keys.values())), strict=True)
        held = [(steps_, block) for steps_, block in found if block is not None]
        count_cached(len(held))
        have = [block for block, _ in held]
        missing = [block for run in gaps(steps, have, blocks) for block in blocks if within(block, run)]
        flying, theirs = self.flights.claim(keys[block] for block in missing)
        waiting = [(block, theirs[keys[block]]) for block in missing if keys[block] in theirs]
        try:
            pieces = self._evaluated(tenant, expr, gaps(steps, have + [block for block, _ in waiting], blocks))
            fresh = [
                (keys[block], replace(piece, vector=cut(piece.vector, run, block)))
                for run, piece in pieces
                for block in blocks
                if within(block, run)
            ]
            for key, block in fresh:
                self.flights.end(key, block)
                flying.remove(key)
            self.cache.put(fresh)
        finally:
            # Whoever waits for a block that there is none of goes on alone.
            for key in flying:
                self.flights.end(key, None)
        landed = [(place, self.flights.wait(flight)) for place, flight in waiting]
        pieces += [(place, block) for place, block in landed if block is not None]
        lost = [
            Steps(max(place.first_ms, steps.first_ms), min(place.last_ms, steps.last_ms), steps.step_ms)
            for place, block in landed
            if block is None
        ]
        pieces += self._evaluated(tenant, expr, merged(lost))
        return held + pieces

    def _evaluated(self, tenant: str, expr: Expr, runs: Sequence[Steps]) -> list[Piece]:
        pieces = []
        for run in runs:
            answer = self._evaluate(tenant, expr, run)
            assert isinstance(answer.value, Vector), kind(expr)
            pieces.append((run, Block(answer.value, tuple(answer.infos), tuple(answer.warnings))))
        return pieces

    def _last_known(self, tenant: str, expr: Expr, steps: Steps, blocks: Sequence[Steps], error: QueryError) -> Answer:
        """Return what the cache held last, with a warning; raises the error if it holds nothing of the steps."""
        keys = [self._key(tenant, canonical(expr), block, ()) for block in blocks]
        known = zip(blocks, self.cache.last(keys), strict=True)
        held = [(steps_, block) for steps_, block in known if block is not None]
        count = sum(overlap(block, steps) for block, _ in held)
        if not count:
            raise error
        STALE_BLOCKS.inc(len(held))
        said = f"ClickHouse does not answer: {count} of {steps.size} steps are from the cache and may be outdated"
        rest = "" if count == steps.size else "; the others are missing"
        answer = joined(held, steps)
        return replace(answer, warnings=[*answer.warnings, f"{said}{rest} [TG-query-stale]"])

    def _evaluate(self, tenant: str, expr: Expr, steps: Steps, view: View = EVERYTHING) -> Answer:
        source = self.store.source(tenant, steps.size, view)
        said = Annotations()
        value = evaluate(
            expr,
            source,
            steps.first_ms,
            steps.last_ms,
            steps.step_ms,
            self.lookback_ms,
            annotations=said,
            max_cells=self.max_cells,
        )
        return Answer(value, said.infos, said.warnings)

    def _keys(self, tenant: str, expr: Expr, blocks: Sequence[Steps]) -> list[CacheKey]:
        read = [one for block in blocks for one in hulls(expr, block, self.lookback_ms)]
        metrics = sorted({one.metric for one in read})
        start, end = min(one.start_ms for one in read), max(one.end_ms for one in read)
        versions = self.store.versions(tenant, metrics, start, end)
        plan = canonical(expr)
        return [self._key(tenant, plan, block, covering(versions, expr, block, self.lookback_ms)) for block in blocks]

    def _key(self, tenant: str, plan: str, block: Steps, versions: tuple[tuple[str, Version], ...]) -> CacheKey:
        return CacheKey(tenant, plan, "raw", block.first_ms, block.last_ms, block.step_ms, self.lookback_ms, versions)


def joined(pieces: Sequence[Piece], steps: Steps) -> Answer:
    """Return pieces as one answer, its notes in one order whatever the pieces were."""
    value = join([(have, block.vector) for have, block in pieces], steps)
    infos = sorted({info for _, block in pieces for info in block.infos})
    return Answer(value, infos, sorted({one for _, block in pieces for one in block.warnings}))


def within(block: Steps, run: Steps) -> bool:
    """Tell whether all steps of a block are in the run."""
    return run.first_ms <= block.first_ms and block.last_ms <= run.last_ms


def overlap(block: Steps, steps: Steps) -> int:
    """Return how many of the steps are in the block."""
    low, high = max(block.first_ms, steps.first_ms), min(block.last_ms, steps.last_ms)
    return max(0, (high - low) // steps.step_ms + 1)


def cacheable(expr: Expr) -> bool:
    """Tell whether blocks of the plan may be cached.

    Every selector must fix its metric: versions are kept by metric; and series of several names can collide
    after a function took the names away, an error that only an evaluation of the whole range can see (stepwise).
    """
    selects = [node for node in walk(expr) if isinstance(node, Select)]
    fixed = bool(selects) and all(select.metric for select in selects)
    return kind(expr) == "vector" and fixed and stepwise(expr)


def covering(versions: Versions, expr: Expr, block: Steps, lookback_ms: int) -> tuple[tuple[str, Version], ...]:
    """Return the versions of all that a block reads: its hours of data, and how many series were first seen by its end.

    A series is never unseen, so their number rises with each one that appears.
    """
    chosen = set()
    for one in hulls(expr, block, lookback_ms):
        known = 0
        for hour, what, version in versions.get(one.metric, []):
            if hour * 1000 > one.end_ms:
                continue
            if what == "series":
                known += version
            elif hour * 1000 + HOUR_MS > one.start_ms:
                chosen.add((one.metric, (hour, what, version)))
        chosen.add((one.metric, (one.end_ms // 1000, "series", known)))
    return tuple(sorted(chosen))
