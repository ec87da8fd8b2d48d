"""`python -m jobs submit [NAME …] [--from NAME=SAVEPOINT …]`: submits jobs to the cluster at TIDEGAUGE_FLINK.

A job whose name already runs there is left alone. All are built in one process: the first costs the start of a JVM
and of the SQL planner, the others less than a second each.
"""

import argparse
import importlib
import json
import os
import sys
from pathlib import Path

import yaml
from pydantic import ValidationError
from pyflink.common import Configuration

from jobs.settings import JobSettings
from schemas.setting import faults
from sinks import direct

NAMES = ("gate", "store", "rollup", "alert", "reroll")
# A JobManager that brings a job back takes ask.timeout from the job, whatever its own says (Flink 2.3).
_OF_A_JOB = ("execution.checkpointing.", "pipeline.", "pekko.ask.timeout")
_ALIVE = {"INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "RECONCILING", "FAILING", "SUSPENDED"}


def running(flink: str) -> set[str]:
    """Return the names of the jobs that live on the cluster; raises OSError if it does not answer."""
    with direct.urlopen(f"http://{flink}/jobs/overview", timeout=10) as answer:
        jobs = json.load(answer)["jobs"]
    return {job["name"] for job in jobs if job["state"] in _ALIVE}


def _job_options() -> dict[str, str]:
    """Return the options of a job in FLINK_CONF_DIR: a client outside `flink run` would not look at them."""
    folder = os.environ.get("FLINK_CONF_DIR")
    if not folder or not (file := Path(folder) / "config.yaml").exists():
        return {}
    options = yaml.safe_load(file.read_text())
    return {key: str(value) for key, value in options.items() if key.startswith(_OF_A_JOB)}


def cluster(flink: str, savepoint: str | None = None) -> Configuration:
    """Return the client's configuration for a detached submission to a session cluster."""
    host, _, port = flink.rpartition(":")
    config = Configuration()
    for key, value in _job_options().items():
        config.set_string(key, value)
    config.set_string("execution.target", "remote")
    config.set_string("execution.attached", "false")
    config.set_string("rest.address", host)
    config.set_string("rest.port", port)
    if savepoint:
        config.set_string("execution.state-recovery.path", savepoint)
    return config


def submit(name: str, savepoint: str | None, settings: JobSettings) -> None:
    """Build and submit one job."""
    job = importlib.import_module(f"jobs.{name}")
    streams = job.build(settings, cluster(settings.flink, savepoint))
    print(f"job {name}: submitted as {streams.submit()}", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and submit."""
    parser = argparse.ArgumentParser(prog="python -m jobs", description=__doc__)
    parser.add_argument("command", choices=["submit"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is named")
    parser.add_argument("--from", dest="savepoints", action="append", default=[], metavar="NAME=SAVEPOINT")
    args = parser.parse_args(argv)
    unknown = sorted(set(args.names) - set(NAMES))
    if unknown:
        parser.error(f"no job named {', '.join(unknown)}; there are {', '.join(NAMES)}")
    names = args.names or NAMES
    savepoints = {name: path for name, _, path in (item.partition("=") for item in args.savepoints)}
    # A job that is begun empty goes on from the offsets of its group: what its state held would be lost.
    if wrong := sorted(name for name, path in savepoints.items() if name not in names or not path):
        parser.error(f"--from {', '.join(wrong)}: NAME=SAVEPOINT is due, NAME one of {', '.join(names)}")
    try:
        settings = JobSettings()
    except ValidationError as error:
        print("\n".join(faults(error)), file=sys.stderr)
        return 2
    live = running(settings.flink)
    alive = {name for name in names if f"{settings.job_prefix}-{name}" in live}
    if late := sorted(alive & savepoints.keys()):
        print(f"TG-submit-from {', '.join(late)}: already running; stop it first", file=sys.stderr)
        return 1
    for name in names:
        if name in alive:
            print(f"job {name}: already running", flush=True)
        else:
            submit(name, savepoints.get(name), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
