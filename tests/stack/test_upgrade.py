import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.settings import FORMER_SHARDS, JobSettings
from stack import plan, state, up, upgrade
from stack.code import version
from stack.home import Home
from stack.rest import FlinkError, FlinkRest
from stack.state import Running, State
from stack.supervisor import ask
from stack.upgrade import Stop, Submitted


class Killed(BaseException):
    """The step's process is no more."""


@dataclass(frozen=True, slots=True)
class Flink(FlinkRest):
    """A JobManager with one job, gate, by its state. meets: what the next that wait for an end meet before it comes."""

    address: str = ""
    jobs_by_id: dict[str, str] = field(default_factory=lambda: {"1": "RUNNING"})
    checkpoint: list[str] = field(default_factory=list)
    meets: list[BaseException | str] = field(default_factory=list)
    stops: list[dict[str, Any]] = field(default_factory=list)

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        if path.endswith("/checkpoints"):
            completed = {"external_path": self.checkpoint[-1]} if self.checkpoint else None
            return {"latest": {"completed": completed, "restored": None}}
        if body is not None:
            self.stops.append(body)
            return {"request-id": body["triggerId"]}
        if method == "PATCH":
            self.jobs_by_id.clear()
        if (method or "savepoints" in path) and self.meets:
            met = self.meets.pop(0)
            if isinstance(met, BaseException):
                raise met
            return {"status": {"id": "COMPLETED"}, "operation": {"failure-cause": {"stack-trace": met}}}
        if "savepoints" in path:
            return {"status": {"id": "COMPLETED"}, "operation": {"location": self.finish("savepoint-1/_metadata")}}
        tasks = {"running": 1, "total": 1}
        jobs = [{"jid": i, "name": "tidegauge-gate", "state": s, "tasks": tasks} for i, s in self.jobs_by_id.items()]
        return {"jobs": jobs}

    def finish(self, file: str = "") -> str:
        """End the job and write a file into the folder for its savepoint."""
        self.jobs_by_id.clear()
        return write(upgrade.local(self.stops[-1]["targetDirectory"]) / file) if file else ""


def write(path: Path) -> str:
    """Write a file of a savepoint or checkpoint and return the URI of that."""
    path.parent.mkdir(parents=True)
    path.touch()
    return path.parent.as_uri()


def run(home: Home, flink: Flink, code: str = "new") -> dict[str, str]:
    """Upgrade and return what is submitted."""
    started: list[dict[str, str]] = []
    upgrade.upgrade(home, flink, code, "thread", 4, lambda start, _: started.append(dict(start)))
    assert upgrade.load(home) == Submitted(code, "thread", shards=4)
    return started[0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home of mine")
    home.folder()
    upgrade.save(home, Submitted("old", "thread", shards=4))
    return home


@pytest.mark.parametrize(
    ("job", "checkpoint", "file", "start"),
    [
        ("RUNNING", True, "savepoint-1/_metadata", "savepoint-1"),
        ("RUNNING", False, "savepoint-1/_metadata", "savepoint-1"),
        ("RUNNING", True, "savepoint-1/part", "chk-8"),
        ("RUNNING", True, "", "chk-8"),
        ("RUNNING", False, "", "TG-state-lost gate .* take it out of `stopping` in .*jobs.json"),
        ("RESTARTING", True, "", "chk-8"),
        ("RESTARTING", False, "", None),
    ],
    ids=["savepoint", "savepoint alone", "half", "none", "nothing", "cancelled", "cancelled before a checkpoint"],
)
def test_a_step_that_is_killed_while_flink_stops_a_job_forgets_nothing(
    job: str, checkpoint: bool, file: str, start: str | None, home: Home
) -> None:
    flink = Flink(jobs_by_id={"1": job}, meets=[Killed()])
    checkpoints = home.path / "flink" / "checkpoints" / "1"
    if checkpoint:
        flink.checkpoint.append(write(checkpoints / "chk-7" / "_metadata"))
    with pytest.raises(Killed):
        run(home, flink)
    if checkpoint:
        write(checkpoints / "chk-8" / "_metadata")  # it came about in between
    flink.finish(file)

    if start is not None and start.startswith("TG-"):
        for _ in range(2):
            with pytest.raises(upgrade.UpgradeError, match=start):
                run(home, flink)
        return
    submitted = run(home, flink)
    assert [upgrade.local(path).name for path in submitted.values()] == ([start] if start else [])


@pytest.mark.parametrize("code", ["new", "old"])
def test_a_stop_on_its_way_is_waited_for_and_not_asked_for_twice(code: str, home: Home) -> None:
    flink = Flink(meets=[Killed()])
    with pytest.raises(Killed):
        run(home, flink)
    assert upgrade.local(run(home, flink, code)["gate"]).name == "savepoint-1"
    first, second = flink.stops
    assert first == second
    assert first["triggerId"] in first["targetDirectory"]


def test_a_job_submitted_anew_meanwhile_is_left_alone(home: Home) -> None:
    upgrade.save(home, Submitted("old", "thread", shards=4, stopping={"gate": Stop("0", "/nowhere", "t")}))
    flink = Flink()
    assert run(home, flink, "old") == {}
    assert not flink.stops


@pytest.mark.parametrize(
    ("met", "says", "same"),
    [
        ("it expired", "TG-savepoint .* failed: it expired. The job still runs the old code", False),
        (FlinkError("takes longer than 120 s"), "TG-savepoint .* 120 s. Flink may still finish it", True),
    ],
    ids=["failed", "not there in time"],
)
def test_what_became_of_a_savepoint_is_said_and_the_next_try_follows(
    met: BaseException | str, says: str, same: bool, home: Home
) -> None:
    flink = Flink(meets=[met])
    with pytest.raises(upgrade.UpgradeError, match=says):
        run(home, flink)
    assert upgrade.local(run(home, flink)["gate"]).name == "savepoint-1"
    first, second = flink.stops
    assert (first["triggerId"] == second["triggerId"]) is same


@pytest.mark.parametrize(
    ("now", "code", "asked"),
    [("starting", "", []), ("starting", "older", ["jobs"]), ("done", "", ["jobs"]), ("backoff", "", ["jobs"])],
    ids=["on its way", "on its way with other code", "done", "failed"],
)
def test_up_leaves_a_jobs_step_alone_that_is_on_its_way(now: str, code: str, asked: list[str], home: Home) -> None:
    processes = {name: Running("up", code=version(packages)) for name, packages in plan.CODE.items()}
    processes["jobs"] = Running(now, code=code or version(plan.CODE["jobs"]))
    up.refresh(home, State(processes=processes), ())
    assert [path.name for path in home.folder("requests").iterdir()] == asked


@pytest.mark.parametrize("phase", ["running", "stopping"])
def test_up_does_not_wait_for_a_stack_that_is_stopped(phase: str, home: Home) -> None:
    own = Running("up", os.getpid(), state.started_at(os.getpid()) if phase == "stopping" else 1.0)
    state.save(home, State(own, phase, processes={"kafka": Running("stopping")}))
    ask(home, "jobs")  # nobody takes it any more
    began = time.monotonic()
    with pytest.raises(up.StackError, match="was stopped meanwhile"):
        up.wait(home, None, 1.0)
    assert time.monotonic() - began < 4.0


def test_up_waits_for_the_end_of_a_down_and_starts_anew(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[State | None] = []
    monkeypatch.setattr(up, "foreground", lambda *_: started.append(up.running(home)))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.7)"]) as supervisor:
        own = Running("up", supervisor.pid, state.started_at(supervisor.pid))
        state.save(home, State(own, "stopping"))
        up.up(home, "auto", off=(), detached=False, within_s=10.0)
    assert started == [None]


def test_a_home_that_does_not_say_has_the_shards_of_its_time(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert upgrade.load(home) == Submitted()
    home.jobs.write_text(json.dumps({"code": "c", "mode": "thread", "pending": {"gate": "file:/s"}}))
    assert upgrade.load(home) == Submitted("c", "thread", {"gate": "file:/s"}, FORMER_SHARDS)
    for now in (Submitted("d", "thread", shards=4), Submitted("d", "thread", {}, 4, {"gate": Stop("1", "/s", "t")})):
        upgrade.save(home, now)
        assert upgrade.load(home) == now
        assert ("stopping" in home.jobs.read_text()) is bool(now.stopping)


@pytest.mark.parametrize(
    ("asked", "recorded", "shards"),
    [("", 0, 4), ("", 8, 8), ("2", 0, 2), ("2", 8, 2), ("8", 8, 8)],
    ids=["a new home", "kept", "asked for", "asked for another", "asked for the same"],
)
def test_a_home_keeps_its_shards_unless_told(
    asked: str, recorded: int, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEGAUGE_SHARDS", raising=False)
    if asked:
        monkeypatch.setenv("TIDEGAUGE_SHARDS", asked)
    assert upgrade.shards_of(JobSettings(), Submitted(shards=recorded)) == shards


@pytest.mark.parametrize(
    ("done", "refused"),
    [
        (Submitted(), ""),
        (Submitted("c", "thread", shards=4), ""),
        (Submitted("c", "process", shards=4), "TG-execution-mode"),
        (Submitted("c", "thread", shards=8), "TG-shards .* 8 shards .* says 4: .* TIDEGAUGE_SHARDS=8"),
    ],
    ids=["nothing before", "the same", "another mode", "other shards"],
)
def test_state_of_another_kind_is_refused(done: Submitted, refused: str) -> None:
    if not refused:
        upgrade.check(done, "thread", 4)
        return
    with pytest.raises(upgrade.UpgradeError, match=refused):
        upgrade.check(done, "thread", 4)
