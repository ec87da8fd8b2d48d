"""ClickHouse's HTTP interface (https://clickhouse.com/docs/interfaces/http) over the embedded engine."""

import base64
import binascii
import hmac
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from stack.clickhouse_body import Body, choose, compressed, parse_form, read_all
from stack.clickhouse_engine import Access, Engine, Session
from stack.clickhouse_errors import (
    ACCESS_DENIED,
    AUTHENTICATION_FAILED,
    BAD_ARGUMENTS,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    UNKNOWN,
    Refused,
)
from stack.clickhouse_sql import find_insert, find_output

LOG = logging.getLogger("clickhouse")

# Parameters of the URL that are not settings of a query.
_TRANSPORT = frozenset(
    re.findall(
        r"\w+",
        """
        query database user password default_format session_id session_timeout session_check close_session query_id
        quota_key wait_end_of_query buffer_size compress decompress client_protocol_version role stacktrace
        enable_http_compression send_progress_in_http_headers http_headers_progress_interval_ms
        http_zlib_compression_level add_http_cors_header
        """,
    )
)
_MAX_SQL_BYTES = 16 << 20


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
    ) -> None:
        self.engine = engine
        self.users = {user.name: user for user in users}
        self.max_body_bytes = max_body_bytes
        self._max_queries = max_queries
        self._max_wait_s = max_wait_s
        self._running = 0
        self._change = threading.Condition()
        super().__init__(address, Handler)

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

    def drain(self, within_s: float) -> bool:
        """Wait until no query runs; tell whether that came within the time."""
        with self._change:
            return self._change.wait_for(lambda: self._running == 0, within_s)


@dataclass(slots=True)
class Request:
    """What a request asks for, once its URL and headers are read."""

    params: dict[str, str]
    body: Body
    query_id: str
    user: User
    may_change: bool

    @property
    def settings(self) -> dict[str, str]:
        """The settings among the URL's parameters."""
        found = {k: v for k, v in self.params.items() if k not in _TRANSPORT and not k.startswith("param_")}
        if not self.may_change:
            found.setdefault("readonly", "2")
        return found

    @property
    def bound(self) -> dict[str, str]:
        """The parameters {name:Type} of the statement."""
        return {k.removeprefix("param_"): v for k, v in self.params.items() if k.startswith("param_")}

    @property
    def database(self) -> str:
        """The database that unqualified names mean; empty for ClickHouse's default."""
        return self.params.get("database", "")


class Handler(BaseHTTPRequestHandler):
    """One client's connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse"
    sys_version = ""
    # Seconds without a byte after which a connection is given up.
    timeout = 120
    # Without these two every small answer waits 40 ms for a delayed acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    _plain: ClassVar[dict[str, str]] = {"/ping": "Ok.\n", "/replicas_status": "Ok.\n"}

    def do_GET(self) -> None:
        """Answer a query that only reads."""
        url = urlsplit(self.path)
        if url.path in self._plain or (url.path == "/" and not url.query):
            self._send_text(200, self._plain.get(url.path, "Ok.\n"))
            return
        self._serve(may_change=False)

    def do_POST(self) -> None:
        """Answer any statement; the body is the statement, its data, or both."""
        self._serve(may_change=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing per request; _serve logs what fails."""

    def _serve(self, may_change: bool) -> None:
        body = Body(self.rfile, self.headers, self.server.max_body_bytes)
        params = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True, errors="replace"))
        query_id = params.get("query_id") or str(uuid.uuid4())
        self._started = False
        began = time.monotonic()
        try:
            self._guard_path()
            if header := self.headers.get("X-ClickHouse-Database"):
                params.setdefault("database", header)
            request = Request(params, body, query_id, self._user(params), may_change)
            self.server.enter_query()
            try:
                with self.server.engine.session(request.user.access) as session:
                    session.prepare(request.database, request.settings)
                    self._run(request, session)
            finally:
                self.server.exit_query()
        except Refused as refusal:
            LOG.info("%s refused after %.3f s: %s", query_id, time.monotonic() - began, str(refusal)[:300])
            self._refuse(refusal, query_id, body)
        except (ConnectionError, TimeoutError) as error:
            LOG.info("%s client went away: %s", query_id, error)
            self.close_connection = True
        except Exception as error:
            LOG.exception("%s failed", query_id)
            self._refuse(
                Refused.here(UNKNOWN, "TG-clickhouse-internal", f"{type(error).__name__}: {error}"), query_id, body
            )
        else:
            if not body.drain(1 << 20):
                self.close_connection = True

    def _guard_path(self) -> None:
        if urlsplit(self.path).path not in ("/", "/query"):
            raise Refused.here(BAD_ARGUMENTS, "TG-clickhouse-path", f"no such path: {self.path[:80]!r}", 404)
        # A page in a browser on this machine could otherwise post statements to the loopback.
        origin = self.headers.get("Origin")
        if origin and urlsplit(origin).netloc != self.headers.get("Host"):
            raise Refused.here(
                ACCESS_DENIED, "TG-clickhouse-origin", f"requests from {origin[:80]!r} are not served", 403
            )

    def _user(self, params: dict[str, str]) -> User:
        name, password = params.get("user", "default"), params.get("password", "")
        if "X-ClickHouse-User" in self.headers:
            name = self.headers["X-ClickHouse-User"]
            password = self.headers.get("X-ClickHouse-Key") or ""
        elif (self.headers.get("Authorization") or "").lower().startswith("basic "):
            try:
                pair = base64.b64decode(self.headers["Authorization"][6:], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                pair = ":"
            name, _, password = pair.partition(":")
        user = self.server.users.get(name)
        good = hmac.compare_digest((user.password if user else "").encode(), password.encode())
        if user is None or not good:
            detail = "wrong user name or password (TIDEGAUGE_CLICKHOUSE_USER, TIDEGAUGE_CLICKHOUSE_PASSWORD)"
            raise Refused.here(AUTHENTICATION_FAILED, "TG-clickhouse-auth", detail)
        return user

    def _run(self, request: Request, session: Session) -> None:
        text = request.params.get("query", "").encode()
        body = iter(request.body)
        if not text:
            while len(text) < 65536 and (piece := next(body, b"")):
                text += piece
        if (self.headers.get("Content-Type") or "").lower().startswith("multipart/form-data"):
            form = parse_form(self.headers["Content-Type"], read_all(chain([text], body), _MAX_SQL_BYTES))
            request.params.update(form)
            text, body = request.params.get("query", "").encode(), iter(())
        # Bound parameters reach the engine only with a whole statement.
        insert = None if request.bound else find_insert(text)
        if insert is not None:
            if request.user.access.read_only or not request.may_change:
                session.check(f"{insert.statement} VALUES")
                raise Refused(164, "Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)")
            session.write(insert, chain([text[insert.data_at :]] if insert.data_at < len(text) else [], body))
            self._send([], request, session, "")
            return
        sql = self._rest(text, body, bool(request.params.get("query")))
        if not session.check(sql):
            if not request.may_change:
                raise Refused(164, "Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)")
            session.change(sql, request.bound)
            self._send([], request, session, "")
            return
        default = request.params.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"
        output = find_output(sql, default)
        answer = session.read(sql, output, request.bound)
        try:
            self._send(answer, request, session, output.format, output.content_type)
        finally:
            answer.close()

    @staticmethod
    def _rest(text: bytes, body: Iterator[bytes], from_url: bool) -> str:
        rest = read_all(body, _MAX_SQL_BYTES)
        try:
            sql = (text + b"\n" + rest if from_url and rest else text + rest).decode()
        except UnicodeDecodeError as error:
            raise Refused.here(BAD_ARGUMENTS, "TG-clickhouse-utf8", f"the statement is not UTF-8: {error}") from None
        if not sql.strip():
            raise Refused(62, "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)")
        return sql

    def _send(
        self,
        answer: Iterable[memoryview],
        request: Request,
        session: Session,
        output: str,
        content_type: str = "text/plain; charset=UTF-8",
    ) -> None:
        answer = iter(answer)
        # Two pieces are taken before the headers: most answers are one, then the summary is whole and the length known.
        held = [piece for piece in (next(answer, None), next(answer, None)) if piece is not None]
        whole = len(held) < 2 and sum(map(len, held)) <= 1 << 20
        encoding = (
            choose(self.headers.get("Accept-Encoding") or "") if self._wants_compression(request) and held else ""
        )
        tag = uuid.uuid4().hex[:16]
        pieces = compressed(self._marked(_sliced(chain(held, answer)), tag), encoding)
        first = b"".join(pieces) if whole else b""
        self._started = True
        self.send_response_only(200)
        self._headers(request.query_id, content_type)
        self.send_header("X-ClickHouse-Exception-Tag", tag)
        self.send_header("X-ClickHouse-Summary", json.dumps(_summary(session), separators=(",", ":")))
        if output:
            self.send_header("X-ClickHouse-Format", output)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        if whole:
            self.send_header("Content-Length", str(len(first)))
            self.end_headers()
            self.wfile.write(first)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n" % len(piece))
            self.wfile.write(piece)
            self.wfile.write(b"\r\n")
        if not self.close_connection:
            self.wfile.write(b"0\r\n\r\n")

    def _marked(self, answer: Iterable[memoryview], tag: str) -> Iterator[memoryview]:
        """Yield answer; an error on the way becomes its tail, in the form ClickHouse has since 25.11."""
        try:
            yield from answer
        except Refused as refusal:
            if not self._started:
                raise
            LOG.info("failed while answering: %s", str(refusal)[:300])
            text = str(refusal).encode()
            mark = tag.encode()
            # Cut off as well, without the last chunk, for clients that do not look for the tag.
            self.close_connection = True
            tail = b"\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n" % (mark, text, len(text) + 1, mark)
            yield memoryview(tail)

    def _wants_compression(self, request: Request) -> bool:
        # ClickHouse compresses only when asked twice, by the header and by this setting.
        return request.params.get("enable_http_compression") == "1"

    def _headers(self, query_id: str, content_type: str) -> None:
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Type", content_type)
        self.send_header("X-ClickHouse-Server-Display-Name", self.server.engine.name)
        self.send_header("X-ClickHouse-Timezone", self.server.engine.timezone)
        self.send_header("X-ClickHouse-Query-Id", query_id)

    def _refuse(self, refusal: Refused, query_id: str, body: Body) -> None:
        if self._started:
            # The status is sent already: an answer cut off without its last chunk is an error to every client.
            self.close_connection = True
            return
        try:
            if not body.drain(64 << 20):
                self.close_connection = True
            text = f"{refusal}\n".encode()
            if b"(version " not in text:
                text = f"{refusal} (version {self.server.engine.version})\n".encode()
            self.send_response_only(refusal.status)
            self._headers(query_id, "text/plain; charset=UTF-8")
            self.send_header("X-ClickHouse-Exception-Code", str(refusal.code))
            self.send_header("Content-Length", str(len(text)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(text)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _send_text(self, status: int, text: str) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "text/html; charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def _sliced(answer: Iterable[memoryview]) -> Iterator[memoryview]:
    for piece in answer:
        for start in range(0, len(piece), 1 << 20):
            yield piece[start : start + (1 << 20)]


def _summary(session: Session) -> dict[str, str]:
    figures = session.figures
    return {
        "read_rows": str(figures.read_rows),
        "read_bytes": str(figures.read_bytes),
        "written_rows": str(figures.written_rows),
        "written_bytes": str(figures.written_bytes),
        "total_rows_to_read": "0",
        "result_rows": str(figures.result_rows),
        "elapsed_ns": str(figures.elapsed_ns),
    }
