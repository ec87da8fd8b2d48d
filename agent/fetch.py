"""One HTTP GET of a metrics endpoint, bounded in time and size. The only network of scraping."""

import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from threading import Timer
from time import monotonic
from urllib.parse import urljoin, urlsplit

_ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
_CHUNK = 1 << 16
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOVES = 10


class ScrapeError(Exception):
    """A scrape that gave no samples; id is stable (TG-scrape-...)."""

    def __init__(self, error_id: str, detail: str) -> None:
        super().__init__(f"{error_id}: {detail}")
        self.id = error_id


def fetch(url: str, timeout_s: float, limit: int, authorization: str = "") -> tuple[str, bool]:
    """Return (text, is it OpenMetrics); raises ScrapeError.

    timeout_s holds for the whole answer, headers and redirects too, so that an endpoint that sends a byte a second
    cannot hold a round. limit: bytes of the largest answer, unpacked. authorization: value of that header, told to no
    other host; the url holds none.
    """
    deadline = monotonic() + timeout_s
    headers = {"Accept": _ACCEPT, "User-Agent": "tidegauge-agent"}
    # Exporters that ask others themselves (blackbox, snmp) give up in time for an answer that says so.
    headers["X-Prometheus-Scrape-Timeout-Seconds"] = f"{timeout_s:g}"
    if authorization:
        headers["Authorization"] = authorization
    at = url
    try:
        for _ in range(_MOVES + 1):
            found = _asked(url, at, deadline, limit, headers)
            if isinstance(found, tuple):
                body, kind = found
                return body.decode(), kind.lower().startswith("application/openmetrics-text")
            if _is_elsewhere(at, found):
                headers.pop("Authorization", None)
            at = found
        raise ScrapeError("TG-scrape-http", f"{url} leads elsewhere more than {_MOVES} times")
    except UnicodeDecodeError as error:
        raise ScrapeError("TG-scrape-parse", f"{url} is not UTF-8: {error.reason} at byte {error.start}") from error
    except (OSError, HTTPException, ValueError) as error:  # the last: a host name or a port that is none
        if isinstance(error, TimeoutError) or monotonic() >= deadline:
            raise ScrapeError(
                "TG-scrape-timeout",
                f"{url} took more than {timeout_s:g} s; TIDEGAUGE_AGENT_SCRAPE_TIMEOUT_S raises the limit",
            ) from error
        raise ScrapeError("TG-scrape-connect", f"{url}: {type(error).__name__}: {error}") from error


def _asked(url: str, at: str, deadline: float, limit: int, headers: dict[str, str]) -> tuple[bytes, str] | str:
    """Return (body, content type) of what is `at`, or where it has moved. url: what a ScrapeError names."""
    parts = urlsplit(at)
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    factory = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = factory(parts.hostname or "", parts.port, timeout=left)
    try:
        connection.connect()
        with _ended_by(connection.sock, deadline):
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
            answer = connection.getresponse()
            moved = urljoin(at, answer.getheader("Location", "")) if answer.status in _MOVED else at
            if moved != at and urlsplit(moved).scheme in ("http", "https"):
                return moved
            if answer.status != 200:
                raise ScrapeError("TG-scrape-http", f"{url} answered {answer.status} {answer.reason}")
            body = _body(url, answer, limit)
            if monotonic() >= deadline:
                raise TimeoutError
            return body, answer.getheader("Content-Type", "")
    finally:
        connection.close()


def _body(url: str, answer: HTTPResponse, limit: int) -> bytes:
    """Return the whole body, unpacked if it came packed though nobody asked for it."""
    packing = answer.getheader("Content-Encoding", "identity").lower()
    if packing not in ("identity", "gzip"):
        raise ScrapeError("TG-scrape-parse", f"{url} is packed as {packing}, the agent reads gzip")
    unpacker = zlib.decompressobj(wbits=31) if packing == "gzip" else None
    body = bytearray()
    while chunk := answer.read1(_CHUNK):
        try:
            body += unpacker.decompress(chunk, limit + 1 - len(body)) if unpacker else chunk
        except zlib.error as error:
            raise ScrapeError("TG-scrape-parse", f"{url} is no gzip: {error}") from error
        if len(body) > limit:
            raise ScrapeError(
                "TG-scrape-size", f"{url} sent more than {limit} bytes; TIDEGAUGE_AGENT_SCRAPE_BYTES raises the limit"
            )
    # Not told by read1. The last value may be cut, and a number that is cut is another number.
    if answer.length or (unpacker and not unpacker.eof):
        raise IncompleteRead(bytes(body), answer.length)
    return bytes(body)


def _is_elsewhere(at: str, moved: str) -> bool:
    """Tell whether who asks `at` who he is must not be told there: it is another host, or would be sent in clear."""
    old, new = urlsplit(at), urlsplit(moved)
    return old.hostname != new.hostname or (old.scheme, new.scheme) == ("https", "http")


@contextmanager
def _ended_by(connected: socket.socket, deadline: float) -> Iterator[None]:
    """End the connection at the deadline: the time-out of a socket begins anew with each byte."""

    def end() -> None:
        # It may have come to its end, or to its own time-out, just before.
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = Timer(max(0.0, deadline - monotonic()), end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
