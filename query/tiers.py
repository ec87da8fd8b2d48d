"""Which tier answers a query: a pure choice by step, range and how long each tier is kept.

A tier is chosen only where its rows answer exactly (promql.tiers): times, ranges and offsets are multiples of its
width. Raw answers short steps, whatever no tier can, and what the stream has not closed yet.
"""

from typing import cast

from promql.plan import Expr
from promql.tiers import answerable
from query.blocks import Steps, hulls
from query.params import rfc3339
from query.view import DAY_MS
from schemas.retention import Class
from schemas.retention import Tier as Name
from schemas.tiers import TIERS, Tier

# From this step on (a day in three hundred points) rows are read instead of samples.
COARSE_STEP_MS = 300_000


def chosen(expr: Expr, steps: Steps, lookback_ms: int, now_ms: int, keeps: Class) -> tuple[Tier, ...]:
    """Return the tiers that answer, coarsest first; what the first has not closed is asked of the next, then of raw.

    keeps: how long the tenant's tiers are kept. Below COARSE_STEP_MS a tier answers only what raw no longer holds.
    """
    step = steps.step_ms if steps.size > 1 else 0
    able = [tier for tier in reversed(TIERS) if answerable(expr, tier.width_ms, steps.first_ms, step)]
    begin = begins(expr, steps, lookback_ms)
    old = begin is not None and begin < now_ms - keeps.raw * DAY_MS
    if steps.size < 2 or steps.step_ms < COARSE_STEP_MS:
        if not old:
            return ()
        able = able[-1:] if steps.size > 1 else able
    whole = [tier for tier in able if begin is None or begin >= now_ms - _days(keeps, tier) * DAY_MS]
    able = whole or able[:1]  # none reaches back far enough: the longest kept
    return (able[0], able[-1]) if len(able) > 1 else tuple(able)


def aligned(expr: Expr, time_ms: int, lookback_ms: int, now_ms: int, keeps: Class) -> int:
    """Return the newest time up to this one at which a tier answers what raw no longer holds; else this one."""
    begin = begins(expr, Steps(time_ms, time_ms, 1), lookback_ms)
    if begin is None or begin >= now_ms - keeps.raw * DAY_MS:
        return time_ms
    times = [(tier, time_ms - time_ms % tier.width_ms) for tier in TIERS]
    able = [(tier, at) for tier, at in times if answerable(expr, tier.width_ms, at, 0)]
    whole = [at for tier, at in able if begin - (time_ms - at) >= now_ms - _days(keeps, tier) * DAY_MS]
    return next(iter(whole), able[-1][1] if able else time_ms)


def begins(expr: Expr, steps: Steps, lookback_ms: int) -> int | None:
    """Return the earliest time that the steps read, ms; None if they read nothing."""
    return min((one.start_ms for one in hulls(expr, steps, lookback_ms)), default=None)


def _days(keeps: Class, tier: Tier) -> int:
    return keeps.days(cast(Name, tier.name))


def short_infos(begin_ms: int, first: Tier | None, now_ms: int, keeps: Class) -> list[str]:
    """Return what to say where the query begins before the oldest data of what answers it."""
    name = "raw" if first is None else first.name
    days = keeps.raw if first is None else _days(keeps, first)
    if begin_ms >= now_ms - days * DAY_MS:
        return []
    why = (
        ""
        if first is not None
        else ("; a tier that is kept longer answers where start, step, ranges and offsets are multiples of its width")
    )
    return [f"{name} is kept for {days} days (TIDEGAUGE_RETENTION), and earlier data are left out{why} [TG-tier-kept]"]


def taken_infos(time_ms: int, at_ms: int) -> list[str]:
    """Return what to say of an instant that is answered at another time than it asks for."""
    if time_ms == at_ms:
        return []
    why = "of what raw no longer holds tiers answer at multiples of their width"
    return [f"taken at {rfc3339(at_ms)} instead of {rfc3339(time_ms)}: {why} [TG-tier-time]"]
