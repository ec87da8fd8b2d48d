"""Which steps of a range query may come from the cache: a pure cut of the range into aligned blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from promql.columns import Int64s, Selector
from promql.evaluate import selectors
from promql.plan import Expr

HOUR_MS = 3_600_000
# A block holds at least five minutes or so many steps, whichever is longer in steps. What is not finished is evaluated
# with every write, and the range of an hour has no finished hour in it.
LEAST_MS = 300_000
LEAST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps first, first + step, …, last, in ms."""

    first_ms: int
    last_ms: int
    step_ms: int

    @property
    def size(self) -> int:
        """How many."""
        return (self.last_ms - self.first_ms) // self.step_ms + 1

    def times(self) -> Int64s:
        """Return int64 [size], ms."""
        return self.first_ms + np.arange(self.size, dtype=np.int64) * self.step_ms


def block_steps(step_ms: int) -> int:
    """Return how many steps a block has, for every query of that step."""
    return max(LEAST_STEPS, LEAST_MS // step_ms)


def finished_blocks(steps: Steps, expr: Expr, lookback_ms: int, settled_ms: int) -> list[Steps]:
    """Return the whole blocks that overlap the steps and read nothing newer than settled_ms, in order.

    Blocks are aligned to 1970 plus the range's phase, so that equal dashboards a minute apart share them. The first
    one may begin before the steps.
    """
    span = block_steps(steps.step_ms) * steps.step_ms
    phase = steps.first_ms % steps.step_ms
    first = (steps.first_ms - phase) // span * span + phase
    found = []
    while first <= steps.last_ms:
        block = Steps(first, first + span - steps.step_ms, steps.step_ms)
        if newest(expr, block, lookback_ms) > settled_ms:
            break
        found.append(block)
        first += span
    return found


def hulls(expr: Expr, steps: Steps, lookback_ms: int) -> list[Selector]:
    """Return what the steps read."""
    return selectors(expr, steps.first_ms, steps.last_ms, lookback_ms)


def newest(expr: Expr, steps: Steps, lookback_ms: int) -> int:
    """Return the newest time the steps read, ms."""
    return max((one.end_ms for one in hulls(expr, steps, lookback_ms)), default=steps.last_ms)


def gaps(steps: Steps, held: Sequence[Steps], blocks: Sequence[Steps]) -> list[Steps]:
    """Return the steps to evaluate: all that `held` leaves, each run of neighbours as one."""
    return merged(lacking(steps, held, blocks))


def lacking(steps: Steps, held: Sequence[Steps], blocks: Sequence[Steps]) -> list[Steps]:
    """Return what `held` leaves of the steps: blocks, and pieces that are none.

    A block is evaluated whole, to be cached, if at least half of it was asked for, or twice as much in all: else only
    what was asked for.
    """
    have = set(held)
    end = blocks[-1].last_ms + steps.step_ms if blocks else steps.first_ms
    pieces = []
    for block in blocks:
        if block not in have:
            asked = Steps(max(block.first_ms, steps.first_ms), min(block.last_ms, steps.last_ms), steps.step_ms)
            pieces.append(block if 2 * asked.size >= block.size or steps.size >= 2 * block.size else asked)
    if end <= steps.last_ms:
        pieces.append(Steps(end, steps.last_ms, steps.step_ms))
    return pieces


def merged(pieces: Sequence[Steps]) -> list[Steps]:
    """Return the pieces, in order of time and of one step, with neighbours put together."""
    runs: list[Steps] = []
    for piece in pieces:
        if runs and runs[-1].last_ms + piece.step_ms == piece.first_ms:
            runs[-1] = Steps(runs[-1].first_ms, piece.last_ms, piece.step_ms)
        else:
            runs.append(piece)
    return runs


def within(block: Steps, run: Steps) -> bool:
    """Tell whether all steps of a block are in the run."""
    return run.first_ms <= block.first_ms and block.last_ms <= run.last_ms


def overlap(block: Steps, steps: Steps) -> int:
    """Return how many of the steps are in the block."""
    low, high = max(block.first_ms, steps.first_ms), min(block.last_ms, steps.last_ms)
    return max(0, (high - low) // steps.step_ms + 1)
