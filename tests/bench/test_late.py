"""The fleet of bench.late: what it counts is what it sends."""

import pytest

from bench.late import HOUR_MS, Fleet, main, missed


def test_the_total_is_what_is_sent() -> None:
    fleet = Fleet(250, sources=2, series=10, now_ms=1_700_000_000_000)
    for shift in (0, fleet.step // 2):
        sent = list(fleet.batches(shift))
        assert (sum(one.values.size for one in sent), sum(one.values.sum() for one in sent)) == fleet.total(shift)


@pytest.mark.parametrize(
    ("samples", "sources", "series"),
    [
        (1_000_000, 30, 10_000),
        (1000, 20, 10_000),
        (-1_000_000, 20, 10_000),
        (1_000_000, 40, 20),
        (HOUR_MS, 1, 1),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(samples: int, sources: int, series: int) -> None:
    with pytest.raises(ValueError, match=f"TG-bench-fleet: {samples} samples of {series} series over {sources} hosts"):
        Fleet(samples, sources, series, 1_700_000_000_000)


def test_it_is_refused_before_the_stack_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sources", "30"]) == 2
    assert "TG-bench-fleet" in capsys.readouterr().err


def test_a_lag_that_nobody_measured_is_no_result() -> None:
    assert missed({"fresh_lag_s": {"max": 3.0, "median": 2.0}}) == []
    assert len(missed({"fresh_lag_s": {}})) == 1
