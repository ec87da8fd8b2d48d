"""Twenty drawn cases on the real jobs at once: any order, repeats and lateness of samples end in the oracle's rows."""

import random
import time
from functools import partial

import numpy as np
import pytest

from schemas.batch import Batch, Series, encode_series_set
from schemas.ids import series_id
from schemas.nan import MISSING
from schemas.tiers import TIERS, Tier
from tests.integration.oracle import Rows, Sent, before, expected
from tests.integration.pipeline import Pipeline, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

CASES = 20
SERIES = [Series("drawn_total", (("n", str(number)),)) for number in range(3)]
SET = encode_series_set(SERIES)
STEP_MS = 10_000
SPAN_MS = 8 * 60_000


def drawn(tenant: str, now: int, rng: random.Random) -> tuple[Sent, list[bytes]]:
    """Return the samples of a case, and the records that carry each of them once or more, in any order."""
    end = now - now % STEP_MS
    stamps = [at for at in range(end - SPAN_MS, end + 1, STEP_MS) if rng.random() < 0.6]
    sent: Sent = {}
    rows = []
    for at in stamps:
        row = np.repeat(MISSING, len(SERIES))
        for column, one in enumerate(SERIES):
            if rng.random() < 0.8:
                row[column] = float(rng.randrange(100))
                sent[series_id(tenant, one.name, one.labels), at] = float(row[column])
        rows.append((at, row))
    again = rng.sample(rows, len(rows) // 3)
    rows += again
    rng.shuffle(rows)
    records = []
    while rows:
        part, rows = rows[: (size := rng.randint(1, 12))], rows[size:]
        stamped, cells = np.array([at for at, _ in part]), np.array([row for _, row in part])
        records.append(Batch(tenant, f"{tenant}-source", now, SET, stamped, cells).encode())
    return sent, records


def test_any_order_repeats_and_lateness(pipeline: Pipeline) -> None:
    now = time.time_ns() // 1_000_000
    every: Sent = {}
    records: list[bytes] = []
    tenants = [f"case{number}-{now}" for number in range(CASES)]
    for number, tenant in enumerate(tenants):
        sent, mine = drawn(tenant, now, random.Random(number))
        every |= sent
        records += mine
    random.Random(CASES).shuffle(records)
    for place, record in enumerate(records):
        pipeline.post(record, f"source-{place % 7}")

    def pulse() -> None:
        # A minute closes when later samples come, from anyone.
        pipeline.send("pulse", {("pulse", ()): 1.0}, time.time_ns() // 1_000_000)

    upto = {tier: now - now % tier.width_ms for tier in TIERS[:2]}

    def found(tier: Tier) -> Rows:
        pulse()
        return pipeline.rolled(tier, tenants, upto[tier])

    for tier, end in upto.items():
        eventually(partial(found, tier), before(end, expected(every, tier.width_ms)), seconds=180)
    # The same records again change nothing.
    known = {tier: found(tier) for tier in upto}
    for record in records[::3]:
        pipeline.post(record, "source-again")
    time.sleep(12)
    assert {tier: found(tier) for tier in upto} == known
