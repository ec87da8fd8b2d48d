"""What `tidegauge status` says does not run, and by which exit code."""

import copy
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stack import state
from stack.cli import main
from stack.doctor import examine
from stack.home import Home
from stack.ports import DEFAULTS
from stack.state import halted
from stack.status import amiss, status, text
from stack.upgrade import JOBS
from tests.stack.supervised import until
from tests.stack.test_direct import Answering, serving

RUNNING = [name for name in JOBS if name != "store"]


class Flink(Answering):
    answer: ClassVar[Mapping[str, object]] = {
        "jobs": [
            {"jid": one, "name": f"tidegauge-{one}", "state": "RUNNING", "tasks": {"running": 1, "total": 1}}
            for one in RUNNING
        ]
    }


def record(home: Home, port: int, step: str = "done", phase: str = "running") -> None:
    own = state.Running("up", os.getpid(), state.started_at(os.getpid()))
    state.save(home, state.State(own, phase, {**DEFAULTS, "flink": port}, {"jobs": state.Running(step)}))


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("done", "job store      MISSING  (`tidegauge up` brings it back)"),
        ("starting", "job store      MISSING  (step jobs is starting)"),
    ],
)
def test_a_job_that_is_gone_is_shown_and_is_an_exit_code(
    step: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(Flink) as port:
        record(Home(tmp_path), port, step)
        assert main(["status", "--home", str(tmp_path)]) == 4
        said = capsys.readouterr().out.splitlines()
        assert main(["status", "--json", "--home", str(tmp_path)]) == 0
        jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert [one for one in said if one.startswith("job ")] == [
        line if name == "store" else f"job {name:<11}RUNNING" for name in JOBS
    ]
    assert said[-1] == "TG-status not all runs: job store is MISSING"
    assert list(jobs) == list(JOBS)
    assert jobs["store"] == {"id": "", "state": "MISSING"}
    assert jobs["gate"] == {"id": "gate", "state": "RUNNING"}


def test_jobs_that_are_switched_off_are_not_missed(tmp_path: Path) -> None:
    with serving(Flink) as port:
        record(Home(tmp_path), port, "off")
        shown = status(Home(tmp_path))
        assert main(["status", "--home", str(tmp_path)]) == 0
    assert list(shown["jobs"]) == RUNNING
    assert amiss({**shown, "flink_error": "TG-flink away"}) == []


@pytest.mark.parametrize(
    ("place", "value", "found"),
    [
        ("phase", "running", []),
        ("phase", "starting", ["the phase is starting"]),
        ("processes.kafka.state", "backoff", ["process kafka is in backoff"]),
        ("processes.agent.state", "off", []),
        ("free", 9 << 20, ["the disk of the home has 9 MiB left"]),
        ("processes.kafka.halted", True, ["process kafka is held by a signal, `kill -CONT 1` lets it go on"]),
        ("jobs.gate.state", "RESTARTING", ["job gate is RESTARTING"]),
        ("flink_error", "TG-flink away", ["the jobs are not known"]),
    ],
)
def test_what_does_not_run_is_named(place: str, value: str, found: list[str], tmp_path: Path) -> None:
    process = {"state": "up", "pid": 1, "restarts": 0, "halted": False, "rss": 1}
    shown: dict[str, Any] = {
        **{"home": "/h", "phase": "running", "endpoints": {}, "flink_error": "", "free": 1 << 40, "rss": 1},
        "processes": {name: dict(process) for name in ("kafka", "agent", "jobs")},
        "jobs": {name: {"id": "1", "state": "RUNNING"} for name in JOBS},
    }
    *path, last = place.split(".")
    at = shown = copy.deepcopy(shown)
    for name in path:
        at = at[name]
    at[last] = value
    assert amiss(shown) == found
    assert ("TG-status not all runs: " in text(shown)) is bool(found)


def test_a_process_that_a_signal_holds_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its port still takes connections, its record says up: nothing else shows why it answers nobody."""
    held = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        own = state.Running("up", os.getpid(), state.started_at(os.getpid()))
        one = state.Running("up", held.pid, state.started_at(held.pid))
        state.save(Home(tmp_path), state.State(own, "running", dict(DEFAULTS), {"kafka": one}))
        assert main(["status", "--home", str(tmp_path)]) == 0
        held.send_signal(signal.SIGSTOP)
        until(lambda: halted(held.pid))
        capsys.readouterr()
        assert main(["status", "--home", str(tmp_path)]) == 4
        assert f"kafka is held by a signal, `kill -CONT {held.pid}` lets it go on" in capsys.readouterr().out
        held.send_signal(signal.SIGCONT)
        until(lambda: not halted(held.pid))
        assert main(["status", "--home", str(tmp_path)]) == 0
    finally:
        held.kill()
        held.wait()
    assert not halted(held.pid)


def test_nothing_that_runs_stays_exit_code_3(tmp_path: Path) -> None:
    assert main(["status", "--home", str(tmp_path)]) == 3


def test_the_exit_codes_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["status", "--help"])
    assert "exit code 3 if nothing does, 4 if a part of it does not" in " ".join(capsys.readouterr().out.split())


def test_what_a_killed_supervisor_left_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path)
    with home.log("kafka").open("wb") as log:
        left = subprocess.Popen(["sleep", "60"], stdout=log, start_new_session=True)
    try:
        assert main(["status", "--home", str(tmp_path)]) == 3
        said = capsys.readouterr().out
        assert said.startswith(f"TG-left the supervisor in {tmp_path} was killed, ")
        assert "still runs: kafka; " in said
        found = examine(home, None)[-1]
        assert (found.good, found.found) == (True, "in use by what a killed supervisor left, `up` ends it: kafka")
    finally:
        left.kill()
        left.wait()
    assert main(["status", "--home", str(tmp_path)]) == 3
    assert capsys.readouterr().out.startswith("no stack runs ")
