"""ClickHouse over HTTP: blocks of rows in, Arrow tables out, retries where a retry can help.

Rows go as ArrowStream: 100 k samples cost the server 32 ms of CPU, Native 29 ms, and Arrow carries maps and digests
without an encoder of ours (measured with dictionary-encoded names; without them 37 ms).
"""

import http.client
import json
import random
import re
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pyarrow as pa

TABLES = frozenset(
    (
        *("samples", "series", "rollup_1m", "rollup_5m", "rollup_1h", "rollup_1d"),
        *("data_versions", "alert_events", "rejections", "ledger"),
    )
)

# Codes that say "later", not "never" (ClickHouse, src/Common/ErrorCodes.cpp).
TRANSIENT = frozenset(
    {
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED: the server is stopping
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        439,  # CANNOT_SCHEDULE_TASK
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
    }
)

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 10.0
# http.server and proxies refuse request lines past 64 KiB; longer parameters travel as a form.
_LONGEST_QUERY = 16_000
_COLUMN = re.compile(r"[A-Za-z_]\w*\Z")

Value = str | int | float | bool | Sequence[str] | Sequence[int]


class ClickhouseError(Exception):
    """ClickHouse's own refusal: its code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class RefusedBlock(ClickhouseError):
    """A block of rows that ClickHouse will not take however often it is sent."""


class Unavailable(Exception):
    """TG-clickhouse-unavailable: every attempt failed for a reason that may pass."""


class _Later(Exception):
    """One attempt failed in a way that a further one may not."""


def literal(value: Value) -> str:
    """Return a value as a parameter of ClickHouse's HTTP interface: TSV-escaped, lists as array literals."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return _escaped(value)
    if isinstance(value, int | float):
        return repr(value)
    return "[" + ",".join(f"'{_escaped(one)}'" if isinstance(one, str) else repr(one) for one in value) + "]"


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", "'": "\\'"}


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(c, c) for c in text)


@dataclass(slots=True)
class Clickhouse:
    """A client of one server. Threads may share it: each has its own connection.

    endpoint: host:port. attempts: how often one call is tried at most. sleep: called with the seconds to wait between
    two attempts. timeout_s: for one attempt.
    """

    endpoint: str
    user: str = "default"
    password: str = ""
    database: str = "tidegauge"
    attempts: int = 10
    timeout_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def insert(self, table: str, rows: pa.Table, token: str = "") -> int:
        """Insert rows, by column name; return how many were written.

        token: ClickHouse drops a block whose token is among the table's last ones; an extra, the keys are what makes a
        repeat harmless. Raises RefusedBlock for bad data, Unavailable when all attempts failed.
        """
        if table not in TABLES:
            raise ValueError(f"TG-clickhouse-table: {table!r} is not a table of Tidegauge")
        if not rows.num_rows:
            return 0
        for name in rows.column_names:
            if not _COLUMN.match(name):
                raise ValueError(f"TG-clickhouse-column: {name!r} is not a column name")
        out = BytesIO()
        with pa.ipc.new_stream(out, rows.schema) as writer:
            writer.write_table(rows)
        columns = ", ".join(f"`{name}`" for name in rows.column_names)
        settings = {"query": f"INSERT INTO {table} ({columns}) FORMAT ArrowStream", "async_insert": "0"}
        if token:
            settings["insert_deduplication_token"] = token
        try:
            headers, _ = self._call(settings, out.getbuffer(), "application/octet-stream")
        except ClickhouseError as error:
            raise RefusedBlock(error.code, f"{table}: {error}") from None
        return int(json.loads(headers.get("X-ClickHouse-Summary") or "{}").get("written_rows", rows.num_rows))

    def query(
        self, sql: str, params: Mapping[str, Value] | None = None, settings: Mapping[str, str] | None = None
    ) -> pa.Table:
        """Return the answer of a statement; params fill its {name:Type}. Raises ClickhouseError, Unavailable."""
        # The loopback is faster than any compression.
        wanted = {"output_format_arrow_compression_method": "none", **(settings or {})}
        body = self._statement(f"{sql}\nFORMAT ArrowStream", params, wanted)
        return pa.ipc.open_stream(body).read_all() if body else pa.table({})

    def command(
        self, sql: str, params: Mapping[str, Value] | None = None, settings: Mapping[str, str] | None = None
    ) -> str:
        """Run a statement, return its answer as text (TSV). It may run twice if a connection breaks."""
        return self._statement(sql, params, settings or {}).decode()

    def close(self) -> None:
        """Close this thread's connection; the next call opens a new one."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _statement(self, sql: str, params: Mapping[str, Value] | None, settings: Mapping[str, str]) -> bytes:
        fields = {f"param_{name}": literal(value) for name, value in (params or {}).items()}
        if sum(map(len, fields.values())) <= _LONGEST_QUERY:
            return self._call({**settings, **fields}, sql.encode(), "text/plain; charset=utf-8")[1]
        boundary = uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in {"query": sql, **fields}.items()
        ]
        body = ("".join(parts) + f"--{boundary}--\r\n").encode()
        return self._call(settings, body, f"multipart/form-data; boundary={boundary}")[1]

    def _call(
        self, params: Mapping[str, str], body: bytes | memoryview, content_type: str
    ) -> tuple[http.client.HTTPMessage, bytes]:
        wait = _FIRST_WAIT_S
        for attempt in range(1, self.attempts + 1):
            try:
                return self._attempt(params, body, content_type)
            except _Later as later:
                if attempt == self.attempts:
                    message = f"TG-clickhouse-unavailable: {self.endpoint} after {attempt} attempts: {later}"
                    raise Unavailable(message) from later
            # Full jitter: clients that failed together do not come back together.
            self.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _LONGEST_WAIT_S)
        raise ValueError(f"attempts must be at least 1, not {self.attempts}")

    def _attempt(
        self, params: Mapping[str, str], body: bytes | memoryview, content_type: str
    ) -> tuple[http.client.HTTPMessage, bytes]:
        everything = {**({"database": self.database} if self.database else {}), **params}
        headers = {
            "Content-Type": content_type,
            "Authorization": "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode(),
        }
        try:
            connection = self._connection()
            connection.request("POST", f"/?{urlencode(everything)}", body=body, headers=headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise _Later(f"{type(error).__name__}: {error}") from error
        _raise_for(response.status, response.headers, answer)
        return response.headers, answer

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            host, _, port = self.endpoint.rpartition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=self.timeout_s)
            self._local.connection = connection
        return connection


def _raise_for(status: int, headers: http.client.HTTPMessage, answer: bytes) -> None:
    code = headers.get("X-ClickHouse-Exception-Code")
    tag = headers.get("X-ClickHouse-Exception-Tag")
    text = answer
    if tag and b"__exception__\r\n" + tag.encode() in answer[-65536:]:
        # The error came when the answer had begun, with status 200.
        text = answer[answer.rindex(b"__exception__\r\n" + tag.encode()) :]
        found = re.search(rb"Code: (\d+)\.", text)
        code = found.group(1).decode() if found else "1002"
    elif status == http.client.OK and code is None:
        return
    message = text.decode(errors="replace").strip()[:2000]
    if code is None:
        if status >= http.client.INTERNAL_SERVER_ERROR or status == http.client.TOO_MANY_REQUESTS:
            raise _Later(f"HTTP {status}: {message[:300]}")
        raise ClickhouseError(0, f"HTTP {status}: {message}")
    if int(code) in TRANSIENT:
        raise _Later(message[:300])
    raise ClickhouseError(int(code), message)


def columns(table: pa.Table) -> dict[str, list[Any]]:
    """Return an answer as plain lists, for small ones."""
    found: dict[str, list[Any]] = table.to_pydict()
    return found
