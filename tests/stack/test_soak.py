import copy
from typing import Any

import pytest

from stack.soak import faults, growth, main
from stack.upgrade import JOBS


@pytest.mark.parametrize(
    ("sizes", "grown"),
    [
        ([100, 100, 100, 100], 0.0),
        ([10, 100, 100, 100], 0.0),
        ([10, 20, 100, 100, 105, 105, 110, 110], 0.1),
        ([100, 100, 100, 90], -0.1),
    ],
)
def test_growth_leaves_out_the_warm_up(sizes: list[int], grown: float) -> None:
    assert growth(sizes) == pytest.approx(grown)


WHOLE: dict[str, Any] = {
    "home": "/h",
    "phase": "running",
    "flink_error": "",
    "processes": {
        name: {"state": one, "restarts": 2} for name, one in (("kafka", "up"), ("jobs", "done"), ("agent", "off"))
    },
    "jobs": {name: {"id": "1", "state": "RUNNING"} for name in JOBS},
}


@pytest.mark.parametrize(
    ("place", "value", "found"),
    [
        ("phase", "running", []),
        ("phase", "stopping", ["the stack in /h is stopping"]),
        ("processes.kafka.state", "backoff", ["process kafka is backoff"]),
        ("processes.kafka.state", "starting", ["process kafka is starting"]),
        ("processes.kafka.restarts", 3, ["died meanwhile: kafka"]),
        ("jobs.gate.state", "RESTARTING", ["job gate is RESTARTING"]),
        ("jobs", {"gate": {"state": "RUNNING"}}, [f"job {name} is gone" for name in JOBS[1:]]),
        ("flink_error", "TG-flink: timed out", ["Flink does not answer: TG-flink: timed out"]),
    ],
)
def test_what_does_not_run_is_a_fault(place: str, value: object, found: list[str]) -> None:
    shown = copy.deepcopy(WHOLE)
    *path, last = place.split(".")
    at = shown
    for name in path:
        at = at[name]
    at[last] = value
    assert faults(shown, {"kafka": 2}) == [f"TG-soak {one}" for one in found]


def test_jobs_that_were_left_out_are_not_missed() -> None:
    shown = {**WHOLE, "jobs": {}, "processes": {"jobs": {"state": "off", "restarts": 0}}}
    assert faults(shown, {}) == []


@pytest.mark.parametrize(
    "arguments", ["--interval nan", "--interval -1", "--interval 0", "--minutes nan", "--minutes inf"]
)
def test_times_have_bounds(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments.split())
    assert f"{arguments.split()[1]!r} is no whole number from 1 to" in capsys.readouterr().err
