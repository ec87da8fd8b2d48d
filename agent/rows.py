"""The rows of one target: staleness markers for what vanished, and a steady order of series."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.target import Labels
from schemas.batch import Batch, BatchBuilder, Series
from schemas.nan import STALE

_STALE = float(STALE[0])

_Identity = tuple[str, Labels]


@dataclass(slots=True)
class Rows:
    """Turns each round's samples of one target into a batch of one row.

    The order of series stays, so that the series set is the same bytes from round to round. Series that have been
    away for `forget_after` rounds are dropped from it by starting a new builder.
    """

    tenant: str
    source: str
    forget_after: int = 360
    _builder: BatchBuilder | None = None
    _live: dict[_Identity, Series] = field(default_factory=dict)
    _last: dict[_Identity, int] = field(default_factory=dict)
    _known: dict[_Identity, Series] = field(default_factory=dict)
    _round: int = 0

    def batch(self, at_ms: int, samples: Sequence[tuple[Series, float]], sent_at: int) -> Batch:
        """Return the batch of the round at `at_ms`; each series at most once in samples.

        A series of the last round that is not in samples gets Prometheus's staleness marker, once.
        """
        self._round += 1
        live = {(series.name, series.labels): series for series, _ in samples}
        gone = [(series, _STALE) for key, series in self._live.items() if key not in live]
        if self._builder is None or self._changed(live) or self._outgrown():
            self._builder = BatchBuilder(self.tenant, self.source)
            self._known = {}
            self._last = {}
        for key, series in live.items():
            self._known[key] = series
            self._last[key] = self._round
        for series, _ in gone:
            key = (series.name, series.labels)
            # A marker is of the series as it was, even if it came back with another type in between.
            self._known.setdefault(key, series)
            self._last[key] = self._round
        self._live = live
        self._builder.add_scrape(at_ms, [*samples, *gone])
        return self._builder.build(sent_at)

    def _changed(self, live: dict[_Identity, Series]) -> bool:
        # Type and unit are no part of the identity: the same series with two types would stand twice in the set.
        return any(self._known.get(key, series) != series for key, series in live.items())

    def _outgrown(self) -> bool:
        if self._round % self.forget_after:
            return False
        return min(self._last.values(), default=self._round) <= self._round - self.forget_after
