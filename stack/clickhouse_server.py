"""Who may come in, and how many at once."""

import logging
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

from stack.clickhouse_engine import Access, Engine
from stack.clickhouse_errors import TOO_MANY_SIMULTANEOUS_QUERIES, Refused

LOG = logging.getLogger("clickhouse")


@dataclass(frozen=True, slots=True)
class User:
    """Who may come in, and with what rights."""

    name: str
    password: str
    access: Access


class Server(ThreadingHTTPServer):
    """One thread a connection; the engine releases the GIL while it works.

    users: at least one. max_body_bytes: largest request body, compressed and not. max_queries: at once; a request that
    finds none free within max_wait_s is refused as ClickHouse does (TOO_MANY_SIMULTANEOUS_QUERIES).
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self,
        address: tuple[str, int],
        engine: Engine,
        users: Iterable[User],
        max_body_bytes: int,
        max_queries: int,
        max_wait_s: float,
        handler: type[BaseHTTPRequestHandler],
    ) -> None:
        self.engine = engine
        self.users = {user.name: user for user in users}
        self.max_body_bytes = max_body_bytes
        self._max_queries = max_queries
        self._max_wait_s = max_wait_s
        self._running = 0
        self._change = threading.Condition()
        super().__init__(address, handler)
        self.on_loopback = ip_address(self.socket.getsockname()[0]).is_loopback

    def enter_query(self) -> None:
        """Take a place among the running queries; raises Refused if none becomes free."""
        with self._change:
            if not self._change.wait_for(lambda: self._running < self._max_queries, self._max_wait_s):
                detail = f"{self._max_queries} queries are running (TIDEGAUGE_CLICKHOUSE_MAX_QUERIES)"
                raise Refused.here(TOO_MANY_SIMULTANEOUS_QUERIES, "TG-clickhouse-busy", detail)
            self._running += 1

    def exit_query(self) -> None:
        """Give the place back."""
        with self._change:
            self._running -= 1
            self._change.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what ended a connection; a client that hung up between two requests is nothing to tell."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            LOG.exception("connection from %s failed", client_address)

    def drain(self, within_s: float) -> bool:
        """Let no query in any more, wait until none runs; tell whether that came within the time."""
        with self._change:
            # Connections that are kept alive may still send one.
            self._max_queries = 0
            return self._change.wait_for(lambda: self._running == 0, within_s)
