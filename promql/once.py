"""What an evaluation reads it reads once, and parts of what it reads whole too out of that, as errors / requests."""

from dataclasses import replace

import numpy as np

from promql.columns import Columns, Matcher, Selector, Source, rows_of
from promql.match import matches_all
from promql.plan import Expr
from promql.pushed import LEAST_STEP_MS
from promql.reads import selectors


def wholes(expr: Expr, start_ms: int, end_ms: int, step_ms: int, lookback_ms: int) -> frozenset[Selector]:
    """Return the selectors of a metric alone over the very time of which a narrower one is read too.

    None where functions may be computed by the source: such a metric may never be read.
    """
    if not 0 < step_ms < LEAST_STEP_MS:
        return frozenset()
    found = set(selectors(expr, start_ms, end_ms, lookback_ms))
    parts = {replace(one, matchers=()) for one in found if one.matchers}
    return frozenset(one for one in found & parts if one.metric)


class Once:
    """A source that reads each selector once. whole: those of a metric that will be read whole anyway."""

    def __init__(self, source: Source, whole: frozenset[Selector]) -> None:
        self._source = source
        self._whole = whole
        self._held: dict[Selector, Columns] = {}

    def select(self, selector: Selector) -> Columns:
        """Return the samples of the matching series, in the order in which the source has them."""
        if selector not in self._held:
            whole = replace(selector, matchers=())
            if selector.matchers and whole in self._whole:
                self._held[selector] = _part(self.select(whole), selector.matchers)
            else:
                self._held[selector] = self._source.select(selector)
        return self._held[selector]


def _part(columns: Columns, matchers: tuple[Matcher, ...]) -> Columns:
    rows = np.flatnonzero([matches_all(matchers, labels) for labels in columns.labels])
    return rows_of(columns, rows, columns.offsets[:-1], columns.offsets[1:])
