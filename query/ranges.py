"""Range queries through the cache: finished history from blocks, the rest evaluated, put together.

A cached answer must equal a fresh one. What makes it so: blocks end before the fresh tail, the time at which every
write raises a version; versions are read before any data is; a step's value depends on that step alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from promql.annotations import Annotations
from promql.columns import Source
from promql.errors import PromqlError
from promql.evaluate import MAX_CELLS, evaluate
from promql.plan import Expr, kind
from promql.tiers import RowSource
from query.asked import Asked, Share, shares, short_of
from query.blocks import Steps, finished_blocks, lacking, merged, overlap, within
from query.bodies import Bodies, Body
from query.cache import Cache, CacheKey, NoCache
from query.chain import Chain
from query.errors import UNAVAILABLE, QueryError
from query.flights import Flights
from query.keys import Keys, cacheable
from query.metrics import BODIES, STALE_BLOCKS
from query.parts import Answer, Piece, joined, part_of, scalar, value_bytes
from query.pieces import cut
from query.recent import Recent
from query.spent import check, count_cached, keep, scope, work
from query.store import Store, Written
from query.tiers import aligned, begins, chosen, short_infos, taken_infos
from query.view import EVERYTHING, View
from schemas.retention import Policy


@dataclass(frozen=True, slots=True)
class Ranges:
    """Answers range queries. settled_ms: how old data must be for every write into it to raise a version.

    tails: keeps what is not finished until the next write, bodies whole answers; None: nothing does.
    """

    store: Store
    cache: Cache
    lookback_ms: int
    settled_ms: int
    max_cells: int = MAX_CELLS
    retention: Policy = field(default_factory=lambda: Policy.model_validate({}))
    flights: Flights = field(default_factory=Flights)
    tails: Recent | None = None
    bodies: Bodies | None = None

    @property
    def keys(self) -> Keys:
        """What makes the keys of what is kept."""
        return Keys(self.store, self.lookback_ms)

    def answer(self, tenant: str, expr: Expr, steps: Steps, now_ms: int, view: View = EVERYTHING) -> Answer:
        """Return the value of the plan at the steps; now_ms is the wall clock, read before anything else."""
        asked = self._asked(tenant, expr, steps, now_ms, view)
        return self._answer(asked, steps, self.written(view))

    def instant(self, tenant: str, expr: Expr, time_ms: int, now_ms: int, view: View) -> tuple[Answer, int]:
        """Return the value of the plan at a time, and the time at which it was taken: see query.tiers.aligned."""
        keeps = self.retention.of(tenant)
        at = time_ms if view.raw_only else aligned(expr, time_ms, self.lookback_ms, now_ms, keeps)
        asked = replace(self._asked(tenant, expr, Steps(at, at, 1), now_ms, view), instant=True)
        if at != time_ms and not any(one.closed for one in self._shares(asked, Steps(at, at, 1))):
            # No tier has closed anything yet.
            at = time_ms
            asked = replace(self._asked(tenant, expr, Steps(at, at, 1), now_ms, view), instant=True)
        answer = self._evaluate(asked, Steps(at, at, 1))
        return replace(answer, infos=[*answer.infos, *asked.short, *taken_infos(time_ms, at)]), at

    def body(
        self,
        tenant: str,
        expr: Expr,
        steps: Steps,
        now_ms: int,
        view: View,
        written: Written | None,
        form: tuple[str, Callable[[Answer], Body]],
    ) -> Body:
        """Return the answer in a form, by name and function; written: as written() was when the request came.

        It is the one that was given before, if nothing has been written since into a table that it was made from.
        """
        asked = self._asked(tenant, expr, steps, now_ms, view)
        name, make = form
        if written is None or self.bodies is None:
            return make(self._answer(asked, steps, written))
        key = (name, asked.short, self.keys.passing(asked, [steps], written)[steps])
        held = self.bodies.get(key)
        if held is not None:
            BODIES.labels("hit").inc()
            return held
        BODIES.labels("miss").inc()
        answer = self._answer(asked, steps, written)
        body = make(answer)
        if not answer.stale:
            self.bodies.put(key, body, body.size)
        return body

    def written(self, view: View) -> Written | None:
        """Return what was written last, None if it cannot be told now or nothing is kept by it.

        Read before the versions and the data, so that it is never newer than what is kept under it.
        """
        if self.tails is None or view.raw_only:
            return None
        try:
            return self.store.written()
        except QueryError as error:
            if error.id != UNAVAILABLE:
                raise
            # The cache may still have an answer.
            return None

    def _asked(self, tenant: str, expr: Expr, steps: Steps, now_ms: int, view: View) -> Asked:
        keeps = self.retention.of(tenant)
        tiers = () if view.raw_only else chosen(expr, steps, self.lookback_ms, now_ms, keeps)
        begin = begins(expr, steps, self.lookback_ms)
        short = [] if begin is None else short_infos(begin, tiers[0] if tiers else None, now_ms, keeps)
        return Asked(tenant, expr, tiers, now_ms, view, keeps.raw, tuple(short))

    def _answer(self, asked: Asked, steps: Steps, written: Written | None) -> Answer:
        answer = self._found(asked, steps, written)
        return replace(answer, infos=[*answer.infos, *asked.short])

    def _found(self, asked: Asked, steps: Steps, written: Written | None) -> Answer:
        blocks: list[Steps] = []
        asleep = self.tails is None and isinstance(self.cache, NoCache)
        if cacheable(asked.expr) and not asked.view.raw_only and not asleep:
            blocks = finished_blocks(steps, asked.expr, self.lookback_ms, asked.now_ms - self.settled_ms)
        tail = self.tails is not None and kind(asked.expr) == "vector" and not asked.view.raw_only
        if not blocks and not tail:
            return self._evaluate(asked, steps)
        try:
            return joined(self._through_cache(asked, steps, blocks, written), steps, self.max_cells)
        except PromqlError:
            if not blocks:
                raise
            # A block may begin before the range, where the query fails; the range itself decides.
            return self._evaluate(asked, steps)
        except QueryError as error:
            if error.id != UNAVAILABLE or not blocks:
                raise
            return self._last_known(asked, steps, blocks, error)

    def _through_cache(
        self, asked: Asked, steps: Steps, blocks: Sequence[Steps], written: Written | None
    ) -> list[Piece]:
        keys = dict(zip(blocks, self.keys.finished(asked, blocks, written), strict=True))
        found = zip(blocks, self.cache.get(list(keys.values())), strict=True)
        held = [(steps_, block) for steps_, block in found if block is not None]
        needed = lacking(steps, [block for block, _ in held], blocks)
        loose = [] if written is None else [piece for piece in needed if piece not in keys]
        passing = {} if written is None else self.keys.passing(asked, loose, written)
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
        known = zip(blocks, self.cache.last(self.keys.unversioned(asked, blocks)), strict=True)
        held = [(steps_, block) for steps_, block in known if block is not None]
        count = sum(overlap(block, steps) for block, _ in held)
        if not count:
            raise error
        STALE_BLOCKS.inc(len(held))
        said = f"ClickHouse does not answer: {count} of {steps.size} steps are from the cache and may be outdated"
        rest = "" if count == steps.size else "; the others are missing"
        answer = joined(held, steps, self.max_cells)
        return replace(answer, warnings=[*answer.warnings, f"{said}{rest} [TG-query-stale]"], stale=True)

    def _shares(self, asked: Asked, steps: Steps) -> list[Share]:
        return shares(self.store, asked, steps, self.lookback_ms)

    def _evaluate(self, asked: Asked, steps: Steps) -> Answer:
        """Return the value at the steps: of each tier those that it has closed, the rest from raw."""
        answers = [(share.steps, self._of(asked, share)) for share in self._shares(asked, steps)]
        if len(answers) == 1:
            return answers[0][1]
        answer = joined([part_of(mine, one) for mine, one in answers], steps, self.max_cells)
        return replace(answer, value=scalar(answer.value)) if kind(asked.expr) == "scalar" else answer

    def _of(self, asked: Asked, share: Share) -> Answer:
        said, steps = Annotations(), share.steps
        raw = self.store.source(asked.tenant, steps.size, asked.view)
        with scope():
            value = evaluate(
                asked.expr,
                raw,
                steps.first_ms,
                steps.last_ms,
                0 if asked.instant else steps.step_ms,
                self.lookback_ms,
                annotations=said,
                max_cells=self.max_cells,
                tier=self._rows(asked, share, raw),
                grids=self.store.grids(asked.tenant, asked.view),
                check=check,
                hold=work,
            )
        keep(value_bytes(value))
        return Answer(value, [*said.infos, *short_of(share, asked)], said.warnings)

    def _rows(self, asked: Asked, share: Share, raw: Source) -> RowSource | None:
        tiers = [(self.store.rolled(asked.tenant, share.steps.size, tier), until) for tier, until in share.closed]
        if tiers and share.raw:
            return Chain(tiers, raw)
        return tiers[0][0] if tiers else None
