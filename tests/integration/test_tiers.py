"""Every tier on the real stream: closed windows equal the oracle, late samples heal all of them, in bounded time."""

from functools import partial

import numpy as np
import pytest

from schemas.tiers import MINUTE, TIERS
from tests.integration import history
from tests.integration.oracle import Sent, before, expected
from tests.integration.pipeline import Pipeline, eventually

CLOCK = "clock"  # of the fixture pipeline

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


def agree(pipeline: Pipeline, sent: Sent, hours: int, days: int) -> None:
    """Wait until every tier's closed windows equal the oracle's: coarser ones before `hours`, days before `days`."""
    minutes = pipeline.closed(MINUTE, CLOCK) + MINUTE.width_ms
    for tier, upto in zip(TIERS, (minutes, hours, hours, days), strict=True):
        rows = partial(pipeline.rolled, tier, [history.TENANT], upto)
        eventually(rows, before(upto, expected(sent, tier.width_ms)), seconds=200)


def test_tiers_close_and_heal(pipeline: Pipeline) -> None:
    sent = dict(pipeline.stack.history)
    if not sent:
        pytest.skip("the stack was given: it has not begun with the history")
    newest_sent = max(stamp for _, stamp in sent)
    hour, day = TIERS[2].width_ms, TIERS[3].width_ms
    midnight = newest_sent // day * day
    # The hour that ended last, unless it ended within the lateness.
    last_hour = (newest_sent - 20_000) // hour * hour - hour
    # The stream's clock may have been at now before the history came: then all of it is late, and heals. So windows are
    # closed by another tenant's samples: this one's may all have been late.
    eventually(lambda: pipeline.closed(MINUTE, CLOCK) >= last_hour, True)
    agree(pipeline, sent, last_hour + hour, midnight)
    for tier in (TIERS[2], TIERS[3]):
        assert pipeline.rolled(tier, [history.TENANT], midnight)

    # Half an hour of three hosts comes late, between the samples that are there, and its first minutes twice.
    late = np.arange(last_hour + 10 * 60_000 + 7_000, last_hour + 40 * 60_000, history.STEP_MS)
    cells = np.repeat(np.array([0x7FF0000000000001], np.uint64).view(np.float64), len(late) * history.HOSTS)
    values = cells.reshape(len(late), history.HOSTS)
    values[:, :3] = np.arange(3 * len(late)).reshape(len(late), 3)
    for record in (history.batch(late, values), history.batch(late[:9], values[:9])):
        pipeline.send_record(record, "history-source")
    for row, stamp in enumerate(late):
        for column, series in enumerate(history.ids()[:3]):
            sent[series, int(stamp)] = float(values[row, column])
    agree(pipeline, sent, last_hour + hour, midnight)

    merged = pipeline.value(
        "SELECT quantilesTDigestMerge(0.5)(tdigest)[1] AS median FROM rollup_1h FINAL "
        "WHERE tenant = {tenant:String} AND ts = toDateTime({hour:UInt32}, 'UTC')",
        tenant=history.TENANT,
        hour=last_hour // 1000,
    )
    inside = sorted(value for (_, stamp), value in sent.items() if last_hour <= stamp < last_hour + hour)
    below, above = np.searchsorted(inside, merged, "left"), np.searchsorted(inside, merged, "right")
    assert below / len(inside) - 0.02 < 0.5 < above / len(inside) + 0.02
    marked = pipeline.rows(
        "SELECT DISTINCT block FROM data_versions WHERE tenant = {tenant:String}", tenant=history.TENANT
    )
    assert marked
