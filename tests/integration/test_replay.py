"""A topic read again, from random offsets, changes no answer."""

import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import topics
from schemas.tiers import TIERS
from tests.integration.beside import Beside
from tests.integration.pipeline import Pipeline, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

# What the stream writes meanwhile is left out: only windows that had ended before. One that has just ended may still be
# healed: an hour's late samples wait for its end, and a replay over the full hour saw both rows.
ROWS = """
SELECT tenant, count(), sum(cityHash64(metric, series_id, ts, count, sum, sum_sq, min, max, first, last, first_ts,
    last_ts, increase, digest, version))
FROM {table} FINAL WHERE ts <= toDateTime({{before:UInt32}} - {width}, 'UTC') GROUP BY tenant
"""
SAMPLES = """
SELECT tenant, count(), sum(cityHash64(metric, series_id, ts, reinterpretAsUInt64(value)))
FROM samples FINAL WHERE ts < toDateTime64({before:UInt32}, 3, 'UTC') GROUP BY tenant
"""
WINDOWS = "SELECT uniqExact(ts) FROM completeness WHERE tenant = 'clock' AND tier = '5m'"
FIVE_MINUTES = TIERS[1]


# (table, tenant): count and fingerprint.
Answers = dict[tuple[str, str], tuple[int, int]]


def answers(pipeline: Pipeline, before: int) -> Answers:
    """Return what each table has of each tenant from before that second."""
    asked = {
        "samples": SAMPLES,
        **{tier.table: ROWS.format(table=tier.table, width=tier.width_ms // 1000) for tier in TIERS},
    }
    found: Answers = {}
    for table, sql in asked.items():
        for row in pipeline.rows(sql, before=before):
            tenant, count, mark = row.values()
            found[table, tenant] = count, mark
    return found


@pytest.fixture(params=["rollup", "store"])
def replay(request: pytest.FixtureRequest, stack: Any) -> Iterator[Beside]:
    beside = Beside(stack, f"replay-{uuid.uuid4().hex[:8]}", request.param)
    dice = random.Random(11)
    # Other offsets are other blocks, and windows that begin in their middle.
    beside.begin(topics.VALID, dice.randint)
    yield beside
    beside.leave()


def test_a_replay_changes_no_answer(pipeline: Pipeline, replay: Beside, tmp_path: Path) -> None:
    # Everything up to the clock's newest closed window of five minutes, which on a young stack is its first; by then
    # also its late samples have been healed.
    eventually(lambda: pipeline.value(WINDOWS) > 1, wanted=True, seconds=400)
    newest = pipeline.closed(FIVE_MINUTES, "clock") // 1000
    before = answers(pipeline, newest)
    assert sum(count for (table, _), (count, _) in before.items() if table == "samples") > 1000
    assert ("rollup_5m", "clock") in before
    ends = replay.ends(topics.VALID)
    replay.submit(tmp_path, TIDEGAUGE_CHECKPOINT_INTERVAL_S="2")
    eventually(lambda: replay.behind(topics.VALID, ends), 0, seconds=120)
    time.sleep(5)  # its last blocks lie in state for a second more
    after = answers(pipeline, newest)
    changed = {one: (before.get(one), after.get(one)) for one in before.keys() | after.keys()}
    assert {one: both for one, both in changed.items() if both[0] != both[1]} == {}
