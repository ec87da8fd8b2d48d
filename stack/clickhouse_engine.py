"""The embedded ClickHouse engine (chdb) with the parts of a server it lacks: settings per request, read-only access.

One process owns a data directory. A keeper connection holds the engine up; every request gets its own connection
(about 1 ms), so that USE and SET end with it.
"""

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stack.clickhouse_errors import (
    ACCESS_DENIED,
    QUERY_IS_TOO_LARGE,
    READONLY,
    SYNTAX_ERROR,
    UNKNOWN_STATUS_OF_INSERT,
    Refused,
)
from stack.clickhouse_failures import COUNTED, Counts, counts, since
from stack.clickhouse_outside import Outside
from stack.clickhouse_sql import Insert, Output

_SETTING_NAME = re.compile(r"[A-Za-z_]\w*\Z")
# What differs from the engine's defaults unless a request says otherwise; flink-conf/clickhouse/reader.xml has the same
# for a server. This cache of conditions has answered wrongly, with FINAL among others, and is mended as cases are found
# (ClickHouse issues 93787, 104781, 83262): our statements go by primary key and gain nothing from it.
_DEFAULTS = {"use_query_condition_cache": "0"}
# The engine rounds less to 0, which is no limit at all.
_LEAST_S, _LEAST_BYTES = 0.001, 1


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do. read_only: no statement that changes anything, nothing outside the database."""

    read_only: bool
    max_execution_s: float
    max_memory_bytes: int


@dataclass(slots=True)
class Written:
    """The figures of X-ClickHouse-Summary."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    elapsed_ns: int = 0

    def add(self, result: Any) -> None:
        """Count one result of the engine in."""
        self.read_rows += result.storage_rows_read()
        self.read_bytes += result.storage_bytes_read()
        self.result_rows += result.rows_read()
        self.elapsed_ns += int(result.elapsed() * 1e9)


def quote(text: str) -> str:
    """Return text as a string literal of ClickHouse's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Session:
    """One request's connection. Every method raises Refused with the engine's own code and message."""

    def __init__(self, connection: Any, access: Access, outside: Outside) -> None:
        self._connection = connection
        self._access = access
        self._outside = outside
        self._kept: Any = None
        self.figures = Written()

    def prepare(self, database: str, settings: Mapping[str, str]) -> None:
        """Apply database and settings; the limits of the access win over larger wishes of the client."""
        if database:
            self._run("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`")
        wanted = {**_DEFAULTS, **settings}
        for name in wanted:
            if not _SETTING_NAME.match(name):
                raise Refused(115, f"Code: 115. DB::Exception: Unknown setting {name[:64]!r}. (UNKNOWN_SETTING)")
        wanted["max_execution_time"] = _capped(wanted.get("max_execution_time"), self._access.max_execution_s, _LEAST_S)
        wanted["max_memory_usage"] = _capped(
            wanted.get("max_memory_usage"), self._access.max_memory_bytes, _LEAST_BYTES
        )
        if self._access.read_only:
            wanted.pop("readonly", None)
            if barred := self._outside.setting(wanted):
                raise Refused.here(ACCESS_DENIED, "TG-clickhouse-outside", f"a read-only user may not set {barred}")
            wanted |= self._outside.limits  # said, because `compatibility` changes what nobody has set
        last = "1" if self._access.read_only else wanted.pop("readonly", "")
        self._run("SET " + ", ".join(f"{name} = {quote(value)}" for name, value in wanted.items()))
        if last:
            # Last, because nothing can be set behind it.
            self._run(f"SET readonly = {quote(last)}")

    def check(self, sql: str, params: Mapping[str, str]) -> bool:
        """Tell whether sql only reads; raises Refused if this access may not run it."""
        if self._access.read_only:
            self._deny_long(sql)
        report = self._connection.classify_query(sql)
        if report["statement_count"] > 1:
            raise Refused(SYNTAX_ERROR, "Code: 62. DB::Exception: Multi-statements are not allowed. (SYNTAX_ERROR)")
        reads = str(report["query_class"]).endswith("READ_ONLY")
        if self._access.read_only:
            if not reads:
                raise Refused(READONLY, "Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)")
            self._deny_outside(sql, params)
        return reads

    def _deny_long(self, sql: str) -> None:
        size, most = len(sql.encode()), int(self._outside.limits["max_query_size"])
        if size > most:
            detail = (
                f"a statement of {size} bytes, a read-only user's may have {most} (max_query_size, which that user may "
                "not set); values may come as parameters, {name:Type}, which do not count"
            )
            raise Refused.here(QUERY_IS_TOO_LARGE, "TG-clickhouse-sql-size", detail)

    def _deny_outside(self, sql: str, params: Mapping[str, str]) -> None:
        # The words are looked for first, because the second look costs parses. The engine's own syntax trees are what
        # decides: they have undone comments, quotes and escapes.
        if not self._outside.suspects(sql, params):
            return
        ast = self._text(f"EXPLAIN AST {sql}", params)
        try:
            tree = self._text(f"SELECT parseQueryToJSON({quote(sql)})")
        except Refused:
            tree = ""
        if barred := self._outside.refusal(ast, tree, params):
            raise Refused.here(ACCESS_DENIED, "TG-clickhouse-outside", f"a read-only user may not {barred}")

    def read(self, sql: str, output: Output, params: Mapping[str, str]) -> Generator[memoryview, None, None]:
        """Yield the answer piece by piece. Closing the generator early cancels a streamed query."""
        if not output.streamed:
            result = self._run(sql, output.format, params)
            self.figures.add(result)
            # The view does not keep the engine's buffer alive; the session does.
            self._kept = result
            yield result.get_memview().view()
            return
        try:
            stream = self._connection.send_query(sql, output.format, params=dict(params))
            done = False
            try:
                while True:
                    piece = self._connection.streaming_fetch_result(stream)
                    if piece is None or piece.rows_read() == 0:
                        done = True
                        return
                    self.figures.add(piece)
                    yield memoryview(piece.bytes())
            finally:
                if not done:
                    self._connection.streaming_cancel_query(stream)
        except RuntimeError as error:
            raise Refused.of_engine(error) from None

    def write(self, insert: Insert, data: Iterable[bytes]) -> None:
        """Insert data as they come; whatever ends the iteration early cancels the insert."""
        before = self._counted()
        try:
            handle = self._connection.send_insert(insert.statement, insert.format)
            try:
                for piece in data:
                    self._connection.insert_append(handle, piece)
            except BaseException:
                self._connection.insert_cancel(handle)
                raise
            result = self._connection.insert_done(handle)
        except RuntimeError as error:
            raise Refused.of_engine(error) from None
        failed = since(before, self._counted())
        if failed is not None:
            text = f"The block may not be stored, the engine has failed meanwhile: {failed}. (UNKNOWN_STATUS_OF_INSERT)"
            raise Refused(UNKNOWN_STATUS_OF_INSERT, f"Code: {UNKNOWN_STATUS_OF_INSERT}. DB::Exception: {text}")
        self.figures.written_rows += result.rows_written()
        self.figures.written_bytes += result.bytes_written()
        self.figures.elapsed_ns += int(result.elapsed() * 1e9)

    def change(self, sql: str, params: Mapping[str, str]) -> None:
        """Run a statement that answers nothing: DDL, INSERT … SELECT, an insert with its values inline."""
        result = self._run(sql, "TSV", params)
        self.figures.add(result)
        self.figures.written_rows += result.rows_written()
        self.figures.written_bytes += result.bytes_written()

    def _counted(self) -> Counts:
        """Return the engine's count of its errors."""
        return counts(bytes(self._run(COUNTED).bytes()).decode(errors="replace"))

    def _text(self, sql: str, params: Mapping[str, str] | None = None) -> str:
        return bytes(self._run(sql, "TSVRaw", params).bytes()).decode(errors="replace")

    def _run(self, sql: str, output: str = "TSV", params: Mapping[str, str] | None = None) -> Any:
        try:
            return self._connection.query(sql, output, params=dict(params or {}))
        except RuntimeError as error:
            raise Refused.of_engine(error) from None


def _capped(wish: str | None, most: float, least: float) -> str:
    try:
        asked = float(wish) if wish else 0.0
    except ValueError:
        raise Refused(
            72, f"Code: 72. DB::Exception: Cannot parse {wish!r} as a number. (CANNOT_PARSE_NUMBER)"
        ) from None
    limit = max(min(asked, most) if asked > 0 else most, least)
    return str(int(limit)) if limit == int(limit) else f"{limit:.3f}"


class Engine:
    """chdb on one data directory; raises Refused if another process owns it."""

    def __init__(self, path: str) -> None:
        import chdb

        self._raw = chdb._chdb
        self._path = path
        try:
            self._keeper = self._raw.connect(path)
        except RuntimeError as error:
            raise Refused.of_engine(error) from None
        row = bytes(self._keeper.query("SELECT version(), timezone(), displayName()", "TSV").bytes())
        self.version, self.timezone, self.name = row.decode().rstrip("\n").split("\t")
        self._outside = Outside(lambda sql: bytes(self._keeper.query(sql, "TSV").bytes()).decode().splitlines())

    @contextmanager
    def session(self, access: Access) -> Iterator[Session]:
        """Give a connection of its own for one request."""
        connection = self._raw.connect(self._path)
        try:
            yield Session(connection, access, self._outside)
        finally:
            connection.close()

    def close(self) -> None:
        """Shut the engine down; all sessions must have ended."""
        self._keeper.close()
