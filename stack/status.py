"""tidegauge status: what runs, where it listens, how much memory it takes."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import psutil

from stack import plan
from stack.home import Home
from stack.rest import FlinkError, FlinkRest
from stack.state import halted, held, leftovers, running
from stack.upgrade import JOBS

MISSING = "MISSING"
"""The state of a job that should be there and that Flink does not have."""
ROOM_BYTES = 256 << 20
"""With less than this free the next checkpoint, or block of rows, may not fit: all runs, and nothing is written."""


def memory(pid: int | None) -> int:
    """Return the resident bytes of a process and all its descendants; 0 if it is gone."""
    if pid is None:
        return 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for one in family:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def jobs_wanted(processes: Mapping[str, Any]) -> bool:
    """Tell whether the stack is to have its jobs; processes: of a status."""
    return "jobs" in processes and processes["jobs"]["state"] != "off"


def status(home: Home) -> dict[str, Any]:
    """Return everything that status shows, as the JSON that --json prints.

    flink_error: why no jobs are known; left: what still runs though its supervisor was killed.
    """
    recorded = running(home)
    if recorded is None:
        left = [name for name, _ in leftovers(home)]
        return {"home": str(home.path), "phase": "stopped", "endpoints": {}, "processes": {}, "jobs": {}, "left": left}
    addresses = plan.endpoints(recorded.ports)
    processes = {
        name: {**asdict(one), "halted": halted(one.pid), "rss": memory(one.pid)}
        for name, one in recorded.processes.items()
    }
    own = recorded.supervisor
    supervisor = {**asdict(own), "halted": halted(own.pid), "rss": psutil.Process(own.pid).memory_info().rss}
    jobs, silent = dict[str, dict[str, str]](), ""
    try:
        jobs = {job.name: {"id": job.id, "state": job.state} for job in FlinkRest(addresses["flink"]).jobs().values()}
        if jobs_wanted(processes):
            jobs = {**{name: {"id": "", "state": MISSING} for name in JOBS}, **jobs}
    except FlinkError as error:
        silent = str(error)
    return {
        "home": str(home.path),
        "free": shutil.disk_usage(home.path).free,
        "phase": recorded.phase,
        "endpoints": addresses,
        "metrics": f"{addresses['query'].partition(':')[0]}:{recorded.ports['metrics']}",
        "processes": {"supervisor": supervisor, **processes},
        "jobs": jobs,
        "flink_error": silent,
        "rss": supervisor["rss"] + sum(one["rss"] for one in processes.values()),
    }


def amiss(shown: Mapping[str, Any]) -> list[str]:
    """Return what does not run in a status that should, a phrase each."""
    found = [] if shown["phase"] == "running" else [f"the phase is {shown['phase']}"]
    if shown["free"] < ROOM_BYTES:
        found.append(f"the disk of the home has {shown['free'] >> 20} MiB left")
    found += [f"process {name} is in backoff" for name, one in shown["processes"].items() if one["state"] == "backoff"]
    found += [held(name, one["pid"]) for name, one in shown["processes"].items() if one["halted"]]
    if jobs_wanted(shown["processes"]):
        if shown["flink_error"]:
            found.append("the jobs are not known")
        found += [f"job {name} is {job['state']}" for name, job in shown["jobs"].items() if job["state"] != "RUNNING"]
    return found


def _job(name: str, state: str, step: str) -> str:
    """Return the line of a job; step: the state of what submits it."""
    way = "`tidegauge up` brings it back" if step in ("done", "up") else f"step jobs is {step}"
    return f"job {name:<11}{state}" + (f"  ({way})" if state == MISSING else "")


def text(shown: dict[str, Any]) -> str:
    """Return the status for people."""
    if shown["phase"] == "stopped" and shown["left"]:
        return (
            f"TG-left the supervisor in {shown['home']} was killed, and nobody watches what still runs: "
            f"{', '.join(shown['left'])}; `tidegauge up --detach` starts all anew, `tidegauge down` ends them"
        )
    if shown["phase"] == "stopped":
        return f"no stack runs in {shown['home']}; `tidegauge up --detach` starts one"
    lines = [f"home    {shown['home']}", f"phase   {shown['phase']}", ""]
    lines += [f"{name:<12}http://{address}" if name in ("clickhouse", "flink", "query") else f"{name:<12}{address}"
              for name, address in shown["endpoints"].items()]  # fmt: skip
    lines += ["", f"{'process':<15}{'state':<10}{'pid':>8}{'restarts':>10}{'memory':>10}"]
    for name, one in shown["processes"].items():
        pid = "" if one["pid"] is None else one["pid"]
        size = f"{one['rss'] / 2**20:.0f} MiB" if one["rss"] else ""
        lines.append(f"{name:<15}{one['state']:<10}{pid:>8}{one['restarts']:>10}{size:>10}")
    lines += [f"{'all together':<43}{shown['rss'] / 2**30:>6.2f} GiB", ""]
    none = (
        f"jobs are not known: Flink does not answer: {shown['flink_error']}" if shown["flink_error"] else "no jobs run"
    )
    step = shown["processes"].get("jobs", {"state": "off"})["state"]
    lines += [_job(name, job["state"], step) for name, job in shown["jobs"].items()] or [none]
    if found := amiss(shown):
        lines += ["", f"TG-status not all runs: {', '.join(found)}"]
    return "\n".join(lines)
