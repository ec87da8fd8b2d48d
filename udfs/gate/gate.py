"""The gate: one record of metrics.raw in, batches for metrics.valid and refusals for metrics.rejected out.

Design: enter (is it a batch?) → admission (which series, cached by set; docs/gate.md) → clock (which samples) → cut
(pieces, if it is large) → a batch for each part of the set, of one shard and of plain samples or of distributions
(distribution) → the account.
"Now" is the broker's stamp of the record, an argument: a replay judges as the first run did. Whatever is refused is
counted in a refusal; its neighbours pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from schemas.batch import Batch
from schemas.codec import CodecError
from schemas.nan import Mask, canonical, is_missing
from schemas.reason import Reason
from schemas.topics import RULE_SOURCE
from udfs.gate.account import Account
from udfs.gate.admission import Admission, Admissions
from udfs.gate.clock import on_time, skew
from udfs.gate.cut import cut
from udfs.gate.distribution import distributions, plain
from udfs.gate.entry import enter, refusal_of
from udfs.gate.limits import Limits
from udfs.gate.refusal import Refusal
from udfs.gate.share import grouped, rows, share, single


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


@dataclass(frozen=True, slots=True)
class Unknown:
    """The record's series set has no verdict: the owner of the tenant's budget has to judge the record."""

    tenant: str


Outcome = Passed | Refused | Unknown | Account


class Authority(Protocol):
    """Says which series of a set enter, and which batches at all. A small one: Admissions, which lets all in."""

    def refuse(self, batch: Batch, samples: int, received_at: int, lag_ms: int, partition: int) -> Refusal | None:
        """Return why a batch of so many samples does not enter, or None."""

    def limits_of(self, tenant: str, received_at: int) -> Limits:
        """Return the limits of a tenant for what was received then."""

    def admission(self, batch: Batch, received_at: int) -> Admission | None:
        """Return the admission of a batch's set, None if it is not known here; raises CodecError."""


@dataclass(slots=True)
class Gate:
    """Judges records. All that it holds beside its authority is which sources' clocks it has just flagged."""

    limits: Limits
    authority: Authority

    _flagged: "LRUCache[tuple[str, str], int]" = field(default_factory=lambda: LRUCache(10_000))

    @classmethod
    def open(cls, shards: int, limits: Limits) -> "Gate":
        """Return a gate without policies: every well-formed series enters."""
        return cls(limits, Admissions(shards, limits))

    def judge(
        self, record: bytes, received_at: int, partition: int = 0, offset: int = 0, lag_ms: int = 0
    ) -> Iterator[Outcome]:
        """Yield what becomes of a record that the broker stamped with received_at (ms since 1970 UTC).

        lag_ms: how long ago that was. It decides on nothing but what is shed.
        The account comes last; after Unknown there is none, since another gives it.
        """
        batch = enter(record, self.limits)
        account = Account("" if isinstance(batch, Refusal) else batch.tenant, received_at, partition, offset)
        outcomes: list[Outcome] = []
        if isinstance(batch, Refusal):
            account.received = batch.samples
            outcomes.append(Refused("", "", batch))
        else:
            account.received = batch.values.size - np.count_nonzero(is_missing(batch.values))
            shed = self.authority.refuse(batch, account.received, received_at, lag_ms, partition)
            if shed is not None:
                outcomes.append(Refused(batch.tenant, batch.source, shed))
            else:
                outcomes.extend(self._batch(batch, record, account))
        for one in outcomes:
            if isinstance(one, Refused):
                account.refuse(one.refusal.reason, one.refusal.samples)
            elif isinstance(one, Unknown):
                yield one
                return
            yield one
        yield account

    def _batch(self, batch: Batch, record: bytes, account: Account) -> Iterator[Outcome]:
        tenant, source, received_at = batch.tenant, batch.source, account.received_at
        try:
            admission = self.authority.admission(batch, received_at)
        except CodecError as error:
            refusal = refusal_of(error, record, self.limits)
            refusal.samples = account.received
            yield Refused(tenant, source, refusal)
            return
        if admission is None:
            yield Unknown(tenant)
            return
        limits = self.authority.limits_of(tenant, received_at)
        batch, flag = skew(batch, received_at, limits)
        if flag is not None and self._is_due(tenant, source, received_at):
            yield Refused(tenant, source, flag)
        timely, untimely = on_time(batch, received_at, limits)
        misfit = _misfit(batch, admission, timely, account.received)
        if misfit is not None and batch.index is None:
            yield Refused(tenant, source, misfit)
            return
        for refusal in [*filter(None, [misfit]), *untimely, *_refused_series(batch, admission, timely, account)]:
            yield Refused(tenant, source, refusal)
        for reason, positions in admission.would:
            account.would[reason] = account.would.get(reason, 0) + _of_series(batch, positions, timely, account)
        for piece in cut(batch if timely.all() else batch.at(timely)):
            yield from self._passed(piece, admission, limits, account)

    def _is_due(self, tenant: str, source: str, now: int) -> bool:
        """Tell whether a source's clock is to be flagged: once a minute."""
        minute = now // 60_000
        if self._flagged.get((tenant, source)) == minute:
            return False
        self._flagged[tenant, source] = minute
        return True

    def _passed(self, batch: Batch, admission: Admission, limits: Limits, account: Account) -> Iterator[Outcome]:
        stamps, values, index, weights = batch.timestamps, batch.values, batch.index, batch.weights
        if not len(stamps):
            return
        numbers = whole = not np.isnan(values).any()
        if not numbers:
            values = canonical(values)
            absent = is_missing(values)
            whole = not absent.any()
            if index is not None and not whole:
                index, stamps, values = index[~absent], stamps[~absent], values[~absent]
                weights = None if weights is None else weights[~absent]
        if (
            index is None
            and len(stamps) > 1
            and not (np.diff(stamps) > 0).all()
            and len(np.unique(stamps)) < len(stamps)
        ):
            index, stamps, values = replace(batch, timestamps=stamps, values=values).points()
        whole |= index is not None
        newest = min(int(stamps.max(initial=0)), account.received_at)
        merging = admission.merging
        if index is None and merging is not None:
            values = rows(values, merging, numbers, account)
        for part in admission.parts:
            sub = share(batch, part, admission.width, stamps, values, index, weights)
            sub, refusals = distributions(grouped(sub, part), limits) if part.distributions else plain(sub)
            for refusal in refusals:
                yield Refused(batch.tenant, batch.source, refusal)
            if sub.index is not None and not part.distributions:
                sub = single(sub, part, merging is not None and merging.folds, account)
            sub.received_at = account.received_at
            if len(sub.timestamps):
                account.forwarded += sub.values.size if whole else sub.values.size - int(is_missing(sub.values).sum())
                at = newest if index is None else min(int(sub.timestamps.max()), account.received_at)
                yield Passed(f"{batch.tenant}/{part.shard}", sub, account.received_at if recorded(batch) else at)


def recorded(batch: Batch) -> bool:
    """Tell whether a rule recorded the batch: it then stands for its arrival in watermarks, not for its samples' time.

    It is made when the watermark has passed that time. If a partition held nothing else, the time would hold back the
    very watermark that the next tick waits for.
    """
    return batch.source.startswith(RULE_SOURCE)


def _count(batch: Batch, mask: Mask) -> int:
    """Return how many samples stand at the masked timestamps."""
    return int((~is_missing(batch.values[mask])).sum())


def _misfit(batch: Batch, admission: Admission, timely: Mask, received: int) -> Refusal | None:
    """Return a refusal if the columns do not fit the series set: whole if dense, the stray samples if sparse."""
    width = admission.width
    if batch.index is not None:
        stray = batch.index >= width
        if not stray.any():
            return None
        first = str(batch.index[stray][0])
        return Refusal(Reason.SERIES_INDEX, first, f"{width} series", samples=_count(batch, stray & timely))
    if not len(batch.timestamps) or batch.values.shape[1] == width:
        return None
    value = f"rows of {batch.values.shape[1]} cells for {width} series"
    return Refusal(Reason.COLUMN_LENGTH, value, samples=received)


def _refused_series(batch: Batch, admission: Admission, timely: Mask, account: Account) -> Iterator[Refusal]:
    """Yield the admission's refusals, with the number of samples of this batch that they cost."""
    for refusal, positions in admission.refused:
        samples = _of_series(batch, positions, timely, account)
        yield replace(refusal, series=len(positions), samples=samples)


def _of_series(batch: Batch, positions: npt.NDArray[np.intp], timely: Mask, account: Account) -> int:
    """Return how many timely samples the series at these positions of the set have."""
    if batch.index is not None:
        return _count(batch, timely & np.isin(batch.index, positions))
    if account.received == batch.values.size:
        return len(positions) * int(timely.sum())
    return int((~is_missing(batch.values[timely].take(positions, axis=1))).sum())
