"""Range functions of selectors computed where the samples are, so that only the values at the steps travel.

It pays where a step has many samples: see pushable(). Everything around the function is evaluated here as ever.
"""

from dataclasses import dataclass
from typing import Protocol

from promql.columns import Floats, Labels, Mask, Selector
from promql.grid import Grid
from promql.plan import Window
from promql.result import Vector
from promql.series import distinct, drop_name

# With a sample each 15 s these are 20 a step, and 120 a window. Below, fetching is as fast (docs/query.md).
LEAST_STEP_MS = 300_000
LEAST_RANGE_MS = 1_800_000

# Without rate, increase, sum and avg: there ClickHouse keeps running sums over the steps, and after an infinity, or
# large values beside small ones, gives other answers than Prometheus, and others from another first step on.
FUNCTIONS = frozenset(
    (
        *("changes", "count_over_time", "delta", "idelta", "irate", "last_over_time"),
        *("max_over_time", "min_over_time", "present_over_time", "resets"),
    )
)
_KEEP_NAME = frozenset({"last_over_time"})


@dataclass(frozen=True, slots=True)
class Cells:
    """A function's values of S series at T steps: values [S, T], present where there is one."""

    labels: list[Labels]
    values: Floats
    present: Mask


class GridSource(Protocol):
    """Where samples lie and range functions can be computed."""

    def cells(self, function: str, selector: Selector, grid: Grid, range_ms: int) -> Cells | None:
        """Return one of FUNCTIONS of the windows (t - range, t] at every t of the grid; None if that cannot be done.

        Staleness markers are no samples. Every step's value depends on its own window alone.
        """
        ...


def pushable(function: str, window: Window, grid: Grid) -> bool:
    """Tell whether it is worth it. By function, step and range alone: a part of a range is answered as the whole is."""
    if function not in FUNCTIONS or window.select.at is not None:
        return False
    if grid.step_ms % 1000 or window.range_ms % 1000:
        return False
    return grid.step_ms >= LEAST_STEP_MS if grid.step_ms > 0 else window.range_ms >= LEAST_RANGE_MS


def over_grid(function: str, window: Window, source: GridSource, grid: Grid) -> Vector | None:
    """Return a range function of a selector, computed by the source; None if it cannot."""
    select = window.select
    first, last = grid.start_ms - select.offset_ms, grid.last_ms - select.offset_ms
    selector = Selector(select.metric, select.matchers, first - window.range_ms, last)
    there = source.cells(function, selector, Grid(first, last, grid.step_ms, grid.lookback_ms), window.range_ms)
    if there is None:
        return None
    labels = there.labels if function in _KEEP_NAME else drop_name(there.labels)
    return distinct(Vector(labels, there.values, there.present))
