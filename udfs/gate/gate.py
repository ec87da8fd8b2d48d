"""The gate: one record of metrics.raw in, batches for metrics.valid and refusals for metrics.rejected out.

Design: enter (is it a batch?) → admission (which series, cached by set) → clock (which samples) → one batch a shard,
of plain samples or of distributions (distribution).
"Now" is the broker's stamp of the record, an argument: a replay judges as the first run did. Whatever is refused is
counted in a refusal; its neighbours pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from schemas.batch import Batch, Int64s, UInt32s
from schemas.codec import CodecError
from schemas.nan import Floats, Mask, canonical, is_missing
from schemas.reason import Reason
from schemas.topics import RULE_SOURCE
from udfs.gate.admission import Admission, Admissions, Part
from udfs.gate.distribution import distributions, plain
from udfs.gate.entry import enter, refusal_of
from udfs.gate.limits import Limits
from udfs.gate.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Passed:
    """One record for metrics.valid; event_time is its Kafka timestamp, ms since 1970 UTC."""

    key: str
    batch: Batch
    event_time: int


@dataclass(frozen=True, slots=True)
class Refused:
    """One refusal for metrics.rejected."""

    tenant: str
    source: str
    refusal: Refusal


@dataclass(slots=True)
class Gate:
    """Holds nothing but a cache: two gates answer alike."""

    shards: int
    limits: Limits
    _admissions: Admissions = field(init=False)

    def __post_init__(self) -> None:
        self._admissions = Admissions(self.shards, self.limits)

    def judge(self, record: bytes, received_at: int) -> Iterator[Passed | Refused]:
        """Yield what becomes of a record that the broker stamped with received_at (ms since 1970 UTC)."""
        batch = enter(record, self.limits)
        if isinstance(batch, Refusal):
            yield Refused("", "", batch)
            return
        try:
            admission = self._admissions.of(batch.tenant, batch.series_set)
        except CodecError as error:
            refusal = refusal_of(error, record)
            refusal.samples = batch.values.size
            yield Refused(batch.tenant, batch.source, refusal)
            return
        on_time, untimely = self._clock(batch, received_at)
        misfit = _misfit(batch, admission, on_time)
        if misfit is not None and batch.index is None:
            yield Refused(batch.tenant, batch.source, misfit)
            return
        for refusal in [*filter(None, [misfit]), *untimely, *_refused_series(batch, admission, on_time)]:
            yield Refused(batch.tenant, batch.source, refusal)
        yield from self._passed(batch, admission, on_time, received_at)

    def _clock(self, batch: Batch, received_at: int) -> tuple[Mask, list[Refusal]]:
        """Tell which timestamps are acceptable, and refuse the others."""
        stamps = batch.timestamps
        newest = received_at + self.limits.future_grace_s * 1000
        oldest = received_at - self.limits.tolerance_s * 1000
        future, old = stamps > newest, stamps < oldest
        refusals = []
        for mask, reason, limit in (
            (future, Reason.TOO_FUTURE, f"{self.limits.future_grace_s} s ahead"),
            (old, Reason.TOO_OLD, f"{self.limits.tolerance_s} s behind"),
        ):
            if mask.any():
                worst = int(stamps[mask].max() if reason is Reason.TOO_FUTURE else stamps[mask].min())
                value = f"{worst} ms, {(worst - received_at) / 1000:+.0f} s from the broker's clock"
                refusals.append(Refusal(reason, value, limit, samples=_count(batch, mask)))
        return ~(future | old), refusals

    def _passed(
        self, batch: Batch, admission: Admission, on_time: Mask, received_at: int
    ) -> Iterator[Passed | Refused]:
        stamps, values, index, weights = batch.timestamps, batch.values, batch.index, batch.weights
        if not on_time.all():
            stamps, values = stamps[on_time], values[on_time]
            index = None if index is None else index[on_time]
            weights = None if weights is None else weights[on_time]
        if not len(stamps):
            return
        values = canonical(values)
        for part in admission.parts:
            sub = _part(batch, part, admission.width, stamps, values, index, weights)
            sub, refusals = distributions(sub, self.limits) if part.distributions else plain(sub)
            for refusal in refusals:
                yield Refused(batch.tenant, batch.source, refusal)
            sub.received_at = received_at
            if len(sub.timestamps):
                yield Passed(f"{batch.tenant}/{part.shard}", sub, _event_time(sub, received_at))


def _event_time(batch: Batch, received_at: int) -> int:
    """Return the time that the record stands for in watermarks: its newest sample's, but never ahead of the broker.

    What rules record is made when the watermark has passed its time. If a partition held nothing else, that time would
    hold back the very watermark that the next tick waits for; so it stands for its arrival.
    """
    if batch.source.startswith(RULE_SOURCE):
        return received_at
    return min(int(batch.timestamps.max()), received_at)


def _part(
    batch: Batch,
    part: Part,
    width: int,
    stamps: Int64s,
    values: Floats,
    index: UInt32s | None,
    weights: UInt32s | None,
) -> Batch:
    """Return the part's share of the accepted columns as a batch of its own."""
    if index is None:
        values = values[:, part.columns]
    else:
        place = np.full(width, -1, dtype=np.int64)
        place[part.columns] = np.arange(len(part.columns))
        inside = index < width
        moved = place[index[inside]]
        mine = moved >= 0
        index = moved[mine].astype(np.uint32)
        stamps, values = stamps[inside][mine], values[inside][mine]
        weights = None if weights is None else weights[inside][mine]
    return Batch(
        batch.tenant,
        batch.source,
        batch.sent_at,
        part.series_set,
        stamps,
        values,
        index,
        part.series_ids,
        part.shard,
        weights=weights,
    )


def _count(batch: Batch, mask: Mask) -> int:
    """Return how many samples stand at the masked timestamps."""
    return int((~is_missing(batch.values[mask])).sum())


def _misfit(batch: Batch, admission: Admission, on_time: Mask) -> Refusal | None:
    """Return a refusal if the columns do not fit the series set: whole if dense, the stray samples if sparse."""
    width = admission.width
    if batch.index is not None:
        stray = batch.index >= width
        if not stray.any():
            return None
        first = str(batch.index[stray][0])
        return Refusal(Reason.SERIES_INDEX, first, f"{width} series", samples=_count(batch, stray & on_time))
    if not len(batch.timestamps) or batch.values.shape[1] == width:
        return None
    value = f"rows of {batch.values.shape[1]} cells for {width} series"
    return Refusal(Reason.COLUMN_LENGTH, value, samples=batch.values.size)


def _refused_series(batch: Batch, admission: Admission, on_time: Mask) -> Iterator[Refusal]:
    """Yield the admission's refusals, with the number of samples of this batch that they cost."""
    for refusal, positions in admission.refused:
        if batch.index is None:
            samples = int((~is_missing(batch.values[on_time][:, positions])).sum())
        else:
            samples = _count(batch, on_time & np.isin(batch.index, positions))
        yield replace(refusal, series=len(positions), samples=samples)
