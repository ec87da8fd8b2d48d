"""The bars of bench.outage, which `make soak` fails on."""

import pytest

from bench.outage import missed


@pytest.mark.parametrize(
    ("times", "before", "peak", "words"),
    [
        (3.0, 1400.0, 2900.0, []),
        (2.9, 1400.0, 2900.0, ["caught up"]),
        (3.0, 1400.0, 2901.0, ["TaskManagers"]),
        (0.5, 1400.0, 9000.0, ["caught up", "TaskManagers"]),
    ],
)
def test_bars(times: float, before: float, peak: float, words: list[str]) -> None:
    found = missed({"times_the_inflow": times, "taskmanagers_mb": {"before": before, "peak": peak}})
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))
