"""Range queries through the cache: finished history from blocks, the rest evaluated, put together.

A cached answer must equal a fresh one. What makes it so: blocks end before the fresh tail, the time at which every
write raises a version; versions are read before any data is; a step's value depends on that step alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from promql.annotations import Annotations
from promql.digested import approximate
from promql.errors import PromqlError
from promql.evaluate import MAX_CELLS, evaluate
from promql.plan import Expr, Select, canonical, kind, walk
from promql.result import Result, Vector
from promql.steps import stepwise
from query.blocks import HOUR_MS, Steps, finished_blocks, hulls, lacking, merged, overlap, within
from query.cache import Block, Cache, CacheKey, NoCache
from query.completeness import kept, reach, whole
from query.errors import UNAVAILABLE, QueryError
from query.flights import Flights
from query.metrics import STALE_BLOCKS
from query.pieces import cut, join
from query.recent import Recent
from query.spent import count_cached
from query.store import Store, Version, Versions, Written
from query.tiers import begins, chosen, short_infos
from query.view import EVERYTHING, View
from schemas.retention import Policy
from schemas.tiers import Tier


@dataclass(frozen=True, slots=True)
class Answer:
    """The value at the steps, and what a reader must know of it."""

    value: Result
    infos: Sequence[str] = ()
    warnings: Sequence[str] = ()


Piece = tuple[Steps, Block]


@dataclass(frozen=True, slots=True)
class Asked:
    """A plan of a tenant, and from which tiers it is answered (query/tiers.py); now_ms: the wall clock."""

    tenant: str
    expr: Expr
    tiers: tuple[Tier, ...]
    now_ms: int
    view: View


@dataclass(frozen=True, slots=True)
class Ranges:
    """Answers range queries. settled_ms: how old data must be for every write into it to raise a version.

    tails: keeps what is not finished until the next write; None: nothing does.
    """

    store: Store
    cache: Cache
    lookback_ms: int
    settled_ms: int
    max_cells: int = MAX_CELLS
    retention: Policy = field(default_factory=lambda: Policy.model_validate({}))
    flights: Flights = field(default_factory=Flights)
    tails: Recent | None = None

    def answer(self, tenant: str, expr: Expr, steps: Steps, now_ms: int, view: View = EVERYTHING) -> Answer:
        """Return the value of the plan at the steps; now_ms is the wall clock, read before anything else."""
        keeps = self.retention.of(tenant)
        tiers = () if view.raw_only else chosen(expr, steps, self.lookback_ms, now_ms, keeps)
        answer = self._answer(Asked(tenant, expr, tiers, now_ms, view), steps)
        begin = begins(expr, steps, self.lookback_ms)
        if begin is None:
            return answer
        short = short_infos(begin, tiers[0] if tiers else None, now_ms, keeps)
        return replace(answer, infos=[*answer.infos, *short])

    def _answer(self, asked: Asked, steps: Steps) -> Answer:
        blocks: list[Steps] = []
        asleep = self.tails is None and isinstance(self.cache, NoCache)
        if cacheable(asked.expr) and not asked.view.raw_only and not asleep:
            blocks = finished_blocks(steps, asked.expr, self.lookback_ms, asked.now_ms - self.settled_ms)
        tail = self.tails is not None and kind(asked.expr) == "vector" and not asked.view.raw_only
        if not blocks and not tail:
            return self._evaluate(asked, steps)
        try:
            return joined(self._through_cache(asked, steps, blocks), steps)
        except PromqlError:
            if not blocks:
                raise
            # A block may begin before the range, where the query fails; the range itself decides.
            return self._evaluate(asked, steps)
        except QueryError as error:
            if error.id != UNAVAILABLE or not blocks:
                raise
            return self._last_known(asked, steps, blocks, error)

    def _through_cache(self, asked: Asked, steps: Steps, blocks: Sequence[Steps]) -> list[Piece]:
        # Before the versions and the data, so that it is never newer than what is kept under it.
        written = None if self.tails is None else self.store.written()
        keys = dict(zip(blocks, self._keys(asked, blocks, written), strict=True))
        found = zip(blocks, self.cache.get(list(keys.values())), strict=True)
        held = [(steps_, block) for steps_, block in found if block is not None]
        needed = lacking(steps, [block for block, _ in held], blocks)
        passing = self._passing(asked, [piece for piece in needed if piece not in keys], written)
        keys |= passing
        held += self._kept(passing)
        count_cached(len(held))
        there = {place for place, _ in held}
        missing = [piece for piece in needed if piece not in there]
        flying, theirs = self.flights.claim(keys[piece] for piece in missing if piece in keys)
        waiting = [(piece, theirs[keys[piece]]) for piece in missing if piece in keys and keys[piece] in theirs]
        mine = [piece for piece in missing if piece not in dict(waiting)]
        try:
            pieces = self._evaluated(asked, merged(mine))
            fresh = {
                part: replace(piece, vector=cut(piece.vector, run, part))
                for run, piece in pieces
                for part in mine
                if part in keys and within(part, run)
            }
            for part, block in fresh.items():
                self.flights.end(keys[part], block)
                flying.remove(keys[part])
                if part in passing and self.tails is not None:
                    self.tails.put(keys[part], block)
            if lasting := [(keys[part], block) for part, block in fresh.items() if part not in passing]:
                self.cache.put(lasting)
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
        pieces += self._evaluated(asked, merged(lost))
        return held + pieces

    def _passing(self, asked: Asked, pieces: Sequence[Steps], written: Written | None) -> dict[Steps, CacheKey]:
        """Return the keys of pieces that no version covers: of what was written last."""
        if written is None:
            return {}
        read = {"samples", "series"}
        if asked.tiers:
            read |= {"completeness", *(tier.table for tier in asked.tiers)}
        newest: tuple[tuple[str, Version], ...] = tuple(
            (table, (0, "written", written.get(table, 0))) for table in sorted(read)
        )
        plan = canonical(asked.expr)
        return {piece: self._key(asked, plan, piece, newest + self._closed(asked, piece)) for piece in pieces}

    def _kept(self, keys: Mapping[Steps, CacheKey]) -> list[Piece]:
        """Return the pieces that are as they were since the last write."""
        if self.tails is None:
            return []
        found = ((piece, self.tails.get(key)) for piece, key in keys.items())
        return [(piece, block) for piece, block in found if block is not None]

    def _evaluated(self, asked: Asked, runs: Sequence[Steps]) -> list[Piece]:
        return [part_of(run, self._evaluate(asked, run)) for run in runs]

    def _last_known(self, asked: Asked, steps: Steps, blocks: Sequence[Steps], error: QueryError) -> Answer:
        """Return what the cache held last, with a warning; raises the error if it holds nothing of the steps."""
        keys = [self._key(asked, canonical(asked.expr), block, ()) for block in blocks]
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

    def _evaluate(self, asked: Asked, steps: Steps) -> Answer:
        """Return the value at the steps: of each tier those that it has closed, the rest from raw."""
        pieces: list[Piece] = []
        rest = steps
        ahead = reach(asked.expr, steps, self.lookback_ms) if asked.tiers else None
        for tier in asked.tiers:
            complete = self.store.completeness(asked.tenant, asked.now_ms, tier)
            mine = kept(rest, whole(complete, ahead)) if complete is not None and ahead is not None else None
            if mine is None:
                continue
            pieces.append(part_of(mine, self._of(asked, mine, tier)))
            if mine.last_ms == rest.last_ms:
                return joined(pieces, steps)
            rest = replace(rest, first_ms=mine.last_ms + rest.step_ms)
        answer = self._of(asked, rest, None)
        return joined([*pieces, part_of(rest, answer)], steps) if pieces else answer

    def _of(self, asked: Asked, steps: Steps, tier: Tier | None) -> Answer:
        said = Annotations()
        value = evaluate(
            asked.expr,
            self.store.source(asked.tenant, steps.size, asked.view),
            steps.first_ms,
            steps.last_ms,
            steps.step_ms,
            self.lookback_ms,
            annotations=said,
            max_cells=self.max_cells,
            tier=None if tier is None else self.store.rolled(asked.tenant, steps.size, tier),
        )
        return Answer(value, said.infos, said.warnings)

    def _keys(self, asked: Asked, blocks: Sequence[Steps], written: Written | None) -> list[CacheKey]:
        if not blocks:
            return []
        read = [one for block in blocks for one in hulls(asked.expr, block, self.lookback_ms)]
        metrics = sorted({one.metric for one in read})
        start, end = min(one.start_ms for one in read), max(one.end_ms for one in read)
        versions = self.store.versions(asked.tenant, metrics, start, end, written)
        plan = canonical(asked.expr)
        return [
            self._key(
                asked, plan, block, covering(versions, asked.expr, block, self.lookback_ms) + self._closed(asked, block)
            )
            for block in blocks
        ]

    def _key(self, asked: Asked, plan: str, block: Steps, versions: tuple[tuple[str, Version], ...]) -> CacheKey:
        source = ",".join(tier.name for tier in asked.tiers) or "raw"
        return CacheKey(
            asked.tenant, plan, source, block.first_ms, block.last_ms, block.step_ms, self.lookback_ms, versions
        )

    def _closed(self, asked: Asked, block: Steps) -> tuple[tuple[str, Version], ...]:
        """Return how many steps of a block each tier has closed: digests there, samples elsewhere, of other values."""
        if not asked.tiers or not approximate(asked.expr):
            return ()
        ahead = reach(asked.expr, block, self.lookback_ms)
        told: list[tuple[str, Version]] = []
        for tier in asked.tiers:
            complete = self.store.completeness(asked.tenant, asked.now_ms, tier)
            mine = None if complete is None or ahead is None else kept(block, whole(complete, ahead))
            told.append((tier.table, (0, "closed", 0 if mine is None else mine.size)))
        return tuple(told)


def part_of(steps: Steps, answer: Answer) -> Piece:
    """Return an answer at some of the steps as a part of one; its value is a vector."""
    assert isinstance(answer.value, Vector), type(answer.value)
    return steps, Block(answer.value, tuple(answer.infos), tuple(answer.warnings))


def joined(pieces: Sequence[Piece], steps: Steps) -> Answer:
    """Return pieces as one answer, its notes in one order whatever the pieces were."""
    value = join([(have, block.vector) for have, block in pieces], steps)
    infos = sorted({info for _, block in pieces for info in block.infos})
    return Answer(value, infos, sorted({one for _, block in pieces for one in block.warnings}))


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
