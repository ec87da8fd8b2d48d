"""Scraping over real HTTP on loopback: what goes wrong has an id, and the next scrape heals it."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from agent.endpoint import of_endpoint
from agent.fetch import ScrapeError, _ended_by, fetch
from agent.rounds import aligned, begun, following
from agent.scraper import Scraper
from agent.target import Target

ANSWERS = {
    "/ok": (200, "text/plain; version=0.0.4", b"a 1\nb 2\nup 7\n"),
    "/guarded": (200, "text/plain; version=0.0.4", b"a 1\n"),
    "/openmetrics": (200, "application/openmetrics-text; version=1.0.0", b"# TYPE a gauge\na 1\n# EOF\n"),
    "/big": (200, "text/plain", b"a 1\n" * 1000),
    "/missing": (404, "text/plain", b"no"),
    "/html": (200, "text/html", b"<html>{</html>"),
    "/latin": (200, "text/plain", b'a{b="\xe9"} 1\n'),
}
PACKED = {
    "/gzip": ("gzip", gzip.compress(b"a 1\n")),
    "/bomb": ("gzip", gzip.compress(b"a 1\n" * 1000)),
    "/gzip-cut": ("gzip", gzip.compress(b"a 123456789\n")[:-9]),
    "/no-gzip": ("gzip", b"a 1\n"),
    "/brotli": ("br", b"?"),
}


class Endpoint(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            for _ in range(20):
                self.wfile.write(b"a 1\n")
                time.sleep(0.05)
            return
        if self.path == "/slow-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            for _ in range(100):
                self.wfile.write(b"a")
                time.sleep(0.05)
            return
        if self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "14")
            self.end_headers()
            self.wfile.write(b"a 1\nb 12")  # of 123456789, by an endpoint that died
            return
        if self.path in PACKED:
            self.send_response(200)
            self.send_header("Content-Encoding", PACKED[self.path][0])
            self.end_headers()
            self.wfile.write(PACKED[self.path][1])
            return
        if self.path.startswith("/moved/"):  # /moved/<status>/<where>
            _, _, code, where = self.path.split("/", 3)
            self.send_response(int(code))
            self.send_header("Location", where if "://" in where else f"/{where}")
            self.end_headers()
            return
        if self.path == "/guarded" and self.headers["Authorization"] != "Basic bWU6c2VjcmV0":  # me:secret
            self.send_error(401)
            return
        status, kind, body = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the client gave up, as it should
            self.close_connection = True


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()
    thread.join()


def test_the_answer_says_its_format(server: str) -> None:
    assert fetch(f"{server}/ok", 2, 1000) == ("a 1\nb 2\nup 7\n", False)
    assert fetch(f"{server}/openmetrics", 2, 1000)[1]


@pytest.mark.parametrize(
    ("path", "error_id"),
    [
        ("/big", "TG-scrape-size"),
        ("/missing", "TG-scrape-http"),
        ("/latin", "TG-scrape-parse"),
        ("/drip", "TG-scrape-timeout"),
        ("/slow-headers", "TG-scrape-timeout"),
        ("/cut", "TG-scrape-connect"),
        ("/bomb", "TG-scrape-size"),
        ("/gzip-cut", "TG-scrape-connect"),
        ("/no-gzip", "TG-scrape-parse"),
        ("/brotli", "TG-scrape-parse: .* packed as br"),
        ("/moved/302/missing", "TG-scrape-http: .*/moved/302/missing answered 404"),
        ("/moved/302/" + "moved/302/" * 12, "TG-scrape-http: .* leads elsewhere more than 10 times"),
        ("/moved/302/file:///etc/hostname", "TG-scrape-http: .* answered 302"),
        ("/moved/304/ok", "TG-scrape-http: .* answered 304"),
        ("/moved/302/http://[", "TG-scrape-connect"),
        ("/moved/301/slow-headers", "TG-scrape-timeout"),
    ],
)
def test_a_bad_answer(server: str, path: str, error_id: str) -> None:
    with pytest.raises(ScrapeError, match=error_id):
        fetch(f"{server}{path}", 0.3 if "timeout" in error_id else 20, 1000)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_where_an_endpoint_has_moved(server: str, status: int) -> None:
    assert fetch(f"{server}/moved/{status}/moved/301/openmetrics", 2, 1000)[1]


def test_a_password_is_for_the_host_that_it_was_given_for(server: str) -> None:
    asked = f"{server}/moved/302/%s/guarded"
    port = server.rpartition(":")[2]
    assert fetch(asked.replace("/%s", ""), 2, 1000, "Basic bWU6c2VjcmV0")[0] == "a 1\n"
    with pytest.raises(ScrapeError, match="answered 401"):
        fetch(asked % f"http://localhost:{port}", 2, 1000, "Basic bWU6c2VjcmV0")


def test_an_answer_that_is_packed_unasked(server: str) -> None:
    assert fetch(f"{server}/gzip", 2, 1000) == ("a 1\n", False)


def test_a_connection_that_is_closed_when_its_time_is_over() -> None:
    """Both at once, which a busy machine brings about: the thread of the timer died, with a traceback in the log."""
    with socket.socket() as closed:
        pass
    with _ended_by(closed, deadline=0.0):
        while any(isinstance(thread, threading.Timer) for thread in threading.enumerate()):
            time.sleep(0.01)


def test_nobody_listens() -> None:
    with pytest.raises(ScrapeError, match="TG-scrape-connect"):
        fetch("http://127.0.0.1:1/metrics", 1, 1000)


def scraper(url: str, samples: int = 100) -> Scraper:
    return of_endpoint(Target.parse(url), timeout_s=2, max_bytes=1 << 20, max_samples=samples)


def scraped(one: Scraper) -> dict[str, float]:
    samples = [(series.name, value) for series, value in one.scrape() if series.name != "scrape_duration_seconds"]
    assert len(dict(samples)) == len(samples)
    return dict(samples)


def test_ours_win_over_an_endpoints_up(server: str) -> None:
    assert scraped(scraper(f"{server}/ok")) == {"a": 1.0, "b": 2.0, "up": 1.0, "scrape_samples_scraped": 3.0}


@pytest.mark.parametrize("path", ["/html", "/missing"])
def test_a_failed_scrape_is_up_0(server: str, path: str) -> None:
    one = scraper(f"{server}{path}")
    assert scraped(one) == {"up": 0.0, "scrape_samples_scraped": 0.0}
    assert one.failed == 1


def test_too_many_samples(server: str, caplog: pytest.LogCaptureFixture) -> None:
    one = scraper(f"{server}/ok", samples=2)
    assert scraped(one)["up"] == 0.0
    one.scrape()
    # once per change of state, not each round
    assert [record.message.split(":")[0] for record in caplog.records] == ["TG-scrape-samples"]


def test_a_target_that_asks_who_it_is(server: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tidegauge.agent")
    guarded = f"{server}/guarded"
    right, wrong = (scraper(guarded.replace("//", f"//me:{one}@")) for one in ("secret", "other-secret"))
    assert (scraped(right)["up"], scraped(wrong)["up"], scraped(scraper(guarded))["up"]) == (1.0, 0.0, 0.0)
    assert f"{guarded} answered 401" in caplog.text
    shown = f"{caplog.text} {right} {wrong} {[series for series, _ in right.scrape()]}"
    assert "secret" not in shown and "me:" not in shown and "bWU6" not in shown


@pytest.mark.parametrize(("now", "expected"), [(0, 0), (9_999, 0), (10_000, 10_000), (10_001, 10_000)])
def test_aligned(now: int, expected: int) -> None:
    assert aligned(now, 10_000) == expected


T = 1_800_000_000_000


@pytest.mark.parametrize(
    ("at", "now", "due"),
    [
        (T, T + 40, T + 10_000),
        (T, T + 10_000, T + 10_000),
        (T, T + 35_000, T + 30_000),  # too late for two rounds
        (T, T - 3_000, T + 10_000),  # set back by less than an interval: none of before is repeated
        (T, T - 3_600_000, T - 3_590_000),  # by an hour
    ],
)
def test_the_next_round(at: int, now: int, due: int) -> None:
    assert following(at, now, 10_000) == due


@pytest.mark.parametrize(
    ("due", "now", "at"), [(T, T, T), (T, T - 2, T), (T, T + 25_000, T), (T, T - 3_600_000, T - 3_600_000)]
)
def test_a_round_that_was_waited_for(due: int, now: int, at: int) -> None:
    assert begun(due, now, 10_000) == at
