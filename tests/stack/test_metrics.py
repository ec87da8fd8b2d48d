"""The stack's own metrics, read from a small JobManager that takes lines as long as Flink's does."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from pyflink.datastream import RuntimeContext

from stack.home import ROOT
from stack.metrics import GET_CHARS, Collector, groups, serve
from stack.ports import HOST, free_ports, is_free
from stack.state import State
from udfs.gate.flink.metrics import Counters

GAUGES = ("series", "series_limit", "samples_per_second", "samples_per_second_limit")


@contextmanager
def jobmanager(tenants: int, broken: str = "", counters: Collection[str] = ("samples_in",)) -> Iterator[str]:
    """Serve one job with the vertices gate and owner, of which `broken` does not answer; yield host:port."""
    ids = [f"owner.tenant.team-{number:03d}.{gauge}" for number in range(tenants) for gauge in GAUGES]
    answers: dict[str, Any] = {
        "/jobs/overview": {
            "jobs": [{"jid": "j", "name": "tidegauge-gate", "state": "RUNNING", "tasks": {"running": 1, "total": 1}}]
        },
        "/taskmanagers": {"taskmanagers": []},
        "/jobs/j": {"vertices": [{"id": word, "name": f"{word} -> sink", "metrics": {}} for word in ("gate", "owner")]},
        "/jobs/j/vertices/gate/subtasks/metrics": [{"id": f"gate.{name}"} for name in counters],
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


class Group:
    """A metric group that knows which counters were made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def get_metrics_group(self) -> "Group":
        return self

    def counter(self, name: str) -> None:
        self.made.append(name)


def test_what_the_rules_ask_for_is_made() -> None:
    group = Group()
    Counters(cast(RuntimeContext, group))
    with jobmanager(1, counters=group.made) as flink:
        made = {sample.name for family in Collector(State(), flink).collect() for sample in family.samples}
    asked = set(re.findall(r"\b(?:flink|tidegauge_flink)_\w+", (ROOT / "flink-conf" / "rules.yaml").read_text()))
    assert asked and asked <= made


def test_it_is_served_alone_until_it_is_told_to_end() -> None:
    (port,) = free_ports(1)
    with jobmanager(1) as flink:
        env = {"TIDEGAUGE_FLINK": flink, "TIDEGAUGE_METRICS": f"{HOST}:{port}"}
        with subprocess.Popen([sys.executable, "-m", "stack.metrics"], cwd=ROOT, env=env) as served:
            try:
                while is_free(port) and served.poll() is None:
                    time.sleep(0.05)
                with urllib.request.urlopen(f"http://{HOST}:{port}/metrics") as answer:
                    text = answer.read().decode()
            finally:
                served.terminate()
    assert served.returncode == 0
    assert "tidegauge_flink_up 1.0" in text
    assert 'flink_taskmanager_job_task_operator_samples_in_total{job_name="gate",operator_name="gate"} 1.0' in text
    assert "tidegauge_process_up{" not in text


@pytest.mark.parametrize(("error", "told"), [(BrokenPipeError(), False), (ValueError("x"), True)])
def test_a_scrape_whose_client_has_hung_up_is_nothing_to_tell(
    error: Exception, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(State(), f"{HOST}:1", free_ports(1)[0])
    try:
        raise error
    except type(error):
        server.handle_error(None, None)  # type: ignore[arg-type]  # as socketserver calls it
    finally:
        server.shutdown()
        server.server_close()
    assert bool(capsys.readouterr().err) == told


@pytest.mark.parametrize("address", ["9100", "0.0.0.0:", "metrics:http"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    env = {"TIDEGAUGE_METRICS": address}
    told = subprocess.run(
        [sys.executable, "-m", "stack.metrics"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert told.stderr.startswith(f"TG-settings: TIDEGAUGE_METRICS='{address}'")
