"""ClickHouse's HTTP interface (https://clickhouse.com/docs/interfaces/http) over the embedded engine."""

import json
import logging
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from itertools import chain
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from stack.clickhouse_body import Body, choose, compressed, parse_form, read_all
from stack.clickhouse_engine import Session
from stack.clickhouse_errors import ACCESS_DENIED, BAD_ARGUMENTS, READONLY, SYNTAX_ERROR, UNKNOWN, Refused
from stack.clickhouse_request import Request, is_local, user_of
from stack.clickhouse_server import Server
from stack.clickhouse_sql import find_insert, find_output

LOG = logging.getLogger("clickhouse")

_QUERY_ID = re.compile(r"[\w.:/+=-]{1,128}\Z", re.ASCII)

_MAX_SQL_BYTES = 16 << 20
READONLY_MESSAGE = "Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)"


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
        if self._host_known() and (url.path in self._plain or (url.path == "/" and not url.query)):
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
        query_id = params.get("query_id", "")
        if not _QUERY_ID.match(query_id):
            # It is echoed as a header: a line break in it would write headers of the client's own.
            query_id = str(uuid.uuid4())
        self._started = self._cut = False
        began = time.monotonic()
        try:
            self._guard_host()
            self._guard_path()
            if header := self.headers.get("X-ClickHouse-Database"):
                params.setdefault("database", header)
            request = Request(params, body, query_id, user_of(params, self.headers, self.server.users), may_change)
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

    def _host_known(self) -> bool:
        # A page's own name, made to lead to the loopback (DNS rebinding), passes for ours with any browser.
        return not self.server.on_loopback or is_local(self.headers.get("Host") or "localhost")

    def _guard_host(self) -> None:
        if not self._host_known():
            host = (self.headers.get("Host") or "")[:80]
            detail = f"requests to {host!r} are not served on the loopback, ask 127.0.0.1 or localhost"
            raise Refused.here(ACCESS_DENIED, "TG-clickhouse-host", detail, 403)

    def _guard_path(self) -> None:
        if urlsplit(self.path).path not in ("/", "/query"):
            raise Refused.here(BAD_ARGUMENTS, "TG-clickhouse-path", f"no such path: {self.path[:80]!r}", 404)
        # A page in a browser on this machine could otherwise post statements to the loopback.
        origin = self.headers.get("Origin")
        if origin and urlsplit(origin).netloc != self.headers.get("Host"):
            raise Refused.here(
                ACCESS_DENIED, "TG-clickhouse-origin", f"requests from {origin[:80]!r} are not served", 403
            )

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
                session.check(f"{insert.statement} VALUES", {})
                raise Refused(READONLY, READONLY_MESSAGE)
            session.write(insert, chain([text[insert.data_at :]] if insert.data_at < len(text) else [], body))
            self._send([], request, session, "")
            return
        sql = self._rest(text, body, bool(request.params.get("query")))
        if not session.check(sql, request.bound):
            if not request.may_change:
                raise Refused(READONLY, READONLY_MESSAGE)
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
            raise Refused(SYNTAX_ERROR, "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)")
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
        if self.request_version == "HTTP/1.0":
            # It knows no chunks: the answer ends with the connection.
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.writelines(pieces)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n" % len(piece))
            self.wfile.write(piece)
            self.wfile.write(b"\r\n")
        if not self._cut:
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
            self._cut = self.close_connection = True
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
