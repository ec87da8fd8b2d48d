"""The Flink cluster: a JobManager and the TaskManagers, started from the wheel."""

import json
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import yaml

from sinks import direct
from stack import submitted
from stack.archive import CLIENT, JOBMANAGER, TASKMANAGER
from stack.code import version
from stack.home import ROOT, Home
from stack.jars import lib, pyflink_home
from stack.javatext import uri
from stack.poisoned import Poisoned
from stack.ports import HOST
from stack.process import Process, answers, refuses
from stack.rest import FlinkRest

TASKMANAGERS = ("taskmanager-1", "taskmanager-2")
"""Two, because all Python of one TaskManager shares one interpreter lock."""

STORAGE = "high-availability.storageDir"
"""Where Flink keeps what it remembers of the jobs."""

JOB_PACKAGES = ("jobs", "udfs", "schemas", "sinks", "promql")

LOG4J = """monitorInterval = 30
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1.} %x - %m%n
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
logger.shaded_kafka.name = org.apache.flink.kafka.shaded
logger.shaded_kafka.level = WARN
logger.types.name = org.apache.flink.api.java.typeutils.TypeExtractor
logger.types.level = WARN
logger.zookeeper.name = org.apache.flink.shaded.zookeeper3
logger.zookeeper.level = WARN
"""
# To the console only: the supervisor keeps and bounds the files. The type extractor has a line for each class of the
# SQL parser, hundreds at every submission.


def script(name: str) -> str:
    """Return the path of one of Flink's start scripts."""
    return str(pyflink_home() / "bin" / name)


def shared_settings() -> dict[str, object]:
    """Return flink-conf/config.yaml."""
    settings: dict[str, object] = yaml.safe_load((ROOT / "flink-conf" / "config.yaml").read_text())
    return settings


def local_settings(home: Home, ports: Mapping[str, int]) -> dict[str, object]:
    """Return what config.yaml leaves open: addresses, ports and folders."""
    data = home.folder("flink")
    return {
        "jobmanager.rpc.address": HOST,
        "jobmanager.bind-host": HOST,
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": ports["flink"],
        "high-availability.zookeeper.quorum": f"{HOST}:{ports['zookeeper']}",
        STORAGE: uri(data / "ha"),
        "execution.checkpointing.dir": uri(data / "checkpoints"),
        "execution.checkpointing.savepoint-dir": uri(data / "savepoints"),
        "io.tmp.dirs": str(home.folder("flink", "tmp")),
        "env.pid.dir": str(home.folder("flink", "pids")),
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
    }


def render(home: Home, ports: Mapping[str, int]) -> None:
    """Write the configuration folder of this home's cluster."""
    conf = home.folder("flink", "conf")
    settings = {**shared_settings(), **local_settings(home, ports)}
    (conf / "config.yaml").write_text(yaml.safe_dump(settings, width=10_000))
    for name in ("log4j-console.properties", "log4j-cli.properties", "log4j.properties"):
        (conf / name).write_text(LOG4J)


def flink_env(home: Home) -> dict[str, str]:
    """Return what Flink's scripts and clients need to find this home's cluster."""
    wheel = pyflink_home()
    flink = home.folder("flink")
    return {
        "FLINK_HOME": str(wheel),
        "FLINK_CONF_DIR": str(flink / "conf"),
        "FLINK_LIB_DIR": str(lib()),
        "FLINK_OPT_DIR": str(wheel / "opt"),
        "FLINK_PLUGINS_DIR": str(wheel / "plugins"),
        "FLINK_LOG_DIR": str(home.folder("log")),
        "FLINK_PID_DIR": str(flink / "pids"),
        **CLIENT.env(),
    }


def drop_broken_results(home: Home) -> list[str]:
    """Delete unfinished job results that lack an application id or cannot be read; return the ids of their jobs.

    Flink 2.3.0 leaves the former when a job fails while it is initialised, the latter when it is killed as it writes,
    and every later JobManager dies of either (IllegalStateException: Application ID is missing in the recovered job
    result). Without it the job is tried again.
    """
    dropped = []
    for path in home.folder("flink", "ha", "job-result-store").glob("*/*_DIRTY.json"):
        if _broken(path):
            path.unlink()
            dropped.append(path.name.removesuffix("_DIRTY.json"))
            print(f"TG-job-result the result of job {dropped[-1]} was broken and is deleted: {path}", flush=True)
    return dropped


def _broken(result: Path) -> bool:
    try:
        return not json.loads(result.read_text())["result"]["application-id"]
    except (ValueError, KeyError, TypeError):
        return True


def jobmanager(home: Home, ports: Mapping[str, int], env: Mapping[str, str]) -> Process:
    """Return the JobManager's process."""
    return Process(
        name="jobmanager",
        command=(script("jobmanager.sh"), "start-foreground"),
        env={**env, **flink_env(home)},
        cwd=home.folder("flink"),
        ready=answers(ports["flink"], "/overview", b"slots-total"),
        needs=("zookeeper",),
        classes=JOBMANAGER,
        grace_s=15.0,
        # On a busy machine it brings the jobs back for minutes before it answers; killing it would begin that anew.
        ready_s=600.0,
        # One that has given up closes its port first, and may take minutes over the rest.
        lost=refuses(ports["flink"]),
        prepare=lambda: drop_broken_results(home),
    )


def refusers(home: Home) -> tuple[str, ...]:
    """Return the step that may refuse this code, where the jobs ran with another: Flink brings them back by itself.

    Older code would write what newer tables do not take, or take for something else.
    """
    try:
        code = submitted.load(home).code
    except submitted.UpgradeError:  # the step `jobs` tells of it
        return ("tables",)
    return () if code in ("", version(JOB_PACKAGES)) else ("tables",)


def taskmanager(
    name: str, home: Home, ports: Mapping[str, int], env: Mapping[str, str], first: tuple[str, ...]
) -> Process:
    """Return one TaskManager's process; first: as refusers returns it.

    Its fixed id lets a restarted one take the dead one's place at once.
    """

    def listed() -> bool | None:
        """Tell whether the JobManager has it; None if that does not answer."""
        try:
            with direct.urlopen(f"http://{HOST}:{ports['flink']}/taskmanagers", timeout=1.0) as response:
                found = json.load(response)["taskmanagers"]
        except (OSError, HTTPException, ValueError):  # as in answers
            return None
        return any(one["id"] == name and one["slotsNumber"] > 0 for one in found)

    poisoned = Poisoned(name, FlinkRest(f"{HOST}:{ports['flink']}", timeout_s=1.0))
    return Process(
        name=name,
        command=(script("taskmanager.sh"), "start-foreground", "-D", f"taskmanager.resource-id={name}"),
        # Of glibc's arenas, one a thread otherwise, each keeps what it once had; docker-compose.yml has the same.
        env={
            **env,
            **flink_env(home),
            "MALLOC_ARENA_MAX": "2",
            "MALLOC_MMAP_THRESHOLD_": "67108864",
            "MALLOC_TRIM_THRESHOLD_": "268435456",
        },
        cwd=home.folder("flink"),
        ready=lambda: listed() is True,
        prepare=poisoned.started,
        # One that only collects garbage misses its heartbeats, but does not end: nobody else has slots for its jobs.
        lost=lambda: listed() is False or poisoned(),
        needs=("zookeeper", *first),
        code=JOB_PACKAGES,
        classes=TASKMANAGER,
        grace_s=15.0,
        # It waits for a JobManager by itself; killing it meanwhile would only cost.
        ready_s=600.0,
    )
