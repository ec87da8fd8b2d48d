"""A stack of its own for one run: fresh home, free ports, gone afterwards."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import cpu
from stack.flink import flink_env
from stack.home import Home
from stack.rest import FlinkError, FlinkRest

ROOT = Path(__file__).resolve().parent.parent


class ClusterError(RuntimeError):
    """The stack or a job did what it should not; the message says where its log lies."""


class Cluster:
    """Starts with `with`; env holds settings of the processes, by their TIDEGAUGE_ names."""

    def __init__(self, env: Mapping[str, str], without: Sequence[str] = (), keep: bool = False) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="tidegauge-bench-"))
        self.without = [f"--without={part}" for part in ("jobs", *without)]
        self.keep = keep
        self.endpoints: dict[str, str] = {}
        # Settings of the caller's own stack must not reach this one.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
        self._env = {**clean, **env, "TIDEGAUGE_HOME": str(self.home)}

    def __enter__(self) -> "Cluster":
        print(f"home: {self.home}", file=sys.stderr, flush=True)
        try:
            self._run("stack.cli", "up", "--detach", "--ports", "auto", *self.without)
            self.endpoints = self.status()["endpoints"]
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        self._env |= {f"TIDEGAUGE_{name.upper()}": address for name, address in self.endpoints.items()}
        self._env |= flink_env(Home(self.home))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.keep:
            print(f"kept: TIDEGAUGE_HOME={self.home} tidegauge status", file=sys.stderr)
            return
        # Whoever ends the benchmark (bench/program.py) has no fault to look for.
        wanted = error is not None and not isinstance(error, SystemExit)
        if wanted:
            print(f"logs: {self.home}/log", file=sys.stderr)
        self._run("stack.cli", "down")
        if not wanted:
            shutil.rmtree(self.home)

    def status(self) -> dict[str, Any]:
        """Return what `tidegauge status --json` says."""
        found: dict[str, Any] = json.loads(self._run("stack.cli", "status", "--json"))
        return found

    def reach(self, name: str, address: str) -> None:
        """Let the jobs submitted from now on reach a part at another address."""
        self._env[f"TIDEGAUGE_{name.upper()}"] = address

    def submit(self, jobs: Sequence[str]) -> float:
        """Submit jobs, return once the cluster has them: the CPU seconds of the client, the last 0.2 s not seen."""
        command = [sys.executable, "-m", "jobs", "submit", *jobs]
        used = 0.0
        with (self.home / "log" / "submit.log").open("wb") as log:
            client = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=log, stderr=subprocess.STDOUT)
            # Its JVM is nobody's child in the end, so its time is taken while it lives.
            while client.poll() is None:
                used = max(used, cpu.seconds({"client": client.pid}, cpu.snapshot())["client"])
                time.sleep(0.2)
        if client.returncode:
            said = (self.home / "log" / "submit.log").read_text()[-2000:]
            raise ClusterError(f"TG-bench-command: jobs submit ended with {client.returncode}:\n{said}")
        return used

    def tasks(self) -> tuple[int, int, list[str]]:
        """Return (running tasks, all tasks, jobs that are in trouble) from Flink's REST API."""
        jobs = self._flink("jobs/overview")["jobs"]
        trouble = [
            f"{job['name']} is {job['state']}: {self._cause(job['jid'])}"
            for job in jobs
            if job["state"] not in ("CREATED", "RUNNING")
        ]
        return sum(j["tasks"]["running"] for j in jobs), sum(j["tasks"]["total"] for j in jobs), trouble

    def _cause(self, job: str) -> str:
        """Return what the job's last exception was caused by."""
        entries = self._flink(f"jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        if not entries:
            return "no exception"
        lines = str(entries[0]["stacktrace"]).splitlines()
        return [lines[0], *(line for line in lines if line.startswith("Caused by"))][-1][:300]

    def _flink(self, path: str) -> Any:
        try:
            return FlinkRest(self.endpoints["flink"], timeout_s=10).call(f"/{path}")
        except FlinkError as error:
            raise ClusterError(str(error)) from error

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each process of the stack so far, with its children."""
        state = json.loads((self.home / "state.json").read_text())
        roots = {name: one["pid"] for name, one in state["processes"].items() if one["pid"]}
        roots["supervisor"] = state["supervisor"]["pid"]
        return cpu.seconds(roots, cpu.snapshot())

    def _run(self, module: str, *arguments: str) -> str:
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self._env, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise ClusterError(f"TG-bench-command: {' '.join(command[1:])} ended with {done.returncode}:\n{said}")
        return done.stdout
