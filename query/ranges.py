"""Range queries through the cache: finished history from blocks, the rest evaluated, put together.

A cached answer must equal a fresh one. What makes it so: blocks end before the fresh tail, the time at which every
write raises a version; versions are read before any data is; a step's value depends on that step alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from promql.errors import PromqlError
from promql.evaluate import evaluate
from promql.plan import Expr, Select, canonical, kind, walk
from promql.result import Result, Vector
from promql.steps import stepwise
from query.blocks import HOUR_MS, Steps, finished_blocks, gaps, hulls
from query.cache import Cache, CacheKey
from query.pieces import cut, join
from query.store import Store, Version, Versions
from query.view import EVERYTHING, View


@dataclass(frozen=True, slots=True)
class Ranges:
    """Answers range queries. settled_ms: how old data must be for every write into it to raise a version."""

    store: Store
    cache: Cache
    lookback_ms: int
    settled_ms: int

    def answer(self, tenant: str, expr: Expr, steps: Steps, now_ms: int, view: View = EVERYTHING) -> Result:
        """Return the value of the plan at the steps; now_ms is the wall clock, read before anything else."""
        blocks: list[Steps] = []
        if cacheable(expr) and not view.raw_only:
            blocks = finished_blocks(steps, expr, self.lookback_ms, now_ms - self.settled_ms)
        if not blocks:
            return self._evaluate(tenant, expr, steps, view)
        try:
            return self._through_cache(tenant, expr, steps, blocks)
        except PromqlError:
            # A block may begin before the range, where the query fails; the range itself decides.
            return self._evaluate(tenant, expr, steps)

    def _through_cache(self, tenant: str, expr: Expr, steps: Steps, blocks: Sequence[Steps]) -> Vector:
        keys = self._keys(tenant, expr, blocks)
        held = [
            (block, vector) for block, vector in zip(blocks, self.cache.get(keys), strict=True) if vector is not None
        ]
        pieces: list[tuple[Steps, Vector]] = list(held)
        fresh: list[tuple[CacheKey, Vector]] = []
        for run in gaps(steps, [block for block, _ in held], blocks):
            value = self._evaluate(tenant, expr, run)
            assert isinstance(value, Vector), kind(expr)
            pieces.append((run, value))
            fresh += [
                (key, cut(value, run, block))
                for block, key in zip(blocks, keys, strict=True)
                if run.first_ms <= block.first_ms and block.last_ms <= run.last_ms
            ]
        self.cache.put(fresh)
        return join(pieces, steps)

    def _evaluate(self, tenant: str, expr: Expr, steps: Steps, view: View = EVERYTHING) -> Result:
        source = self.store.source(tenant, steps.size, view)
        return evaluate(expr, source, steps.first_ms, steps.last_ms, steps.step_ms, self.lookback_ms)

    def _keys(self, tenant: str, expr: Expr, blocks: Sequence[Steps]) -> list[CacheKey]:
        read = [one for block in blocks for one in hulls(expr, block, self.lookback_ms)]
        metrics = sorted({one.metric for one in read})
        start, end = min(one.start_ms for one in read), max(one.end_ms for one in read)
        versions = self.store.versions(tenant, metrics, start, end)
        plan = canonical(expr)
        return [
            CacheKey(
                tenant,
                plan,
                "raw",
                block.first_ms,
                block.last_ms,
                block.step_ms,
                self.lookback_ms,
                covering(versions, expr, block, self.lookback_ms),
            )
            for block in blocks
        ]


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
