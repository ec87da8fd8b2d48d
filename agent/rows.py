"""The rows of one target: staleness markers for what vanished, and a steady order of series."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from agent.target import Labels
from schemas.batch import Batch, BatchBuilder, Series
from schemas.nan import STALE

_STALE = float(STALE[0])
_LOOK = 30  # rounds between two looks for series that are away
_FEW = 100  # that are away cost nothing worth a new set
_EACH = 12  # bytes of a series that are no text: its value, its type, the ends of lists

_Identity = tuple[str, Labels]


@dataclass(slots=True)
class _Set:
    """Series that are sent together; a set that is full takes no more."""

    builder: BatchBuilder
    series: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Rows:
    """Turns each round's samples of one target into batches of one row.

    The order of series stays, so that a series set is the same bytes from round to round. Series that have been away
    for `forget_after` rounds are dropped by starting new sets, and so are those that are away for 30 if they are more
    than the others: where pods come and go, a set would hold the pods of hours. set_series, set_bytes: of one set, so
    that a large target is several records of a size that Kafka and the gate take.
    """

    tenant: str
    source: str
    forget_after: int = 360
    set_series: int = 10_000
    set_bytes: int = 4 << 20
    _sets: list[_Set] = field(default_factory=list)
    _live: dict[_Identity, Series] = field(default_factory=dict)
    _last: dict[_Identity, int] = field(default_factory=dict)
    _known: dict[_Identity, tuple[Series, _Set]] = field(default_factory=dict)
    _round: int = 0

    def batches(self, at_ms: int, samples: Sequence[tuple[Series, float]], sent_at: int) -> list[Batch]:
        """Return the batches of the round at `at_ms`, none without samples; each series at most once in samples.

        A series of the last round that is not in samples gets Prometheus's staleness marker, once.
        """
        self._round += 1
        live = {(series.name, series.labels): series for series, _ in samples}
        gone = [(series, _STALE) for key, series in self._live.items() if key not in live]
        if self._changed(live) or self._outgrown(len(live)):
            self._sets, self._known, self._last = [], {}, {}
        rows: dict[int, list[tuple[Series, float]]] = {}
        for sample in (*samples, *gone):
            key = (sample[0].name, sample[0].labels)
            self._last[key] = self._round
            # A marker is of the series as it was, even if it came back with another type in between.
            known = self._known.get(key) or self._known.setdefault(key, (sample[0], self._roomy(sample[0])))
            rows.setdefault(id(known[1]), []).append(sample)
        self._live = live
        made = []
        for one in self._sets:
            if id(one) in rows:
                one.builder.add_scrape(at_ms, rows[id(one)])
                made.append(one.builder.build(sent_at))
        return made

    def _roomy(self, series: Series) -> _Set:
        """Return the set that a new series goes to."""
        texts = (series.name, series.unit, *chain.from_iterable(series.labels))
        size = _EACH + sum(len(text.encode()) + 3 for text in texts)
        last = self._sets[-1] if self._sets else None
        if last is None or last.series >= self.set_series or last.bytes + size > self.set_bytes:
            last = _Set(BatchBuilder(self.tenant, self.source))
            self._sets.append(last)
        last.series += 1
        last.bytes += size
        return last

    def _changed(self, live: dict[_Identity, Series]) -> bool:
        # Type and unit are no part of the identity: the same series with two types would stand twice in the set.
        known = self._known
        return any(key in known and known[key][0] != series for key, series in live.items())

    def _outgrown(self, live: int) -> bool:
        if not self._round % self.forget_after:
            return min(self._last.values(), default=self._round) <= self._round - self.forget_after
        if self._round % _LOOK:
            return False
        away = sum(last <= self._round - _LOOK for last in self._last.values())
        return away > max(live, _FEW)
