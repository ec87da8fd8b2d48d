"""Which timestamps are acceptable, and whether the source's clock is right. Now is the broker's stamp, ms."""

from dataclasses import replace

import numpy as np

from schemas.batch import Batch
from schemas.nan import Mask, is_missing
from schemas.reason import Reason
from schemas.topics import GATE_SOURCE, RULE_SOURCE
from udfs.gate.limits import Limits
from udfs.gate.refusal import Refusal

SKEW_MS = 60_000


def on_time(batch: Batch, received_at: int, limits: Limits) -> tuple[Mask, list[Refusal]]:
    """Tell which timestamps are within the limits, and refuse the others."""
    stamps = batch.timestamps
    newest = received_at + limits.future_grace_s * 1000
    oldest = received_at - limits.tolerance_s * 1000
    if not len(stamps) or (stamps.min() >= oldest and stamps.max() <= newest):
        return np.ones(len(stamps), dtype=bool), []
    future, old = stamps > newest, stamps < oldest
    refusals = []
    for mask, reason, limit, name in (
        (future, Reason.TOO_FUTURE, f"{limits.future_grace_s} s ahead", "future_grace_s"),
        (old, Reason.TOO_OLD, f"{limits.tolerance_s} s behind", "tolerance_s"),
    ):
        if mask.any():
            worst = int(stamps[mask].max() if reason is Reason.TOO_FUTURE else stamps[mask].min())
            value = f"{worst} ms, {(worst - received_at) / 1000:+.0f} s from the broker's clock"
            samples = int((~is_missing(batch.values[mask])).sum())
            refusals.append(Refusal(reason, value, limit, samples=samples, setting=limits.setting(name)))
    return ~(future | old), refusals


def skew(batch: Batch, received_at: int, limits: Limits) -> tuple[Batch, Refusal | None]:
    """Return the batch, moved by what its source's clock is off if the limits say so, and a flag if it is off at all.

    The clock is sent_at, which includes the way to the broker; a sender that tells none (0) is not judged. What was
    delayed on its way looks like a slow clock and is flagged too. The jobs send by event time, late behind an outage.
    """
    off = batch.sent_at - received_at
    if abs(off) <= SKEW_MS or batch.sent_at <= 0 or batch.source.startswith((RULE_SOURCE, GATE_SOURCE)):
        return batch, None
    flag = Refusal(Reason.CLOCK_SKEW, f"{batch.source}: {off / 1000:+.0f} s", f"{SKEW_MS // 1000} s")
    if limits.server_clock:
        batch = replace(batch, timestamps=batch.timestamps - off)
    return batch, flag
