import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stack import plan, state, up, upgrade
from stack.code import version
from stack.home import Home
from stack.javatext import local, uri
from stack.rest import FlinkError, FlinkRest
from stack.state import Running, State
from stack.submitted import Stop, Submitted, UpgradeError, load, save
from stack.supervisor import ask


class Killed(BaseException):
    """The step's process is no more."""


@dataclass(frozen=True, slots=True)
class Flink(FlinkRest):
    """A JobManager with one job, gate, by its state. meets: what the next that wait for an end meet before it comes.

    savepoints: the newest of each ended job that it remembers, by the job's id.
    """

    address: str = ""
    jobs_by_id: dict[str, str] = field(default_factory=lambda: {"1": "RUNNING"})
    checkpoint: list[str] = field(default_factory=list)
    meets: list[BaseException | str] = field(default_factory=list)
    stops: list[dict[str, Any]] = field(default_factory=list)
    savepoints: dict[str, str] = field(default_factory=dict)

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        if path.endswith("/checkpoints"):
            completed = {"external_path": self.checkpoint[-1]} if self.checkpoint else None
            taken = {"external_path": self.savepoints[job]} if (job := path.split("/")[2]) in self.savepoints else None
            return {"latest": {"completed": completed, "restored": None, "savepoint": taken}}
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
        states = {**dict.fromkeys(self.savepoints, "FINISHED"), **self.jobs_by_id}
        jobs = [{"jid": i, "name": "tidegauge-gate", "state": s, "tasks": tasks} for i, s in states.items()]
        return {"jobs": jobs}

    def finish(self, file: str = "") -> str:
        """End the job and write a file into the folder for its savepoint."""
        self.jobs_by_id.clear()
        return write(local(self.stops[-1]["targetDirectory"]) / file) if file else ""


def write(path: Path) -> str:
    """Write a file of a savepoint or checkpoint and return the URI of that."""
    path.parent.mkdir(parents=True)
    path.touch()
    return uri(path.parent)


def run(home: Home, flink: Flink, code: str = "new", **settings: str) -> dict[str, str]:
    """Upgrade and return what is submitted."""
    started: list[dict[str, str]] = []
    upgrade.upgrade(home, flink, code, "thread", 4, settings, lambda start, _: started.append(dict(start)))
    assert load(home) == Submitted(code, "thread", shards=4)
    return started[0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home of mine")
    home.folder()
    save(home, Submitted("old", "thread", shards=4))
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
            with pytest.raises(UpgradeError, match=start):
                run(home, flink)
        return
    submitted = run(home, flink)
    assert [local(path).name for path in submitted.values()] == ([start] if start else [])


@pytest.mark.parametrize("code", ["new", "old"])
def test_a_stop_on_its_way_is_waited_for_and_not_asked_for_twice(code: str, home: Home) -> None:
    flink = Flink(meets=[Killed()])
    with pytest.raises(Killed):
        run(home, flink)
    assert local(run(home, flink, code)["gate"]).name == "savepoint-1"
    first, second = flink.stops
    assert first == second
    assert first["triggerId"] in first["targetDirectory"]


@pytest.mark.parametrize(
    ("fails", "follows", "stopped"),
    [
        (Killed(), "old", True),
        (Killed(), "new", False),
        (UpgradeError("TG-submit"), "old", True),
        (None, "old", True),
        (None, "new", False),
    ],
    ids=["killed, back", "killed, again", "failed, back", "done, back", "done, again"],
)
def test_jobs_of_other_code_are_stopped_and_those_of_this_code_are_not(
    fails: BaseException | None, follows: str, stopped: bool, home: Home
) -> None:
    flink = Flink()

    def submit(start: Mapping[str, str], shards: int) -> None:
        flink.jobs_by_id["2"] = "RUNNING"
        if fails is not None:
            raise fails

    try:
        upgrade.upgrade(home, flink, "new", "thread", 4, {}, submit)
    except (Killed, UpgradeError):
        recorded = load(home)
        assert (recorded.code, recorded.mode, recorded.shards, list(recorded.pending)) == ("new", "thread", 4, ["gate"])
    before = len(flink.stops)
    start = run(home, flink, follows)
    assert len(flink.stops) - before == stopped
    assert [local(path).parent for path in start.values()] == [
        local(one["targetDirectory"]) for one in flink.stops[before:]
    ]


@pytest.mark.parametrize(("follows", "stopped"), [("5", False), ("20", True)], ids=["again", "back"])
def test_settings_of_jobs_whose_step_was_killed_are_known(follows: str, stopped: bool, home: Home) -> None:
    flink = Flink()
    run(home, flink, "old", LABELS="20")
    flink.jobs_by_id["2"] = "RUNNING"

    def submit(start: Mapping[str, str], shards: int) -> None:
        flink.jobs_by_id["3"] = "RUNNING"
        raise Killed

    with pytest.raises(Killed):
        upgrade.upgrade(home, flink, "old", "thread", 4, {"LABELS": "5"}, submit)
    before = len(flink.stops)
    run(home, flink, "old", LABELS=follows)
    assert len(flink.stops) - before == stopped


def test_a_job_that_cannot_be_submitted_costs_no_other_a_stop(home: Home) -> None:
    flink = Flink()

    def submit(start: Mapping[str, str], shards: int) -> None:
        raise UpgradeError("TG-submit")

    for _ in range(2):
        with pytest.raises(UpgradeError, match="TG-submit"):
            upgrade.upgrade(home, flink, "old", "thread", 4, {}, submit)
    assert not flink.stops


def test_another_mode_and_number_of_shards_are_known_before_a_job_has_them(home: Home) -> None:
    flink = Flink(jobs_by_id={})

    def submit(start: Mapping[str, str], shards: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        upgrade.upgrade(home, flink, "new", "process", 8, {}, submit)
    recorded = load(home)
    assert (recorded.mode, recorded.shards) == ("process", 8)


def test_a_job_submitted_anew_meanwhile_is_left_alone(home: Home) -> None:
    save(home, Submitted("old", "thread", shards=4, stopping={"gate": Stop("0", "/nowhere", "t")}))
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
    with pytest.raises(UpgradeError, match=says):
        run(home, flink)
    assert local(run(home, flink)["gate"]).name == "savepoint-1"
    first, second = flink.stops
    assert (first["triggerId"] == second["triggerId"]) is same


def test_a_job_whose_savepoint_fails_goes_on_from_its_last_checkpoint(home: Home) -> None:
    chk = home.path / "flink" / "checkpoints" / "1"
    flink = Flink(meets=["it expired"], checkpoint=[write(chk / "chk-7" / "_metadata")])
    os.utime(chk / "chk-7" / "_metadata", (0, 0))
    write(chk / "chk-8" / "_metadata")  # by the job that came back
    assert local(run(home, flink)["gate"]).name == "chk-8"
    assert not flink.jobs_by_id


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


def test_what_new_code_writes_to_is_made_before_it_starts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(up, "ask", lambda _, name: asked.append(name))
    up.refresh(home, State(processes={name: Running("up", code="older") for name in plan.CODE}), ())
    assert asked == ["topics", "tables", "query", "agent", "jobs"]


@pytest.mark.parametrize("now", ["backoff", "starting"])
def test_who_gives_up_says_that_the_supervisor_does_not(now: str, home: Home) -> None:
    own = Running("up", os.getpid(), state.started_at(os.getpid()))
    state.save(home, State(own, "starting", processes={"jobs": Running(now)}))
    with pytest.raises(up.StackError, match=r"^TG-start ") as raised:
        up.wait(home, None, 0.1)
    assert str(raised.value).splitlines()[-1] == "it goes on trying; `tidegauge down` stops it"


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
    monkeypatch.setattr(up, "foreground", lambda *_: started.append(state.running(home)))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.7)"]) as supervisor:
        own = Running("up", supervisor.pid, state.started_at(supervisor.pid))
        state.save(home, State(own, "stopping"))
        up.up(home, "auto", off=(), detached=False, within_s=10.0)
    assert started == [None]


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
    with pytest.raises(UpgradeError, match=refused):
        upgrade.check(done, "thread", 4)
