"""python -m query as a process."""

import os
import socket
import subprocess
import sys
import time

import httpx


def start(**env: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "query"],
        env=clean | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_open_address_without_authentication_does_not_start() -> None:
    process = start(TIDEGAUGE_QUERY="0.0.0.0:0")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "TG-query-open" in errors and "0.0.0.0" in errors


def test_a_retention_policy_that_cannot_be_read_does_not_start() -> None:
    process = start(TIDEGAUGE_RETENTION="nowhere.yaml")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "TG-retention-file" in errors and "nowhere.yaml" in errors


def test_it_lives_without_clickhouse_and_redis_but_is_not_ready() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(
        TIDEGAUGE_QUERY=f"127.0.0.1:{port}", TIDEGAUGE_CLICKHOUSE="127.0.0.1:1", TIDEGAUGE_REDIS="127.0.0.1:1"
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for _ in range(300):
                try:
                    assert client.get("/-/healthy").status_code == 200
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            assert client.get("/-/ready").status_code == 503
            assert client.get("/api/v1/query", params={"query": "up"}).json()["errorType"] == "unavailable"
            assert client.get("/api/v1/query", params={"query": "1 + 1"}).status_code == 200
    finally:
        process.terminate()
        process.communicate(timeout=30)
