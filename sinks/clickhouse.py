"""ClickHouse by clickhouse-connect: blocks of rows in, Arrow tables out, retries where a retry can help.

Rows go as ArrowStream: 100 k samples cost the server 32 ms of CPU, Native 29 ms, and Arrow carries maps and digests
without an encoder of ours (measured with dictionary-encoded names; without them 37 ms).

The library has the requests, the connections and the parameters. Ours is what it lacks: retries by ClickHouse's code,
a start without a server, and errors after an answer began, which its raw queries return as data. Against a client of
our own over http.client (in brackets), median wall and the client's CPU: 100 k samples in 75 ms (80), 2.9 ms (2.1);
SELECT 1 3.7 ms (3.0), 1.0 ms (0.5); 500 k rows out 43 ms (51), 6.8 ms (7.0); connecting, once, 32 ms (4).
"""

import logging
import random
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from sinks import digits
from sinks.refusal import OF_ROWS, ClickhouseError, Later, RefusedBlock, Unavailable, judged, raise_late

if TYPE_CHECKING:
    from clickhouse_connect.driver.httpclient import HttpClient

TABLES = frozenset(
    (
        *("samples", "series", "rollup_1m", "rollup_5m", "rollup_1h", "rollup_1d"),
        *("completeness", "late_samples", "distributions"),
        *("data_versions", "alert_events", "alert_rules", "rejections", "ledger", "cardinality"),
    )
)

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 10.0
_CONNECTIONS = 32  # kept open; more are opened for as long as they are needed
_COLUMN = re.compile(r"[A-Za-z_]\w*\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")

log = logging.getLogger(__name__)

T = TypeVar("T")
Value = str | int | float | bool | Sequence[str] | Sequence[int]


class AddressError(ValueError):
    """TG-clickhouse-address: an endpoint that is no host:port."""


@dataclass(slots=True)
class Clickhouse:
    """A client of one server, for any number of threads. It connects at the first call and not before.

    endpoint: host:port; raises AddressError. attempts: how often one call is tried at most; clickhouse-connect itself
    repeats an insert or a SELECT once when the server closed the connection. sleep: called with the seconds to wait
    between two attempts. timeout_s: for one attempt, in whole seconds. always: settings that are sent even to a server
    that calls them read-only for this user. (The embedded one takes them before it makes the session read-only; a
    clickhouse-server wants `changeable_in_readonly` for them in the user's profile.)
    """

    endpoint: str
    user: str = "default"
    password: str = ""
    database: str = "tidegauge"
    attempts: int = 10
    timeout_s: float = 60.0
    always: frozenset[str] = frozenset()
    sleep: Callable[[float], None] = time.sleep
    _address: tuple[str, int] = field(init=False, repr=False)
    _client: "HttpClient | None" = field(default=None, repr=False)
    _by_digits: bool | None = field(default=None, repr=False)
    _connecting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._address = _host_and_port(self.endpoint)

    def insert(self, table: str, rows: pa.Table) -> int:
        """Insert rows, by column name; return how many were written. Keys are what makes a repeat harmless.

        Raises RefusedBlock for bad data, Unavailable when all attempts failed, as they do while tables or rights are
        missing.
        """
        if table not in TABLES:
            raise ValueError(f"TG-clickhouse-table: {table!r} is not a table of Tidegauge")
        if not rows.num_rows:
            return 0
        for name in rows.column_names:
            if not _COLUMN.match(name):
                raise ValueError(f"TG-clickhouse-column: {name!r} is not a column name")
        try:
            if table == "samples" and self._keeps_digits():
                rows = digits.stored(rows)
            done = self._insert(table, rows)
        except ClickhouseError as error:
            raise RefusedBlock(error.code, f"{table}: {error}") from None
        return int(done.get("written_rows", rows.num_rows))

    def _insert(self, table: str, rows: pa.Table) -> Mapping[str, Any]:
        """Send one block; return ClickHouse's account of it."""
        out = pa.BufferOutputStream()
        with pa.ipc.new_stream(out, rows.schema) as writer:
            writer.write_table(rows)
        # Not as bytes: in front of those the library would put the statement, a copy of the whole block.
        block = memoryview(out.getvalue())
        settings = {
            "async_insert": "0",
            # The next merge drops repeats; dropping them here too costs a third of the insert.
            "optimize_on_insert": "0",
        }

        def send(client: "HttpClient") -> Mapping[str, Any]:
            # ClickHouse acknowledges a block whose token is one of the last thousand and leaves it out, though the rows
            # may be gone since, deleted or by TTL, or never have come. Without any it hashes every column: a quarter of
            # its CPU for samples.
            mine = {**settings, "insert_deduplication_token": secrets.token_hex(16)}
            summary: Mapping[str, Any] = client.raw_insert(table, rows.column_names, block, mine, "ArrowStream").summary
            return summary

        return self._call(send, OF_ROWS)

    def _keeps_digits(self) -> bool:
        """Tell whether table samples keeps digits: one that was made before they were thought of keeps floats."""
        if self._by_digits is None:
            asked = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'samples'"
            names = self.look(asked)["name"].to_pylist()
            if not names:
                return False
            self._by_digits = "digits" in names
            if not self._by_digits:
                log.warning(
                    "TG-samples-floats: table samples of %s keeps floats, in twice the bytes that new ones take;"
                    " docs/sizing.md has the statements that change it",
                    self.database,
                )
        return self._by_digits

    def query(
        self, sql: str, params: Mapping[str, Value] | None = None, settings: Mapping[str, str] | None = None
    ) -> pa.Table:
        """Return the answer of a statement; params fill its {name:Type}. Raises ClickhouseError, Unavailable."""
        # The loopback is faster than any compression.
        wanted = {"output_format_arrow_compression_method": "none", **(settings or {})}
        return _table(self._statement(sql, params, wanted, "ArrowStream"))

    def command(
        self, sql: str, params: Mapping[str, Value] | None = None, settings: Mapping[str, str] | None = None
    ) -> str:
        """Run a statement, return its answer as text (TSV). It may run twice if a connection breaks."""
        return self._statement(sql, params, settings or {}, None).decode()

    def look(self, sql: str, params: Mapping[str, Value] | None = None) -> pa.Table:
        """Return what an insert needs to know; it costs a block no more than the insert itself would.

        Raises as query() does, but Unavailable for all that insert() waits for.
        """
        return _table(self._statement(sql, params, {}, "ArrowStream", OF_ROWS))

    def close(self) -> None:
        """Close the idle connections; the next call opens new ones."""
        with self._connecting:
            client, self._client = self._client, None
        if client is not None:
            client.close_connections()

    def _statement(
        self,
        sql: str,
        params: Mapping[str, Value] | None,
        settings: Mapping[str, str],
        form: str | None,
        final: frozenset[int] | None = None,
    ) -> bytes:
        # The library writes a tuple as a tuple.
        given = {k: v if isinstance(v, str | int | float) else list(v) for k, v in (params or {}).items()}

        def run(client: "HttpClient") -> bytes:
            # Not raw_query: that would hide the header which tells an error from data.
            response = client.raw_stream(sql, given, _allowed(client, settings), form)
            try:
                answer: bytes = response.data
            finally:
                response.release_conn()
            raise_late(response.headers.get("X-ClickHouse-Exception-Tag"), answer, final)
            return answer

        return self._call(run, final)

    def _call(self, run: "Callable[[HttpClient], T]", final: frozenset[int] | None = None) -> T:
        wait = _FIRST_WAIT_S
        for attempt in range(1, self.attempts + 1):
            try:
                return self._attempt(run, final)
            except Later as later:
                if attempt == self.attempts:
                    message = f"TG-clickhouse-unavailable: {self.endpoint} after {attempt} attempts: {later}"
                    raise Unavailable(message) from later
            # Full jitter: clients that failed together do not come back together.
            self.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _LONGEST_WAIT_S)
        raise ValueError(f"attempts must be at least 1, not {self.attempts}")

    def _attempt(self, run: "Callable[[HttpClient], T]", final: frozenset[int] | None) -> T:
        # Imported late, so that a job's operator needs nothing of it before its first block.
        from clickhouse_connect.driver.exceptions import Error
        from urllib3.exceptions import HTTPError

        try:
            return run(self._connected())
        except Error as error:
            raise judged(error, final) from error
        except (OSError, HTTPError) as error:
            raise Later(f"{type(error).__name__}: {error}") from error

    def _connected(self) -> "HttpClient":
        client = self._client
        if client is not None:
            return client
        # Not under the lock: of ten threads that meet a server that hangs, the last would wait for ten time-outs.
        made = self._connect()
        with self._connecting:
            client = self._client
            if client is None:
                self._client = client = made
        if client is not made:
            made.close()
        return client

    def _connect(self) -> "HttpClient":
        from clickhouse_connect import get_client
        from clickhouse_connect.driver.httputil import get_pool_manager

        host, port = self._address
        client = get_client(
            host=host,
            port=port,
            username=self.user,
            password=self.password,
            database=self.database or "__default__",
            compress=False,
            query_retries=0,
            connect_timeout=ceil(self.timeout_s),
            send_receive_timeout=ceil(self.timeout_s),
            autogenerate_session_id=False,  # threads share the client
            autogenerate_query_id=False,  # a repeat would meet its own first attempt
            # A pool of one's own takes no proxy from the environment.
            pool_mgr=get_pool_manager(maxsize=_CONNECTIONS),
        )
        for name in self.always & client.server_settings.keys():
            # The library too refuses to send what it takes for read-only.
            client.server_settings[name] = client.server_settings[name]._replace(readonly=0)
        return client


def _host_and_port(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    if not host or "/" in host or not _PORT.match(port) or not 0 < int(port) < 1 << 16:
        message = f"TG-clickhouse-address: {endpoint[:80]!r} is no host:port such as 127.0.0.1:8123"
        raise AddressError(f"{message} (TIDEGAUGE_CLICKHOUSE)")
    return host.strip("[]"), int(port)


def _table(body: bytes) -> pa.Table:
    return pa.ipc.open_stream(body).read_all() if body else pa.table({})


def _allowed(client: "HttpClient", settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings without those that this user may not change: there the server's own hold."""
    known = client.server_settings
    return {name: value for name, value in settings.items() if name not in known or not known[name].readonly}


def columns(table: pa.Table) -> dict[str, list[Any]]:
    """Return an answer as plain lists, for small ones."""
    found: dict[str, list[Any]] = table.to_pydict()
    return found
