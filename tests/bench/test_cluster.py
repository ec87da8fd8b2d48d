"""The benchmarks' own stack: what is left of it, and how it is reached."""

import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bench.cluster import Cluster, ClusterError
from bench.results import Results
from tests import embedded


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_start_that_fails_leaves_its_logs(temporary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ClusterError, match="invalid choice"), Cluster({}, without=["nothing"]):
        pass
    (home,) = temporary.iterdir()
    said = capsys.readouterr().err
    assert f"home: {home}\n" in said
    assert f"logs: {home}/log\n" in said


@pytest.mark.parametrize(
    ("error", "kept"), [(None, False), (SystemExit(143), False), (ClusterError("x"), True), (KeyboardInterrupt(), True)]
)
def test_what_is_kept(temporary: Path, error: BaseException | None, kept: bool) -> None:
    cluster = Cluster({})
    cluster.__exit__(type(error) if error else None, error, None)
    assert list(temporary.iterdir()) == ([cluster.home] if kept else [])


class _Flink(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"jobs": [{"state": "RUNNING", "tasks": {"running": 3, "total": 4}}]}')

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def test_no_proxy_leads_to_the_stack(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Results(embedded.endpoint(), "default", "default", "").client.server_version
    with HTTPServer(("127.0.0.1", 0), _Flink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cluster = Cluster({})
        cluster.endpoints = {"flink": f"127.0.0.1:{server.server_port}"}
        assert cluster.tasks() == (3, 4, [])
        server.shutdown()
