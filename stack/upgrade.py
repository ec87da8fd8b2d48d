"""python -m stack.upgrade: bring the cluster's jobs to the code in the checkout.

Jobs of another code version are stopped with a savepoint, the TaskManagers that still hold the old modules are
restarted (in thread mode the interpreter lives as long as its TaskManager), and the jobs are submitted from there.
The savepoints are written down before anything else happens, so that an interrupted upgrade goes on from them.
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

from jobs.settings import FORMER_SHARDS, JobSettings
from stack import state
from stack.code import version
from stack.flink import JOB_PACKAGES, TASKMANAGERS
from stack.home import Home
from stack.rest import FlinkError, FlinkRest, Job
from stack.supervisor import ask

JOBS = ("gate", "store", "rollup", "alert", "reroll")

Submit = Callable[[Mapping[str, str], int], None]
"""Submits the jobs that do not run; takes the path of the state that a job starts from, by name, and the shards."""


class UpgradeError(RuntimeError):
    """The jobs cannot be brought to the current code; says why and what to do."""


@dataclass(slots=True)
class Submitted:
    """jobs.json: what the jobs last submitted were. pending: state to start from, of jobs stopped meanwhile."""

    code: str = ""
    mode: str = ""
    pending: dict[str, str] = field(default_factory=dict)
    shards: int = 0


def load(home: Home) -> Submitted:
    """Return what was submitted last; empty if nothing was."""
    if not home.jobs.exists():
        return Submitted()
    return Submitted(**{"shards": FORMER_SHARDS, **json.loads(home.jobs.read_text())})


def save(home: Home, submitted: Submitted) -> None:
    """Write jobs.json whole or not at all."""
    draft = home.jobs.with_suffix(".tmp")
    draft.write_text(json.dumps(asdict(submitted), indent=1))
    draft.replace(home.jobs)


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


def stop(rest: FlinkRest, job: Job) -> str | None:
    """Stop a job and return the state to start from: a savepoint, or the last checkpoint if the job fails."""
    if job.healthy:
        print(f"stopping {job.name} with a savepoint", flush=True)
        try:
            return rest.stop_with_savepoint(job)
        except FlinkError as error:
            raise UpgradeError(
                f"TG-savepoint {error}. The job still runs the old code; `tidegauge logs jobmanager` has the whole "
                "reason, the next try follows by itself"
            ) from error
    # A job that keeps failing takes no savepoint; its last checkpoint is what it would come back with. This is usual
    # when the code was changed while the stack was down: the job comes back as the old plan with the new modules.
    rest.cancel(job)
    checkpoint = rest.latest_checkpoint(job)
    print(f"cancelled {job.name} ({job.state}), state from {checkpoint or 'nothing: it had no checkpoint'}", flush=True)
    return checkpoint


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
    if live or done.pending:
        check(done, mode, shards)
    if code != done.code:
        for job in live.values():
            start = stop(rest, job)
            if start is not None:
                done.pending[job.name] = start
            done.mode, done.shards = mode, shards
            save(home, done)
    lost = [
        f"{name}={path}" for name, path in done.pending.items() if not Path(url2pathname(urlsplit(path).path)).exists()
    ]
    if lost:
        raise UpgradeError(
            f"TG-state-lost the state to start from is gone: {', '.join(lost)}. To start these jobs empty, which reads "
            f"the topics again from their start, take them out of `pending` in {home.jobs}"
        )
    refresh_taskmanagers(home, rest, code)
    if not set(JOBS) <= rest.jobs().keys():
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
    shards = shards_of(settings, load(home))
    try:
        upgrade(home, rest, version(JOB_PACKAGES), settings.execution_mode, shards, submit_jobs)
        wait_running(rest, JOBS)
    except (UpgradeError, FlinkError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    print("all jobs run", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
