"""python -m stack.upgrade: bring the cluster's jobs to the code in the checkout.

Jobs of another code version are stopped with a savepoint, the TaskManagers that still hold the old modules are
restarted (in thread mode the interpreter lives as long as its TaskManager), and the jobs are submitted from there.
What is stopped is written down before Flink is told and where its savepoint lies before anything else happens, so that
an interrupted upgrade goes on from the savepoints, also from one that Flink finished meanwhile.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from jobs.settings import FORMER_SHARDS, JobSettings
from stack import state
from stack.code import version
from stack.flink import JOB_PACKAGES, TASKMANAGERS
from stack.home import Home
from stack.ports import write
from stack.rest import FlinkError, FlinkRest, Job, SavepointError
from stack.supervisor import ask

JOBS = ("gate", "store", "rollup", "alert", "reroll")

Submit = Callable[[Mapping[str, str], int], None]
"""Submits the jobs that do not run; takes the path of the state that a job starts from, by name, and the shards."""


class UpgradeError(RuntimeError):
    """The jobs cannot be brought to the current code; says why and what to do."""


@dataclass(slots=True)
class Stop:
    """A job that was told to end, of which it is not known yet what it left.

    job: its id. folder: of its own, for its savepoint; empty if it was cancelled. trigger: Flink's id of the savepoint.
    checkpoint: the newest one before.
    """

    job: str
    folder: str = ""
    trigger: str = ""
    checkpoint: str | None = None


@dataclass(slots=True)
class Submitted:
    """jobs.json: what the jobs last submitted were.

    code: empty while jobs of other code are being submitted, when each that runs may be of either. pending: state to
    start from, of jobs stopped meanwhile. stopping: those that were told to stop.
    """

    code: str = ""
    mode: str = ""
    pending: dict[str, str] = field(default_factory=dict)
    shards: int = 0
    stopping: dict[str, Stop] = field(default_factory=dict)


def load(home: Home) -> Submitted:
    """Return what was submitted last; empty if nothing was. Raises UpgradeError."""
    if not home.jobs.exists():
        return Submitted()
    try:
        raw = {"shards": FORMER_SHARDS, "stopping": {}, **json.loads(home.jobs.read_text())}
        return Submitted(**{**raw, "stopping": {name: Stop(**one) for name, one in raw["stopping"].items()}})
    except (ValueError, TypeError, AttributeError) as error:
        example = {"mode": "thread", "shards": 4, "pending": {"gate": "file:/…/savepoint-…"}}
        raise UpgradeError(
            f"TG-jobs-file {home.jobs} cannot be read ({error}). If all jobs run, delete it: they are stopped with a "
            "savepoint and go on from that. A job that does not run would be started empty, which reads the topics "
            "again from their start: to go on from its newest savepoint or checkpoint below "
            f"{home.path / 'flink'}, write {json.dumps(example, ensure_ascii=False)} into the file"
        ) from error


def save(home: Home, submitted: Submitted) -> None:
    """Write jobs.json whole or not at all. Returns once it is on the disk, since Flink acts on it behind."""
    raw = asdict(submitted)
    if not submitted.stopping:
        del raw["stopping"]  # code from before does not know it, and someone may go back to that
    write(home.jobs, json.dumps(raw, indent=1))
    folder = os.open(home.path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def shards_of(settings: JobSettings, recorded: Submitted) -> int:
    """Return how many shards a tenant has: as asked for, else as the home's state has it, else the default."""
    return settings.shards if "shards" in settings.model_fields_set else recorded.shards or settings.shards


def settled(rest: FlinkRest, within_s: float = 45.0) -> dict[str, Job]:
    """Return the jobs once each runs whole or fails; one that is still being set up after `within_s` counts as failing.

    After a start of the JobManager all jobs are being set up for a while.
    """
    deadline = time.monotonic() + within_s
    while True:
        live = rest.jobs()
        unsettled = [job for job in live.values() if not job.healthy and job.state not in ("RESTARTING", "FAILING")]
        if not unsettled or time.monotonic() > deadline:
            return live
        time.sleep(0.3)


def local(uri: str) -> Path:
    """Return the path that a file URI of Flink's says."""
    return Path(url2pathname(urlsplit(uri).path))


def left(one: Stop) -> str | None:
    """Return the newest state that a job which has ended left, None if it left none. `_metadata` is written last."""
    whole = list(Path(one.folder).glob("*/_metadata")) if one.folder else []
    if one.checkpoint is not None:
        whole += local(one.checkpoint).parent.glob("chk-*/_metadata")
    newest = max(whole, key=lambda path: path.stat().st_mtime_ns, default=None)
    return one.checkpoint if newest is None else newest.parent.as_uri()


def ended(home: Home, done: Submitted, name: str, start: str | None) -> None:
    """Write down the state that a stopped job is started from. Raises UpgradeError if it is lost."""
    one = done.stopping[name]
    if start is not None:
        done.pending[name] = start
    elif one.folder:
        raise UpgradeError(
            f"TG-state-lost {name} was stopped with a savepoint, but there is none in {one.folder}, and no checkpoint "
            "is known. To start it empty, which reads the topics again from their start, take it out of `stopping` in "
            f"{home.jobs}"
        )
    del done.stopping[name]
    save(home, done)
    print(f"{name} has ended, state from {done.pending.get(name, 'nothing: it had no checkpoint')}", flush=True)


def take_up(home: Home, done: Submitted, live: Mapping[str, Job]) -> None:
    """Follow the stops of an interrupted upgrade: a job may have ended after nobody waited for it any more."""
    for name, one in list(done.stopping.items()):
        if name not in live:
            ended(home, done, name, left(one))
        elif live[name].id != one.job:
            del done.stopping[name]  # someone submitted it anew


def take_savepoint(home: Home, rest: FlinkRest, done: Submitted, job: Job) -> str:
    """Stop a job and return where its savepoint lies; raises UpgradeError."""
    one = done.stopping[job.name]
    print(f"stopping {job.name} with a savepoint", flush=True)
    try:
        return rest.stop_with_savepoint(job, folder=Path(one.folder).as_uri(), trigger=one.trigger)
    except SavepointError as error:
        one.trigger = uuid4().hex  # Flink would answer the same again for the one that failed
        save(home, done)
        raise UpgradeError(
            f"TG-savepoint {error}. The job still runs the old code; `tidegauge logs jobmanager` has the whole "
            "reason, the next try follows by itself"
        ) from error
    except FlinkError as error:
        raise UpgradeError(
            f"TG-savepoint {error}. Flink may still finish it, which ends the job; the next try, which follows by "
            "itself, waits for it or goes on from it"
        ) from error


def stop(home: Home, rest: FlinkRest, done: Submitted, job: Job) -> None:
    """Stop a job and write down the state to start from: a savepoint, or the last checkpoint if the job fails."""
    one = done.stopping.setdefault(job.name, Stop(job.id))
    one.checkpoint = rest.latest_checkpoint(job) or one.checkpoint
    if job.healthy and not one.folder:
        one.trigger = uuid4().hex
        one.folder = str(home.path / "flink" / "savepoints" / f"{job.name}-{one.trigger}")
    save(home, done)
    if job.healthy:
        ended(home, done, job.name, take_savepoint(home, rest, done, job))
        return
    # A job that keeps failing takes no savepoint; its last checkpoint is what it would come back with. This is usual
    # when the code was changed while the stack was down: the job comes back as the old plan with the new modules.
    print(f"cancelling {job.name} ({job.state})", flush=True)
    rest.cancel(job)
    ended(home, done, job.name, left(one))


def refresh_taskmanagers(home: Home, rest: FlinkRest, code: str, within_s: float = 60.0) -> None:
    """Restart the TaskManagers that were started with other code, and wait until they are back."""
    recorded = state.load(home).processes
    stale = {name: recorded[name].pid for name in TASKMANAGERS if name in recorded and recorded[name].code != code}
    for name in stale:
        print(f"restarting {name}: it holds the old code", flush=True)
        ask(home, name)
    deadline = time.monotonic() + within_s
    while stale:
        recorded = state.load(home).processes
        stale = {n: p for n, p in stale.items() if recorded[n].state != "up" or recorded[n].pid == p}
        if time.monotonic() > deadline:
            raise UpgradeError(f"TG-taskmanager {', '.join(stale)} did not come back within {within_s:.0f} s")
        time.sleep(0.2)


def check(done: Submitted, mode: str, shards: int) -> None:
    """Raise UpgradeError if jobs of this mode and number of shards cannot go on from the state of those before."""
    if done.mode and done.mode != mode:
        raise UpgradeError(
            f"TG-execution-mode the jobs' state was made in {done.mode} mode, TIDEGAUGE_EXECUTION_MODE says "
            f"{mode}: restored in another mode it would be empty. Set TIDEGAUGE_EXECUTION_MODE={done.mode}"
        )
    if done.shards and done.shards != shards:
        raise UpgradeError(
            f"TG-shards the jobs' state was made with {done.shards} shards a tenant, TIDEGAUGE_SHARDS says {shards}: "
            "windows that are open would be closed in two parts, of which the larger stands. Set "
            f"TIDEGAUGE_SHARDS={done.shards}, or begin with another TIDEGAUGE_HOME"
        )


def upgrade(home: Home, rest: FlinkRest, code: str, mode: str, shards: int, submit: Submit) -> None:
    """Bring the jobs to `code`. Raises UpgradeError or FlinkError and can be called again."""
    done = load(home)
    live = settled(rest)
    take_up(home, done, live)
    if live or done.pending:
        check(done, mode, shards)
        done.mode, done.shards = mode, shards
    for job in live.values():
        # One that was told to stop may end at any time: also with the same code as before it is stopped whole.
        if code != done.code or job.name in done.stopping:
            stop(home, rest, done, job)
    lost = [f"{name}={path}" for name, path in done.pending.items() if not local(path).exists()]
    if lost:
        raise UpgradeError(
            f"TG-state-lost the state to start from is gone: {', '.join(lost)}. To start these jobs empty, which reads "
            f"the topics again from their start, take them out of `pending` in {home.jobs}"
        )
    refresh_taskmanagers(home, rest, code)
    if not set(JOBS) <= rest.jobs().keys():
        # Who dies from here on leaves jobs of this code, and who comes next may have the former one.
        done = Submitted(code if code == done.code else "", mode, done.pending, shards)
        save(home, done)
        submit(done.pending, shards)
    save(home, Submitted(code, mode, shards=shards))


def submit_jobs(start: Mapping[str, str], shards: int) -> None:
    """Run `python -m jobs submit` and wait for its JVM, which may write an archive. Raises UpgradeError if it fails."""
    arguments = [part for name, path in start.items() for part in ("--from", f"{name}={path}")]
    env = {**os.environ, "TIDEGAUGE_SHARDS": str(shards)}
    command = [sys.executable, "-m", "jobs", "submit", *arguments]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        for line in client.stdout:  # up to the JVM's end, which is not the client's child in the end but has its output
            print(line, end="", flush=True)
    if client.returncode:
        raise UpgradeError(f"TG-submit `python -m jobs submit` ended with exit code {client.returncode}, see above")


def wait_running(rest: FlinkRest, names: tuple[str, ...], within_s: float = 90.0) -> None:
    """Return once the jobs run; raises UpgradeError naming those that do not."""
    deadline = time.monotonic() + within_s
    while True:
        live = rest.jobs()
        waited = {name: live[name].state if name in live else "not there" for name in names}
        waited = {name: one for name, one in waited.items() if name not in live or not live[name].healthy}
        if not waited:
            return
        if time.monotonic() > deadline:
            shown = ", ".join(f"{name} is {one}" for name, one in waited.items())
            raise UpgradeError(f"TG-jobs {shown} after {within_s:.0f} s; `tidegauge logs taskmanager-1` may say why")
        time.sleep(0.3)


def main() -> int:
    """Upgrade the cluster of TIDEGAUGE_HOME and TIDEGAUGE_FLINK; exit code 1 and one line if that fails."""
    home, rest = Home.choose(None), FlinkRest(os.environ["TIDEGAUGE_FLINK"])
    settings = JobSettings()
    try:
        shards = shards_of(settings, load(home))
        upgrade(home, rest, version(JOB_PACKAGES), settings.execution_mode, shards, submit_jobs)
        wait_running(rest, JOBS)
    except (UpgradeError, FlinkError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    print("all jobs run", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
