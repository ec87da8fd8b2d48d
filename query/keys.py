"""Under which keys parts of a range query's answer are kept: everything that can change them is in the key."""

from collections.abc import Sequence
from dataclasses import dataclass

from promql.plan import Expr, Select, canonical, kind, walk
from promql.steps import stepwise
from query.asked import Asked, shares
from query.blocks import HOUR_MS, Steps, hulls
from query.cache import CacheKey
from query.inserts import itself
from query.store import Store, Version, Versions, Written

# A writer's clock may be so far ahead of ours.
_AHEAD_MS = 5_000

Told = tuple[tuple[str, Version], ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Makes the keys of an evaluation with this lookback."""

    store: Store
    lookback_ms: int

    def finished(self, asked: Asked, blocks: Sequence[Steps], written: Written | None) -> list[CacheKey]:
        """Return the keys of blocks of finished history: with the versions of all that they read."""
        if not blocks:
            return []
        read = [one for block in blocks for one in hulls(asked.expr, block, self.lookback_ms)]
        metrics = sorted({one.metric for one in read})
        start, end = min(one.start_ms for one in read), max(one.end_ms for one in read)
        versions = self.store.versions(asked.tenant, metrics, start, end, written)
        plan = canonical(asked.expr)
        same = () if written is None else identities(asked, written)
        keys = []
        for block in blocks:
            told = covering(versions, asked.expr, block, self.lookback_ms)
            if ahead(told, asked.now_ms):
                told += tables(asked, {"samples": asked.now_ms} if written is None else written)
            keys.append(self._key(asked, plan, block, told + same + self._closed(asked, block)))
        return keys

    def unversioned(self, asked: Asked, blocks: Sequence[Steps]) -> list[CacheKey]:
        """Return keys that name blocks, whatever their data."""
        plan = canonical(asked.expr)
        return [self._key(asked, plan, block, ()) for block in blocks]

    def passing(self, asked: Asked, pieces: Sequence[Steps], written: Written) -> dict[Steps, CacheKey]:
        """Return the keys of pieces that no version covers: of what was written last."""
        newest = tables(asked, written)
        plan = canonical(asked.expr)
        return {piece: self._key(asked, plan, piece, newest + self._closed(asked, piece)) for piece in pieces}

    def _key(self, asked: Asked, plan: str, block: Steps, versions: Told) -> CacheKey:
        source = ",".join(tier.name for tier in asked.tiers) or "raw"
        return CacheKey(
            asked.tenant, plan, source, block.first_ms, block.last_ms, block.step_ms, self.lookback_ms, versions
        )

    def _closed(self, asked: Asked, block: Steps) -> Told:
        """Return what answers how many steps of a block: rows know no NaN and no staleness marker, raw samples do."""
        if not asked.tiers:
            return ()
        told: list[tuple[str, Version]] = []
        for share in shares(self.store, asked, block, self.lookback_ms):
            # Up to when a tier is closed counts where raw goes on from there.
            ends = [(tier.table, until if share.raw else 0) for tier, until in share.closed] or [("samples", 0)]
            told += [
                (table, (until, "lacking" if share.lacks else "closed", share.steps.size)) for table, until in ends
            ]
        return tuple(told)


def ahead(told: Told, now_ms: int) -> bool:
    """Tell whether a version is of later than now, by a writer whose clock was ahead.

    Writers of earlier versions of Tidegauge do not raise it before their clocks have come so far.
    """
    return any(version[1] == "data" and int(version[2]) > (now_ms + _AHEAD_MS) * 1_000_000 for _, version in told)


def tables(asked: Asked, written: Written) -> Told:
    """Return what was written last into each table that the plan reads."""
    read = {"samples", "series"}
    if asked.tiers:
        read |= {"completeness", *(tier.table for tier in asked.tiers)}
    return tuple((table, (0, "written", written.get(table, 0))) for table in sorted(read))


def identities(asked: Asked, written: Written) -> Told:
    """Return which tables the samples come from: versions are the same in a copy, a restored one and a changed one."""
    read = ["samples", *(tier.table for tier in asked.tiers)]
    return tuple((table, (0, "itself", itself(written.get(table, 0)))) for table in sorted(read))


def cacheable(expr: Expr) -> bool:
    """Tell whether blocks of the plan may be cached.

    Every selector must fix its metric: versions are kept by metric; and series of several names can collide
    after a function took the names away, an error that only an evaluation of the whole range can see (stepwise).
    """
    selects = [node for node in walk(expr) if isinstance(node, Select)]
    fixed = bool(selects) and all(select.metric for select in selects)
    return kind(expr) == "vector" and fixed and stepwise(expr)


def covering(versions: Versions, expr: Expr, block: Steps, lookback_ms: int) -> Told:
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
