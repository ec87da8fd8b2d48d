"""The stack's own metrics, read from a small JobManager that takes lines as long as Flink's does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from stack.metrics import GET_CHARS, Collector, groups
from stack.ports import HOST
from stack.state import State

GAUGES = ("series", "series_limit", "samples_per_second", "samples_per_second_limit")


@contextmanager
def jobmanager(tenants: int, broken: str = "") -> Iterator[str]:
    """Serve one job with the vertices gate and owner, of which `broken` does not answer; yield host:port."""
    ids = [f"owner.tenant.team-{number:03d}.{gauge}" for number in range(tenants) for gauge in GAUGES]
    answers: dict[str, Any] = {
        "/jobs/overview": {
            "jobs": [{"jid": "j", "name": "tidegauge-gate", "state": "RUNNING", "tasks": {"running": 1, "total": 1}}]
        },
        "/taskmanagers": {"taskmanagers": []},
        "/jobs/j": {"vertices": [{"id": word, "name": f"{word} -> sink", "metrics": {}} for word in ("gate", "owner")]},
        "/jobs/j/vertices/gate/subtasks/metrics": [{"id": "gate.samples_in"}],
        "/jobs/j/vertices/owner/subtasks/metrics": [{"id": one} for one in ids],
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            refused = len(self.requestline) > 4096 or f"/vertices/{broken}/" in url.path
            if asked := parse_qs(url.query).get("get"):
                answer: Any = [{"id": one, "value": 1, "sum": 1} for one in asked[0].split(",")]
            else:
                answer = answers[url.path]
            body = json.dumps(answer).encode()
            self.send_response(404 if refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name for it
            return

    server = HTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def seen(flink: str) -> dict[str, int]:
    """Return how many samples each family has."""
    return {family.name: len(family.samples) for family in Collector(State(), flink).collect()}


@pytest.mark.parametrize(
    ("names", "grouped"),
    [
        ([], []),
        (["a"], ["a"]),
        (["a", "b"], ["a,b"]),
        (["a" * 1500, "b" * 1499], ["a" * 1500 + "," + "b" * 1499]),
        (["a" * 1500, "b" * 1500], ["a" * 1500, "b" * 1500]),
        (["a", "b" * 4000, "c"], ["a", "b" * 4000, "c"]),
    ],
)
def test_ids_are_asked_for_in_groups(names: list[str], grouped: list[str]) -> None:
    assert list(groups(names)) == grouped
    assert all(len(group) <= GET_CHARS for group in grouped if "," in group)


@pytest.mark.parametrize("tenants", [1, 30, 200])
def test_any_number_of_tenants_is_given_out(tenants: int) -> None:
    with jobmanager(tenants) as flink:
        found = seen(flink)
    for gauge in GAUGES:
        assert found[f"flink_taskmanager_job_task_operator_tenant_{gauge}"] == tenants
    assert found["flink_taskmanager_job_task_operator_samples_in"] == 1


@pytest.mark.parametrize(("broken", "samples", "tenants"), [("owner", 1, None), ("gate", None, 3)])
def test_a_vertex_that_does_not_answer_is_left_out_alone(broken: str, samples: int | None, tenants: int | None) -> None:
    with jobmanager(3, broken) as flink:
        found = seen(flink)
    assert found.get("flink_taskmanager_job_task_operator_samples_in") == samples
    assert found.get("flink_taskmanager_job_task_operator_tenant_series") == tenants
    assert found["flink_jobmanager_job_uptime"] == 1
