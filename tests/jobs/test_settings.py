"""What the jobs' settings may not be."""

import numpy as np
import pytest
from pydantic import ValidationError

from jobs.settings import JobSettings
from schemas.frame import Frame
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded

DAY_S = 86_400
MOST = {"gate_tolerance_s": 90 * DAY_S, "gate_future_grace_s": DAY_S}


@pytest.mark.parametrize("name", MOST)
def test_samples_may_only_be_so_far_from_now(name: str) -> None:
    JobSettings.model_validate({name: MOST[name]})
    with pytest.raises(ValidationError, match=f"{name}\n.*less than or equal to {MOST[name]}"):
        JobSettings.model_validate({name: MOST[name] + 1})


def test_a_block_of_all_days_that_the_gate_lets_in_is_taken() -> None:
    # One more for the day that has begun, one for what waited as long as metrics.raw is kept.
    days = sum(MOST.values()) // DAY_S + 2
    stamps = 1_800_000_000_000 - np.arange(days)[::-1] * DAY_S * 1000
    codes, ids = np.zeros(1, np.uint32), np.array([7], np.uint64)
    frame = Frame("t", 0, ["up"], codes, ids, stamps, np.ones(days), np.zeros(days, np.uint32))
    apply(embedded.endpoint(), "default", "", "days_at_once")
    clickhouse = Clickhouse(embedded.endpoint(), database="days_at_once", attempts=1)
    clickhouse.insert("samples", rows.samples([frame]))
    assert clickhouse.query("SELECT uniqExact(toDate(time)) AS days FROM v_samples")["days"].to_pylist() == [days]
    clickhouse.close()
