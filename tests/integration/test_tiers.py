"""Every tier on the real stream: closed windows equal the oracle, late samples heal all of them, in bounded time."""

from functools import partial

import numpy as np
import pytest

from schemas.tiers import TIERS, Tier
from tests.integration import history
from tests.integration.oracle import COLUMNS, Rows, Sent, expected
from tests.integration.pipeline import Pipeline, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

CLOSED = """
SELECT toUnixTimestamp(max(ts)) * 1000 AS newest FROM completeness
WHERE tenant = {tenant:String} AND tier = {tier:String}
"""


def closed(pipeline: Pipeline, tier: Tier) -> int:
    """Return the start of the tenant's newest closed window, ms; 0 without any."""
    return int(pipeline.value(CLOSED, tenant=history.TENANT, tier=tier.name) or 0)


def stored(pipeline: Pipeline, tier: Tier, newest: int) -> Rows:
    """Return the tier's rows up to the window that starts at newest."""
    columns = ", ".join(COLUMNS)
    rows = pipeline.rows(
        f"SELECT series_id, toUnixTimestamp(ts) * 1000 AS start, {columns} FROM {tier.table} FINAL "
        "WHERE tenant = {tenant:String} AND ts <= toDateTime({newest:UInt32}, 'UTC')",
        tenant=history.TENANT,
        newest=newest // 1000,
    )
    return {(row["series_id"], row["start"]): tuple(row[name] for name in COLUMNS) for row in rows}


def wanted(sent: Sent, tier: Tier, newest: int) -> Rows:
    return {key: row for key, row in expected(sent, tier.width_ms).items() if key[1] <= newest}


def agree(pipeline: Pipeline, sent: Sent, last_hour: int) -> None:
    """Wait until every tier's closed windows equal the oracle's: coarser ones up to the end of last_hour."""
    for tier in TIERS[:3]:
        newest = closed(pipeline, tier) if tier is TIERS[0] else last_hour + TIERS[2].width_ms - tier.width_ms
        eventually(partial(stored, pipeline, tier, newest), wanted(sent, tier, newest), seconds=200)


def test_tiers_close_and_heal(pipeline: Pipeline) -> None:
    sent = dict(pipeline.stack.history)
    if not sent:
        pytest.skip("the stack was given: it has not begun with the history")
    newest_sent = max(stamp for _, stamp in sent)
    hour = TIERS[2].width_ms
    # The hour that ended last, unless it ended within the lateness.
    last_hour = (newest_sent - 20_000) // hour * hour - hour
    # The stream's clock may have been at now before the history came: then all of it is late, and heals.
    eventually(lambda: closed(pipeline, TIERS[0]) >= last_hour, True)
    agree(pipeline, sent, last_hour)
    assert pipeline.value("SELECT count() FROM rollup_1h FINAL WHERE tenant = {tenant:String}", tenant=history.TENANT)

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
    agree(pipeline, sent, last_hour)

    merged = pipeline.value(
        "SELECT quantilesTDigestMerge(0.5)(digest)[1] AS median FROM rollup_1h FINAL "
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
