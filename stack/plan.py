"""All processes of one stack, with the environment that they share."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from stack import flink, kafka, redis, services, zookeeper
from stack.home import ROOT, Home
from stack.ports import ENDPOINTS, HOST
from stack.process import Process


def endpoints(ports: Mapping[str, int]) -> dict[str, str]:
    """Return host:port of each part that people and programs use."""
    return {name: f"{HOST}:{ports[name]}" for name in ENDPOINTS}


def addresses(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the endpoints by the names of the settings that every program reads."""
    return {f"TIDEGAUGE_{name.upper()}": address for name, address in endpoints(ports).items()}


def settings(home: Home, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the settings that every process is given, whatever the caller's environment says of them."""
    scraped = [f"flink=http://{HOST}:{ports['metrics']}/metrics", f"query=http://{HOST}:{ports['query']}/metrics"]
    return {
        "TIDEGAUGE_HOME": str(home.path),
        # The stack's own broker asks nobody who comes.
        "TIDEGAUGE_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "TIDEGAUGE_CLICKHOUSE_USER": "default",
        "TIDEGAUGE_CLICKHOUSE_PASSWORD": "",
        "TIDEGAUGE_CLICKHOUSE_DATABASE": "tidegauge",
        "TIDEGAUGE_AGENT_SCRAPE": ",".join(scraped),
        "TIDEGAUGE_AGENT_GROUPS": f"{os.environ.get('TIDEGAUGE_JOB_PREFIX', 'tidegauge')}-",
        **addresses(ports),
    }


def environment(home: Home, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the environment of every process: the caller's, with the shared TIDEGAUGE_ names set."""
    # Kafka and ZooKeeper call `java`: it shall be the one that Flink takes.
    first = [str(Path(sys.executable).parent), *([f"{java}/bin"] if (java := os.environ.get("JAVA_HOME")) else [])]
    path = os.pathsep.join([*first, os.environ.get("PATH", os.defpath)])
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        **settings(home, ports),
    }


def processes(home: Home, ports: Mapping[str, int]) -> list[Process]:
    """Return the stack's processes and write the configuration files that they read."""
    env = environment(home, ports)
    flink.render(home, ports)
    first = flink.refusers(home)
    return [
        zookeeper.server(home, ports, env),
        kafka.broker(home, ports, env),
        services.clickhouse(home, ports, env),
        redis.server(home, ports, env),
        flink.jobmanager(home, ports, env),
        *(flink.taskmanager(name, home, ports, env, first) for name in flink.TASKMANAGERS),
        services.topics(home, env),
        services.tables(home, env),
        services.query(home, ports, env),
        services.jobs(home, env),
        services.agent(home, env),
    ]


CODE = {
    "topics": services.SCHEMA_PACKAGES,
    "tables": services.SCHEMA_PACKAGES,
    "query": services.QUERY_PACKAGES,
    "agent": services.AGENT_PACKAGES,
    "jobs": flink.JOB_PACKAGES,
}
"""Whom `up` restarts when their code changed, in this order: who needs a step waits for it. The TaskManagers follow the
jobs; the supervisor, ClickHouse, Kafka and Redis go on until `down`."""
