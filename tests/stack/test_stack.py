"""The real stack: what it says of itself, two stacks side by side, an upgrade of the code."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.settings import JobSettings
from schemas.topics import TOPICS
from sinks.topics import create
from stack import state, upgrade
from stack.code import version
from stack.flink import JOB_PACKAGES, flink_env
from stack.home import Home
from stack.plan import environment
from stack.rest import FlinkRest
from stack.submitted import Submitted, UpgradeError, load, save
from tests.conftest import Stack, tidegauge

pytestmark = [pytest.mark.stack, pytest.mark.kills, pytest.mark.timeout(600)]


def until(check: Callable[[], object], seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.3)


def whole(stack: Stack) -> bool:
    shown = stack.status()
    ready = all(one["state"] in ("up", "done", "off") for one in shown["processes"].values())
    live = FlinkRest(stack.endpoints["flink"]).jobs() if ready else {}
    return live.keys() == set(upgrade.JOBS) and all(job.healthy for job in live.values())


def test_status_names_endpoints_memory_and_jobs(stack: Stack) -> None:
    shown = stack.status()
    assert set(shown["endpoints"]) == {"kafka", "clickhouse", "redis", "flink", "query"}
    assert set(shown["jobs"]) == set(upgrade.JOBS)
    assert 0 < shown["rss"] < 5 << 30
    until(lambda: whole(stack))
    assert "GiB" in stack.tidegauge("status")


def test_everything_listens_on_the_loopback_only(stack: Stack) -> None:
    for one in stack.status()["processes"].values():
        if one["pid"] is not None:
            for process in (psutil.Process(one["pid"]), *psutil.Process(one["pid"]).children(recursive=True)):
                listening = [c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
                assert set(listening) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, process.name()


def test_up_again_does_no_harm(stack: Stack) -> None:
    before = {name: one["pid"] for name, one in stack.status()["processes"].items()}
    jobs = stack.status()["jobs"]
    assert "is running" in stack.tidegauge("up", "--detach")
    after = {name: one["pid"] for name, one in stack.status()["processes"].items()}
    assert (after, stack.status()["jobs"]) == (before, jobs)


def test_topics_are_made_once_and_kept_in_shape(stack: Stack) -> None:
    assert create(stack.endpoints["kafka"]) == [topic.name for topic in TOPICS]


def test_changed_code_is_taken_over_with_the_state(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: whole(stack))
    home, rest = Home(stack.home), FlinkRest(stack.endpoints["flink"])
    recorded = load(home)
    assert recorded == Submitted(version(JOB_PACKAGES), JobSettings().execution_mode, shards=JobSettings().shards)
    before = {name: job.id for name, job in rest.jobs().items()}
    monkeypatch.chdir(stack.home)
    for name, value in {**environment(home, state.load(home).ports), **flink_env(home)}.items():
        monkeypatch.setenv(name, value)
    taken: dict[str, str] = {}

    def submit(start: Any, shards: int) -> None:
        taken.update(start)
        upgrade.submit_jobs(start, shards)

    # As if the running jobs had been submitted by other code.
    save(home, replace(recorded, code="older"))
    upgrade.upgrade(home, rest, version(JOB_PACKAGES), recorded.mode, recorded.shards, {}, submit)
    until(lambda: whole(stack))

    after = rest.jobs()
    assert set(taken) == set(upgrade.JOBS)
    for name, job in after.items():
        assert job.id != before[name]
        restored = rest.call(f"/jobs/{job.id}/checkpoints")["latest"]["restored"]
        assert restored["external_path"] == taken[name]
    assert load(home) == recorded


def test_state_is_never_carried_to_another_mode_or_other_shards(stack: Stack) -> None:
    def submit(start: Any, shards: int) -> None:
        pytest.fail("submitted")

    home, rest = Home(stack.home), FlinkRest(stack.endpoints["flink"])
    recorded = load(home)
    other = "process" if recorded.mode == "thread" else "thread"
    with pytest.raises(UpgradeError, match="TG-execution-mode"):
        upgrade.upgrade(home, rest, recorded.code, other, recorded.shards, {}, submit)
    shards = recorded.shards + 1
    with pytest.raises(UpgradeError, match=f"TG-shards .* {recorded.shards} .* says {shards}"):
        upgrade.upgrade(home, rest, recorded.code, recorded.mode, shards, {}, submit)
    assert set(rest.jobs()) == set(upgrade.JOBS)


def test_two_stacks_side_by_side_and_one_survives_its_supervisor(stack: Stack, tmp_path: Path) -> None:
    home = tmp_path / "second"
    arguments = ("--home", str(home), "--without", "jobs", "--without", "query")
    tidegauge("up", "--detach", "--ports", "auto", *arguments)
    shown = json.loads(tidegauge("status", "--json", "--home", str(home)))
    assert not set(shown["endpoints"].values()) & set(stack.endpoints.values())
    assert create(shown["endpoints"]["kafka"]) == [topic.name for topic in TOPICS]

    # The supervisor is killed: the next `up` ends what it left, and starts anew on the same data and ports.
    pids = [one["pid"] for one in shown["processes"].values() if one["pid"]]
    os.kill(shown["processes"]["supervisor"]["pid"], signal.SIGKILL)
    until(lambda: tidegauge_code("status", home) == 3)
    tidegauge("up", "--detach", *arguments)
    again = json.loads(tidegauge("status", "--json", "--home", str(home)))
    assert again["endpoints"] == shown["endpoints"]
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)

    pids = [one["pid"] for one in again["processes"].values() if one["pid"]]
    assert tidegauge("down", "--home", str(home)) == "stopped\n"
    assert tidegauge("down", "--home", str(home)) == "nothing ran\n"
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)
    until(lambda: whole(stack))


def tidegauge_code(command: str, home: Path) -> int:
    from stack.cli import main

    return main([command, "--home", str(home)])
