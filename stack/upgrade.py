"""python -m stack.upgrade: bring the cluster's jobs to the code in the checkout.

Jobs of another code version, or with other settings, are stopped with a savepoint, the TaskManagers that still hold the
old modules are restarted (in thread mode the interpreter lives as long as its TaskManager), and the jobs are submitted
from there. What is stopped is written down before Flink is told and where its savepoint lies before anything else
happens, so that an interrupted upgrade goes on from the savepoints, also from one that Flink finished meanwhile.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from jobs.settings import JobSettings
from schemas.setting import faults
from stack import state
from stack.code import version
from stack.flink import JOB_PACKAGES, TASKMANAGERS
from stack.home import Home
from stack.javatext import local, uri
from stack.remembered import Remembered, changed, forgotten, former, remember, remembered, told
from stack.rest import FlinkError, FlinkRest, Job, SavepointError
from stack.submitted import Stop, Submitted, UpgradeError, left, load, save
from stack.supervisor import ask
from stack.sweep import sweep

JOBS = ("gate", "store", "rollup", "alert", "reroll")

Told = Mapping[str, str]
"""The settings that go into the jobs' graphs (stack/remembered.py)."""
Submit = Callable[[Mapping[str, str], int], None]
"""Submits the jobs that do not run; takes the path of the state that a job starts from, by name, and the shards."""


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


def cancel(rest: FlinkRest, one: Stop, job: Job, why: str) -> str | None:
    """End a job without a savepoint and return the newest state that it left, None if it left none."""
    print(f"cancelling {job.name} ({why})", flush=True)
    rest.cancel(job)
    return left(one)


def take_savepoint(home: Home, rest: FlinkRest, done: Submitted, job: Job) -> str | None:
    """Stop a job and return the state that it left: its savepoint, or if that fails a checkpoint. Raises UpgradeError.

    A job that is so slow that its savepoint expires is as slow at the next try.
    """
    one = done.stopping[job.name]
    print(f"stopping {job.name} with a savepoint", flush=True)
    try:
        return rest.stop_with_savepoint(job, folder=uri(Path(one.folder)), trigger=one.trigger)
    except SavepointError as error:
        if one.checkpoint is not None:
            return cancel(rest, one, job, str(error))
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
    ended(home, done, job.name, cancel(rest, one, job, job.state))


def refresh_taskmanagers(home: Home, code: str, within_s: float = 60.0) -> None:
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


def upgrade(home: Home, rest: FlinkRest, code: str, mode: str, shards: int, settings: Told, submit: Submit) -> None:
    """Bring the jobs to `code` and these settings. Raises UpgradeError or FlinkError and can be called again."""
    done = load(home)
    live = settled(rest)
    take_up(home, done, live)
    ran = remembered(home, done.code)
    done.pending |= forgotten(home, ran, {*live, *done.pending, *done.stopping}, rest.savepoint)
    if live or done.pending:
        check(done, mode, shards)
        done.mode, done.shards = mode, shards
    if other := changed(ran.settings, settings):
        print(f"not what the jobs run with: {', '.join(other)}", flush=True)
    for job in live.values():
        # One that was told to stop may end at any time: also with the same code as before it is stopped whole.
        if code != done.code or other or job.name in done.stopping:
            stop(home, rest, done, job)
    lost = [f"{name}={path}" for name, path in done.pending.items() if not local(path).exists()]
    if lost:
        raise UpgradeError(
            f"TG-state-lost the state to start from is gone: {', '.join(lost)}. To start these jobs empty, which reads "
            f"the topics again from their start, take them out of `pending` in {home.jobs}"
        )
    refresh_taskmanagers(home, code)
    if not set(JOBS) <= (live := rest.jobs()).keys():
        # Before the first of them is there: who dies from here on, or takes too long, leaves jobs of this code.
        note(home, ran, done.pending, Remembered(code, ids(live), dict(settings)))
        save(home, Submitted(code, mode, done.pending, shards))
        submit({name: path for name, path in done.pending.items() if name not in live}, shards)
    note(home, ran, done.pending, Remembered(code, ids(rest.jobs()), dict(settings)))
    save(home, Submitted(code, mode, shards=shards))


def ids(jobs: Mapping[str, Job]) -> dict[str, str]:
    """Return the ids of jobs by name."""
    return {name: job.id for name, job in jobs.items()}


def note(home: Home, ran: Remembered, pending: Mapping[str, str], now: Remembered) -> None:
    """Write down what runs now, with the state that each job was started from: before, or of those pending."""
    # One of which nobody has written down the id was on its way when that was known.
    as_before = {
        name: path for name, path in ran.starts.items() if name not in ran.jobs or now.jobs.get(name) == ran.jobs[name]
    }
    now.starts, now.former = as_before | dict(pending), former(home, ran.former, pending.values())
    remember(home, now)


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
    try:
        settings = JobSettings()
        shards = shards_of(settings, load(home))
        code = version(JOB_PACKAGES)
        upgrade(home, rest, code, settings.execution_mode, shards, told(settings), submit_jobs)
        wait_running(rest, JOBS)
        sweep(home, load(home), remembered(home, code), {job.id for job in rest.jobs().values()})
    except ValidationError as error:
        print("\n".join(faults(error)), file=sys.stderr, flush=True)
        return 1
    except (UpgradeError, FlinkError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    print("all jobs run", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
