"""Flink's REST API, as much of it as the stack needs."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from sinks import direct

LIVE = ("INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "FAILING", "SUSPENDED", "RECONCILING")
PREFIX = "tidegauge-"


class FlinkError(RuntimeError):
    """Flink refused a request or does not answer."""


class SavepointError(FlinkError):
    """A savepoint has failed: the job does not end with it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the cluster; name is without the prefix `tidegauge-`. healthy: every one of its tasks runs."""

    id: str
    name: str
    state: str
    healthy: bool


@dataclass(frozen=True, slots=True)
class FlinkRest:
    """The JobManager at host:port."""

    address: str
    timeout_s: float = 5.0

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Return the JSON of an answer; raises FlinkError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{self.address}{path}", data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with direct.urlopen(request, timeout=self.timeout_s) as response:
                return json.loads(response.read() or b"{}")
        except urllib.error.HTTPError as error:
            reason = error.read(2000).decode(errors="replace").partition("\\n")[0]
            raise FlinkError(f"TG-flink {path}: HTTP {error.code}: {reason}") from error
        except (OSError, HTTPException, ValueError) as error:  # the second: the answer was cut, or is no HTTP
            raise FlinkError(f"TG-flink {path}: {error}") from error

    def jobs(self) -> dict[str, Job]:
        """Return Tidegauge's jobs that have not ended, by name."""
        live = {}
        for job in self.call("/jobs/overview")["jobs"]:
            if job["name"].startswith(PREFIX) and job["state"] in LIVE:
                name, tasks = job["name"].removeprefix(PREFIX), job["tasks"]
                healthy = job["state"] == "RUNNING" and tasks["running"] == tasks["total"] > 0
                live[name] = Job(job["jid"], name, job["state"], healthy)
        return live

    def stop_with_savepoint(
        self, job: Job, within_s: float = 120.0, folder: str | None = None, trigger: str | None = None
    ) -> str:
        """Stop a running job and return where its savepoint lies: in `folder`, a URI, if that is given.

        A `trigger`, 32 hex digits, that Flink knows already is not a second stop: the first one is waited for. Raises
        SavepointError with Flink's reason; after any other FlinkError the job may still end with a savepoint.
        """
        asked = {"drain": False, "targetDirectory": folder, "triggerId": trigger}
        trigger = self.call(f"/jobs/{job.id}/stop", asked)["request-id"]
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            answer = self.call(f"/jobs/{job.id}/savepoints/{trigger}")
            if answer["status"]["id"] == "COMPLETED":
                operation = answer["operation"]
                if "location" in operation:
                    return str(operation["location"])
                reason = operation["failure-cause"]["stack-trace"].splitlines()
                raise SavepointError(f"savepoint of {job.name} failed: {reason[0]}")
            time.sleep(0.2)
        raise FlinkError(f"savepoint of {job.name} takes longer than {within_s:.0f} s")

    def take_checkpoints(self, jobs: Iterable[Job], within_s: float) -> set[str]:
        """Take a checkpoint of each job, all at once; return the names of those that have it in time."""
        deadline = time.monotonic() + within_s
        waiting, done = dict[str, str](), set[str]()
        for job in jobs:
            of = f"/jobs/{job.id}/checkpoints"
            with suppress(FlinkError):  # whoever cannot be asked has none
                waiting[job.name] = f"{of}/{self.call(of, {'checkpointType': 'CONFIGURED'})['request-id']}"
        while waiting and time.monotonic() < deadline:
            for name, path in list(waiting.items()):
                with suppress(FlinkError):
                    answer = self.call(path)
                    if answer["status"]["id"] == "COMPLETED":
                        done |= {name} if "checkpointId" in answer["operation"] else set()
                        del waiting[name]
            time.sleep(0.1)
        return done

    def latest_checkpoint(self, job: Job) -> str | None:
        """Return where the newest completed checkpoint of the job lies, None if it has none."""
        latest = self.call(f"/jobs/{job.id}/checkpoints")["latest"]
        newest = latest["completed"] or latest["restored"]
        return None if newest is None else str(newest["external_path"])

    def savepoint(self, job: str) -> str | None:
        """Return where the newest savepoint lies of a job, by its id, that may have ended; None if Flink knows none."""
        if all(one["jid"] != job for one in self.call("/jobs/overview")["jobs"]):
            return None  # of what has ended it knows for an hour, or until it is started anew
        taken = self.call(f"/jobs/{job}/checkpoints")["latest"]["savepoint"]
        return None if taken is None else str(taken["external_path"])

    def cancel(self, job: Job, within_s: float = 60.0) -> None:
        """Cancel the job and wait until it has ended; raises FlinkError."""
        self.call(f"/jobs/{job.id}", method="PATCH")
        deadline = time.monotonic() + within_s
        while job.name in (live := self.jobs()) and live[job.name].id == job.id:
            if time.monotonic() > deadline:
                raise FlinkError(f"{job.name} did not end within {within_s:.0f} s of its cancellation")
            time.sleep(0.2)
