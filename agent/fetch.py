"""One HTTP GET of a metrics endpoint, bounded in time and size. The only network of scraping."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from threading import Timer
from time import monotonic
from urllib.parse import urlsplit

_ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
_CHUNK = 1 << 16


class ScrapeError(Exception):
    """A scrape that gave no samples; id is stable (TG-scrape-...)."""

    def __init__(self, error_id: str, detail: str) -> None:
        super().__init__(f"{error_id}: {detail}")
        self.id = error_id


def fetch(url: str, timeout_s: float, limit: int, authorization: str = "") -> tuple[str, bool]:
    """Return (text, is it OpenMetrics); raises ScrapeError.

    timeout_s holds for the whole answer, headers too, so that an endpoint that sends a byte a second cannot hold a
    round. limit: bytes of the largest answer. authorization: value of that header; the url holds none.
    """
    parts = urlsplit(url)
    deadline = monotonic() + timeout_s
    factory = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = factory(parts.hostname or "", parts.port, timeout=timeout_s)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Accept": _ACCEPT, "User-Agent": "tidegauge-agent"}
    if authorization:
        headers["Authorization"] = authorization
    try:
        connection.connect()
        with _ended_by(connection.sock, deadline):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise ScrapeError("TG-scrape-http", f"{url} answered {answer.status} {answer.reason}")
            body = bytearray()
            while chunk := answer.read1(_CHUNK):
                body += chunk
                if len(body) > limit:
                    raise ScrapeError(
                        "TG-scrape-size",
                        f"{url} sent more than {limit} bytes; TIDEGAUGE_AGENT_SCRAPE_BYTES raises the limit",
                    )
            if monotonic() >= deadline:
                raise TimeoutError
            # Not told by read1. The last value may be cut, and a number that is cut is another number.
            if answer.length:
                raise IncompleteRead(bytes(body), answer.length)
        kind = answer.getheader("Content-Type", "")
        return body.decode(), kind.startswith("application/openmetrics-text")
    except UnicodeDecodeError as error:
        raise ScrapeError("TG-scrape-parse", f"{url} is not UTF-8: {error.reason} at byte {error.start}") from error
    except (OSError, HTTPException, UnicodeError) as error:  # the last: a host name that is none
        if isinstance(error, TimeoutError) or monotonic() >= deadline:
            raise ScrapeError(
                "TG-scrape-timeout",
                f"{url} took more than {timeout_s:g} s; TIDEGAUGE_AGENT_SCRAPE_TIMEOUT_S raises the limit",
            ) from error
        raise ScrapeError("TG-scrape-connect", f"{url}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()


@contextmanager
def _ended_by(connected: socket.socket, deadline: float) -> Iterator[None]:
    """End the connection at the deadline: the time-out of a socket begins anew with each byte."""
    timer = Timer(max(0.0, deadline - monotonic()), connected.shutdown, (socket.SHUT_RDWR,))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
