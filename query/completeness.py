"""What an answer may say about its own completeness: from what the stream has closed and what the steps read.

The stream writes a row of table completeness when it closes a window. Up to the end of the newest one, `until`, which
belongs to it, the tenant's data are complete: what comes for that time from then on is late.
"""

from dataclasses import dataclass

from promql.plan import Expr
from query.blocks import Steps, hulls
from query.encode import stamp
from query.params import rfc3339
from schemas.tiers import MINUTE

HOUR_S = 3600
# Older ranges are long complete: asking would cost them a query for nothing.
RECENT_MS = 86_400_000

PARTIAL = "partial: they may still change"
LEFT_OUT = "left out: complete_only"
TAKEN_EARLIER = "taken from the last complete time instead: complete_only"


@dataclass(frozen=True, slots=True)
class Completeness:
    """until_ms: see above. seen: sources in the newest closed window; expected: those of the hour that ends with it."""

    until_ms: int
    seen: int
    expected: int


def reach(expr: Expr, steps: Steps, lookback_ms: int) -> int | None:
    """Return how far after its own time the last step reads, ms, negative with an offset; None if it reads nothing.

    Without @ it is the same for every step.
    """
    newest = max((one.end_ms for one in hulls(expr, steps, lookback_ms)), default=None)
    return None if newest is None else newest - steps.last_ms


def fixed_reach(complete: Completeness, steps: Steps, reach_ms: int) -> int:
    """Return the reach of a plan with @: every step reads the same times, so that all are complete or none is."""
    return reach_ms if steps.last_ms <= whole(complete, reach_ms) else complete.until_ms - steps.first_ms + 1


def whole(complete: Completeness, reach_ms: int) -> int:
    """Return the newest time, ms, whose evaluation reads complete data only."""
    return complete.until_ms - reach_ms


def kept(steps: Steps, newest_ms: int) -> Steps | None:
    """Return the steps up to newest_ms, None if there are none."""
    if newest_ms < steps.first_ms:
        return None
    count = min(steps.size, (newest_ms - steps.first_ms) // steps.step_ms + 1)
    return Steps(steps.first_ms, steps.first_ms + (count - 1) * steps.step_ms, steps.step_ms)


def completeness_infos(complete: Completeness, steps: Steps, reach_ms: int, fate: str = PARTIAL) -> list[str]:
    """Return what to say of the asked steps. fate: what becomes of those that are not complete."""
    said = []
    newest = whole(complete, reach_ms)
    if steps.last_ms > newest:
        inside = kept(steps, newest)
        first = steps.first_ms if inside is None else inside.last_ms + steps.step_ms
        said.append(f"the data are complete up to {rfc3339(complete.until_ms)}, tier 1m [TG-complete-until]")
        said.append(f"values from {rfc3339(first)} ({stamp(first)}) on are {fate} [TG-partial-from]")
    reads_last = steps.last_ms + reach_ms > complete.until_ms - MINUTE.width_ms
    if reads_last and complete.seen < complete.expected:
        share = complete.seen / complete.expected
        said.append(
            f"in the last complete window {complete.seen} of {complete.expected} sources were seen, "
            f"{share:.4g} of those of the hour [TG-sources-missing]"
        )
    return said
