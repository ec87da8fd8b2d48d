"""A plan of a tenant, and what answers each of its steps: a tier's rows, raw samples, or the two as one."""

from dataclasses import dataclass, replace

from promql.plan import Expr
from query.blocks import Steps
from query.completeness import kept, reach, whole
from query.store import Store
from query.tiers import begins
from query.view import DAY_MS, View
from schemas.tiers import MINUTE, Tier


@dataclass(frozen=True, slots=True)
class Asked:
    """A plan of a tenant, and from which tiers it is answered (query/tiers.py); now_ms: the wall clock.

    raw_days: how long its raw samples are kept. short: what to say where the tiers do not reach back far enough.
    """

    tenant: str
    expr: Expr
    tiers: tuple[Tier, ...]
    now_ms: int
    view: View
    raw_days: int
    short: tuple[str, ...] = ()
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """Steps that one source answers: tiers, each up to when it is closed, ms, and raw samples from there on.

    lacks: whether raw no longer holds all that the tiers have not closed.
    """

    steps: Steps
    closed: tuple[tuple[Tier, int], ...] = ()
    raw: bool = True
    lacks: bool = False


def shares(store: Store, asked: Asked, steps: Steps, lookback_ms: int) -> list[Share]:
    """Return the steps in order: those that each tier has closed, those that begin before raw does, and raw's."""
    found: list[Share] = []
    rest: Steps | None = steps
    ahead = reach(asked.expr, steps, lookback_ms) if asked.tiers else None
    if ahead is None:
        return [Share(steps)]
    for tier in asked.tiers:
        complete = store.completeness(asked.tenant, asked.now_ms, tier)
        mine = None if complete is None or rest is None else kept(rest, whole(complete, ahead))
        if complete is not None and mine is not None:
            found.append(Share(mine, ((tier, complete.until_ms),), raw=False))
            rest = _behind(mine, steps)
    if rest is not None and (old := _old(asked, rest, lookback_ms)) is not None:
        found.append(_mended(store, asked, old, ahead))
        rest = _behind(old, steps)
    return found if rest is None else [*found, Share(rest)]


def _behind(part: Steps, steps: Steps) -> Steps | None:
    return None if part.last_ms == steps.last_ms else replace(steps, first_ms=part.last_ms + steps.step_ms)


def _old(asked: Asked, steps: Steps, lookback_ms: int) -> Steps | None:
    """Return the steps that begin before what raw still holds."""
    begin = begins(asked.expr, steps, lookback_ms)
    return None if begin is None else kept(steps, _horizon(asked) + steps.first_ms - begin - 1)


def _horizon(asked: Asked) -> int:
    return asked.now_ms - asked.raw_days * DAY_MS


def _mended(store: Store, asked: Asked, steps: Steps, ahead: int) -> Share:
    # Minutes, of which a coarse tier's last window has many, are fewer rows than samples, and may be kept longer.
    closed: list[tuple[Tier, int]] = []
    for tier in dict.fromkeys((asked.tiers[-1], MINUTE)):
        complete = store.completeness(asked.tenant, asked.now_ms, tier)
        if complete is not None and (not closed or complete.until_ms > closed[-1][1]):
            closed.append((tier, complete.until_ms))
    until = closed[-1][1] if closed else 0
    return Share(steps, tuple(closed), lacks=until < min(_horizon(asked), steps.last_ms + ahead))


def short_of(share: Share, asked: Asked) -> list[str]:
    """Return what to say where neither a tier nor raw has all that the steps read."""
    if not share.lacks:
        return []
    days = f"{asked.raw_days} days (TIDEGAUGE_RETENTION)"
    return [f"raw is kept for {days}, and earlier data that no tier has closed are left out [TG-tier-kept]"]
