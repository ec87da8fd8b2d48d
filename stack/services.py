"""The stack's own Python processes: ClickHouse's engine, the query service, the agent, and the steps that run once."""

import sys
from collections.abc import Mapping

from stack.archive import CLIENT
from stack.flink import JOB_PACKAGES, TASKMANAGERS, flink_env
from stack.home import Home
from stack.ports import HOST
from stack.process import Process, answers

QUERY_PACKAGES = ("query", "promql", "schemas", "sinks", "udfs")
READER = "reader"
"""The ClickHouse user of the query service, who may only read."""
AGENT_PACKAGES = ("agent", "schemas", "sinks")
SCHEMA_PACKAGES = ("schemas", "sinks")


def _done() -> bool:
    return True


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def clickhouse(home: Home, ports: Mapping[str, int], env: Mapping[str, str]) -> Process:
    """Return ClickHouse's engine behind its HTTP protocol."""
    folder = home.folder("clickhouse")
    port = ports["clickhouse"]
    return Process(
        name="clickhouse",
        command=_python("stack.clickhouse", "--path", str(folder), "--host", HOST, "--port", str(port)),
        env={**env, "TIDEGAUGE_CLICKHOUSE_READONLY_USER": READER, "TIDEGAUGE_CLICKHOUSE_READONLY_PASSWORD": ""},
        cwd=folder,
        ready=answers(port, "/ping", b"Ok."),
        grace_s=20.0,
    )


def query(home: Home, ports: Mapping[str, int], env: Mapping[str, str]) -> Process:
    """Return the query service."""
    return Process(
        name="query",
        command=_python("query"),
        env={**env, "TIDEGAUGE_CLICKHOUSE_USER": READER, "TIDEGAUGE_CLICKHOUSE_PASSWORD": ""},
        cwd=home.path,
        ready=answers(ports["query"], "/-/ready"),
        needs=("tables", "redis"),
        code=QUERY_PACKAGES,
    )


def agent(home: Home, env: Mapping[str, str]) -> Process:
    """Return the agent: this machine's metrics, and those of the stack itself."""
    return Process(
        name="agent",
        command=_python("agent"),
        env=env,
        cwd=home.path,
        ready=_done,
        needs=("topics",),
        feeds=True,
        code=AGENT_PACKAGES,
    )


def topics(home: Home, env: Mapping[str, str]) -> Process:
    """Return the step that makes or updates the Kafka topics."""
    command = _python("sinks.topics", env["TIDEGAUGE_KAFKA"])
    return Process("topics", command, env, home.path, _done, needs=("kafka",), once=True, code=SCHEMA_PACKAGES)


def tables(home: Home, env: Mapping[str, str]) -> Process:
    """Return the step that makes or updates the ClickHouse tables."""
    command = _python("sinks.ddl")
    return Process("tables", command, env, home.path, _done, needs=("clickhouse",), once=True, code=SCHEMA_PACKAGES)


def jobs(home: Home, env: Mapping[str, str]) -> Process:
    """Return the step that brings the cluster's jobs to the code in the checkout."""
    return Process(
        name="jobs",
        command=_python("stack.upgrade"),
        env={**env, **flink_env(home)},
        cwd=home.path,
        ready=_done,
        needs=("topics", "tables", "jobmanager", *TASKMANAGERS),
        once=True,
        code=JOB_PACKAGES,
        classes=CLIENT,
        ready_s=240.0,
    )
