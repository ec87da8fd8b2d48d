"""ClickHouse's HTTP interface over the embedded engine, as its clients use it: bare requests, clickhouse-connect."""

import gzip
import http.client
import json
import socket
import struct
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import clickhouse_connect
import lz4.frame
import numpy as np
import pyarrow as pa
import pytest
from backports import zstd
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests import embedded

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Answer = tuple[int, dict[str, str], bytes]


def ask(
    sql: str | bytes = b"",
    params: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    method: str = "POST",
    endpoint: str = "",
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(endpoint or embedded.endpoint(), timeout=30)
    try:
        body = sql.encode() if isinstance(sql, str) else sql
        connection.request(method, "/?" + urlencode(params or {}), body=body or None, headers=headers or {})
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


def fresh(name: str, columns: str = "a UInt32, b String") -> str:
    ask("CREATE DATABASE IF NOT EXISTS server")
    ask(f"DROP TABLE IF EXISTS server.{name}")
    status, _, answer = ask(f"CREATE TABLE server.{name} ({columns}) ENGINE = MergeTree ORDER BY tuple()")
    assert status == 200, answer
    return f"server.{name}"


def rows_of(table: str) -> bytes:
    return ask(f"SELECT * FROM {table} ORDER BY ALL")[2]


def test_get_and_post_and_their_headers() -> None:
    status, headers, answer = ask(params={"query": "SELECT 1", "query_id": "mine"}, method="GET")
    assert (status, answer) == (200, b"1\n")
    assert headers["X-ClickHouse-Query-Id"] == "mine"
    assert headers["X-ClickHouse-Format"] == "TabSeparated"
    assert headers["X-ClickHouse-Timezone"] == "UTC"
    assert json.loads(headers["X-ClickHouse-Summary"])["result_rows"] == "1"
    assert ask("SELECT 2 FORMAT JSONEachRow")[2] == b'{"2":2}\n'
    assert ask("SELECT 3", {"default_format": "CSV"})[2] == b"3\n"
    # What a client says comes back in a header only if it is one word.
    headers = ask("SELECT 1", {"query_id": "x\r\nSet-Cookie: a=b"})[1]
    assert "Set-Cookie" not in headers
    assert "x" not in headers["X-ClickHouse-Query-Id"]
    # URL and body are one text, as clients that keep the query in the URL expect.
    assert ask("SELECT 4", {"query": "-- first half"})[2] == b"4\n"


def test_ping_and_unknown_paths() -> None:
    connection = http.client.HTTPConnection(embedded.endpoint(), timeout=30)
    for path, expected in (("/ping", (200, b"Ok.\n")), ("/", (200, b"Ok.\n")), ("/replicas_status", (200, b"Ok.\n"))):
        connection.request("GET", path)
        response = connection.getresponse()
        assert (response.status, response.read()) == expected
    connection.request("GET", "/elsewhere?query=SELECT+1")
    response = connection.getresponse()
    assert response.status == 404
    assert b"TG-clickhouse-path" in response.read()
    connection.close()


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("", 400, "62"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("SHOW TABLES; SHOW TABLES", 400, "62"),
        ("CREATE DATABASE many_a; CREATE DATABASE many_b", 400, "62"),
        ("SELECT * FROM nonesuch", 404, "60"),
        ("SELECT nonesuch", 404, "47"),
        ("SELECT throwIf(1)", 500, "395"),
        (b"SELECT '\xff'", 400, "36"),
    ],
)
def test_errors_have_a_status_and_clickhouses_code(sql: str, status: int, code: str) -> None:
    got, headers, answer = ask(sql)
    assert (got, headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert answer.startswith(f"Code: {code}. DB::Exception: ".encode())


@pytest.mark.parametrize(
    ("format_", "data"),
    [
        ("TSV", b"1\ta\n2\tb\n"),
        ("CSV", b'1,"a"\n2,"b"\n'),
        ("JSONEachRow", b'{"a":1,"b":"a"}\n{"a":2,"b":"b"}\n'),
        ("Values", b"(1,'a'),(2,'b')"),
        ("RowBinary", b"\x01\0\0\0\x01a\x02\0\0\0\x01b"),
        ("Native", b"\x02\x02\x01a\x06UInt32\x01\0\0\0\x02\0\0\0\x01b\x06String\x01a\x01b"),
    ],
)
def test_formats_by_url_by_body_and_inline(format_: str, data: bytes) -> None:
    table = fresh("formats")
    ways = (
        ask(data, {"query": f"INSERT INTO {table} FORMAT {format_}"}),
        ask(f"INSERT INTO {table} (a, b) FORMAT {format_}\n".encode() + data),
        ask(
            data,
            {"query": f"INSERT INTO formats (a, b) SETTINGS max_threads = 1 FORMAT {format_}", "database": "server"},
        ),
    )
    for status, headers, answer in ways:
        assert status == 200, answer
        assert json.loads(headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert rows_of(table) == b"1\ta\n" * 3 + b"2\tb\n" * 3


@pytest.mark.parametrize("kind", ["Arrow", "ArrowStream"])
def test_arrow_in_and_out(kind: str) -> None:
    table = fresh("arrow")
    rows = pa.table({"a": pa.array([1, 2], pa.uint32()), "b": pa.array(["x", "y"]).dictionary_encode()})
    out = pa.BufferOutputStream()
    with (pa.ipc.new_file if kind == "Arrow" else pa.ipc.new_stream)(out, rows.schema) as writer:
        writer.write_table(rows)
    assert ask(out.getvalue().to_pybytes(), {"query": f"INSERT INTO {table} FORMAT {kind}"})[0] == 200
    answer = ask(f"SELECT * FROM {table} ORDER BY a FORMAT {kind}")[2]
    reader = pa.ipc.open_file(answer) if kind == "Arrow" else pa.ipc.open_stream(answer)
    assert reader.read_all().to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO {t} VALUES (1, 'FORMAT CSV'), (2, '(b)')",
        "INSERT INTO {t} SELECT number + 1, ['FORMAT CSV', '(b)'][number + 1] FROM numbers(2)",
        "/* INSERT INTO nonesuch FORMAT CSV */ INSERT INTO {t} VALUES (1, 'FORMAT CSV'), (2, '(b)')",
        "INSERT INTO {t} (b, a) VALUES ('FORMAT CSV', 1), ('(b)', 2)",
    ],
)
def test_inserts_without_a_body_of_their_own(sql: str) -> None:
    table = fresh("inline")
    assert ask(sql.replace("{t}", table))[0] == 200
    assert rows_of(table) == b"1\tFORMAT CSV\n2\t(b)\n"


def test_a_broken_insert_leaves_nothing() -> None:
    table = fresh("broken")
    status, headers, _ = ask(b"1\ta\nx\tb\n", {"query": f"INSERT INTO {table} FORMAT TSV"})
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (400, "27")
    assert rows_of(table) == b""


def test_a_client_that_goes_away_within_its_insert_leaves_nothing() -> None:
    table = fresh("gone")
    connection = http.client.HTTPConnection(embedded.endpoint(), timeout=30)
    connection.putrequest("POST", "/?" + urlencode({"query": f"INSERT INTO {table} FORMAT TSV"}))
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"1\ta\n")
    connection.close()
    time.sleep(0.3)
    assert rows_of(table) == b""


def frames(blocks: list[bytes], compress: object) -> bytes:
    return b"".join(compress(block) for block in blocks)  # type: ignore[operator]  # three modules, one shape


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("lz4", lz4.frame.compress), ("zstd", zstd.compress)],
)
def test_compressed_bodies_of_one_frame_and_of_many(encoding: str, compress: object) -> None:
    table = fresh("packed")
    blocks = [b"".join(b"%d\tx\n" % row for row in range(start, start + 40_000)) for start in (0, 40_000)]
    for body in (frames([b"".join(blocks)], compress), frames(blocks, compress)):
        status, _, answer = ask(body, {"query": f"INSERT INTO {table} FORMAT TSV"}, {"Content-Encoding": encoding})
        assert status == 200, answer
    assert ask(f"SELECT count(), uniqExact(a), max(a) FROM {table}")[2] == b"160000\t80000\t79999\n"
    cut = frames(blocks, compress)[:-20]
    status, _, answer = ask(cut, {"query": f"INSERT INTO {table} FORMAT TSV"}, {"Content-Encoding": encoding})
    assert status == 400
    assert b"TG-clickhouse-" in answer
    assert ask(b"rubbish", {"query": f"INSERT INTO {table} FORMAT TSV"}, {"Content-Encoding": encoding})[0] == 400
    assert ask(f"SELECT count() FROM {table}")[2] == b"160000\n"


@pytest.mark.parametrize(
    ("encoding", "decompress"), [("gzip", gzip.decompress), ("lz4", lz4.frame.decompress), ("zstd", zstd.decompress)]
)
def test_compressed_answers_small_and_streamed(encoding: str, decompress: object) -> None:
    for count in (1, 1_000_000):
        _, headers, answer = ask(
            f"SELECT number FROM numbers({count})", {"enable_http_compression": "1"}, {"Accept-Encoding": encoding}
        )
        assert headers["Content-Encoding"] == encoding
        plain = decompress(answer)  # type: ignore[operator]  # three modules, one shape
        assert plain == b"".join(b"%d\n" % n for n in range(count))
    assert "Content-Encoding" not in ask("SELECT 1", {}, {"Accept-Encoding": encoding})[1]


@pytest.mark.parametrize(
    "format_", ["TSV", "CSVWithNames", "JSON", "JSONCompact", "JSONEachRow", "ArrowStream", "Parquet"]
)
def test_long_answers_are_one_document(format_: str) -> None:
    """The engine streams documents of 65,409 rows: joined, only some formats stay one."""
    answer = ask(f"SELECT number AS n FROM numbers(200000) FORMAT {format_}")[2]
    if format_.startswith("JSON") and format_ != "JSONEachRow":
        assert len(json.loads(answer)["data"]) == 200_000
    elif format_ == "ArrowStream":
        assert pa.ipc.open_stream(answer).read_all().num_rows == 200_000
    elif format_ == "Parquet":
        assert answer.count(b"PAR1") == 2
    else:
        assert answer.count(b"\n") == 200_000 + (format_ == "CSVWithNames")


def test_an_answer_is_not_mixed_up_with_freed_memory() -> None:
    for _ in range(3):
        answer = ask("SELECT number FROM numbers(3000000) FORMAT RowBinary")[2]
        np.testing.assert_array_equal(np.frombuffer(answer, dtype=np.uint64), np.arange(3_000_000))


def test_settings_and_database_end_with_their_request() -> None:
    fresh("here")
    value = "SELECT getSetting('max_block_size'), currentDatabase()"
    assert ask(value, {"max_block_size": "123", "database": "server"})[2] == b"123\tserver\n"
    assert ask(value)[2] == b"65409\tdefault\n"
    assert ask("SELECT 1", {"no_such_setting": "1"})[1]["X-ClickHouse-Exception-Code"] == "115"
    assert ask("SELECT 1", {"max_threads` = 1, b": "1"})[1]["X-ClickHouse-Exception-Code"] == "115"
    assert ask("SELECT 1", {"database": "no`; DROP"})[1]["X-ClickHouse-Exception-Code"] == "81"


def test_a_get_changes_nothing() -> None:
    table = fresh("safe")
    for sql in (f"DROP TABLE {table}", f"INSERT INTO {table} VALUES (1, 'x')", f"INSERT INTO {table} FORMAT TSV"):
        for params in ({"query": sql}, {"query": sql, "readonly": "0"}):
            status, headers, _ = ask(params=params, method="GET")
            assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert rows_of(table) == b""


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def test_who_may_come_in() -> None:
    user, password = embedded.VIEWER
    for params, headers in (
        ({"user": user, "password": password}, {}),
        ({}, {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}),
        ({}, basic(user, password)),
    ):
        assert ask("SELECT getSetting('readonly')", params, headers)[2] == b"1\n"
    for params, headers in (
        ({"user": user}, {}),
        ({"user": "nobody"}, {}),
        ({"password": "x"}, {}),
        ({}, basic("default", "x")),
        ({}, {"Authorization": "Basic !"}),
        ({}, {"X-ClickHouse-User": user, "X-ClickHouse-Key": "x"}),
    ):
        status, got, answer = ask("SELECT 1", params, headers)
        if headers.get("Authorization") == "Basic !":
            assert status == 403
            continue
        assert (status, got["X-ClickHouse-Exception-Code"]) == (403, "516"), (params, headers)
        assert b"TG-clickhouse-auth" in answer


def test_pages_of_other_sites_are_not_served() -> None:
    assert ask("SELECT 1", {}, {"Origin": "http://evil.example"})[0] == 403
    assert ask("SELECT 1", {}, {"Origin": f"http://{embedded.endpoint()}"})[0] == 200


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO {t} VALUES (1, 'x')",
        "INSERT INTO {t} FORMAT TSV\n1\tx\n",
        "INSERT INTO {t} SELECT 1, 'x'",
        "DROP TABLE {t}",
        "TRUNCATE TABLE {t}",
        "ALTER TABLE {t} DELETE WHERE 1",
        "CREATE TABLE server.more (a UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE more (a UInt8)",
        "OPTIMIZE TABLE {t} FINAL",
        "SYSTEM FLUSH LOGS",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 INTO OUTFILE '/tmp/tidegauge-must-not-be'",
        "BACKUP TABLE {t} TO File('x')",
        "SELECT file('/etc/hostname')",
        "SELECT FILE('/etc/hostname')",
        "SELECT `file`('/etc/hostname')",
        "SELECT `fil\\x65`('/etc/hostname')",
        "SELECT file/**/('/etc/hostname')",
        "EXPLAIN SELECT file('/etc/hostname')",
        "WITH (SELECT file('/etc/hostname')) AS x SELECT x",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM view(SELECT * FROM file('/etc/hostname', 'LineAsString'))",
        "DESCRIBE TABLE file('/etc/hostname')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1:1/x', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:1', 'system.one')",
        "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM executable('id', 'LineAsString', 'a String')",
        "SELECT * FROM Python(os)",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM `/etc/hostname`",
    ],
)
def test_the_viewer_changes_nothing_and_reaches_nothing(sql: str) -> None:
    table = fresh("kept")
    user, password = embedded.VIEWER
    status, headers, answer = ask(sql.replace("{t}", table), {"user": user, "password": password, "readonly": "0"})
    assert status in (400, 403, 404, 500), answer
    assert headers["X-ClickHouse-Exception-Code"] in {"164", "497", "60", "62"}, answer
    assert rows_of(table) == b""
    assert not Path("/tmp/tidegauge-must-not-be").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM {t}",
        "SHOW TABLES FROM server",
        "DESCRIBE TABLE {t}",
        "EXPLAIN SELECT * FROM {t}",
        "WITH 1 AS file SELECT file",
        "SELECT 'file(', * FROM numbers(3)",
    ],
)
def test_the_viewer_reads(sql: str) -> None:
    user, password = embedded.VIEWER
    table = fresh("seen")
    assert ask(sql.replace("{t}", table), {"user": user, "password": password, "max_threads": "1"})[0] == 200


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Server]:
    path = str(tmp_path_factory.mktemp("small"))
    server = embedded.start(path, max_body_bytes="100000", timeout_s="1.5", max_queries="1", max_wait_s="0.2")
    yield server
    code, out = server.stop()
    assert code == 0, out


def test_limits_of_the_body(small: embedded.Server) -> None:
    ask("CREATE TABLE t (a String) ENGINE = Memory", endpoint=small.endpoint)
    insert = {"query": "INSERT INTO t FORMAT TSV"}
    bomb = gzip.compress(b"x" * 10_000_000)
    assert len(bomb) < 100_000
    for body, headers in ((b"x" * 200_000, {}), (bomb, {"Content-Encoding": "gzip"})):
        status, got, answer = ask(body, insert, headers, endpoint=small.endpoint)
        assert (status, got["X-ClickHouse-Exception-Code"]) == (413, "307")
        assert b"TG-clickhouse-body-size" in answer
    assert ask("SELECT count() FROM t", endpoint=small.endpoint)[2] == b"0\n"


def test_a_statement_may_not_run_for_ever(small: embedded.Server) -> None:
    endless = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
    began = time.monotonic()
    status, headers, _ = ask(endless, {"max_execution_time": "1000"}, endpoint=small.endpoint)
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (408, "159")
    assert time.monotonic() - began < 10


def test_a_client_that_hangs_up_is_not_an_error(tmp_path: Path) -> None:
    server = embedded.start(str(tmp_path))
    host, port = server.endpoint.split(":")
    for sent in (b"", b"GET /pi", b"GET /ping HTTP/1.1\r\n\r\n"):
        with socket.create_connection((host, int(port))) as client:
            # Linger 0: the connection is reset, not closed.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(sent)
    time.sleep(0.3)
    code, out = server.stop()
    assert (code, out) == (0, "")


def test_too_many_at_once(small: embedded.Server) -> None:
    slow = threading.Thread(target=ask, args=("SELECT sleep(1)",), kwargs={"endpoint": small.endpoint})
    slow.start()
    time.sleep(0.3)
    status, headers, answer = ask("SELECT 1", endpoint=small.endpoint)
    slow.join()
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (503, "202")
    assert b"TIDEGAUGE_CLICKHOUSE_MAX_QUERIES" in answer


def test_stop_waits_and_data_stay(tmp_path: Path) -> None:
    server = embedded.start(str(tmp_path))
    ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a", endpoint=server.endpoint)
    ask("INSERT INTO t SELECT number FROM numbers(1000)", endpoint=server.endpoint)
    answers: list[Answer] = []
    slow = threading.Thread(target=lambda: answers.append(ask("SELECT sleep(1), 7", endpoint=server.endpoint)))
    slow.start()
    time.sleep(0.3)
    code, out = server.stop()
    slow.join()
    assert code == 0, out
    assert answers[0][2] == b"0\t7\n"
    again = embedded.start(str(tmp_path))
    assert ask("SELECT count() FROM t", endpoint=again.endpoint)[2] == b"1000\n"
    with pytest.raises(AssertionError, match="TG-clickhouse-start"):
        embedded.start(str(tmp_path))
    again.process.kill()
    again.process.communicate()
    third = embedded.start(str(tmp_path))
    assert ask("SELECT count() FROM t", endpoint=third.endpoint)[2] == b"1000\n"
    third.stop()


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_clickhouse_connect(compress: bool | str) -> None:
    host, port = embedded.endpoint().split(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), compress=compress)
    table = fresh("client", "a UInt64, b LowCardinality(String), c Array(Float64), t DateTime64(3, 'UTC')")
    count = 100_000
    stamps = pa.array(np.arange(count) * 1000).cast(pa.timestamp("ms", tz="UTC"))
    rows = pa.table({"a": np.arange(count, dtype=np.uint64), "b": ["x"] * count, "c": [[0.5]] * count, "t": stamps})
    assert client.insert_arrow(table, rows).written_rows == count
    assert client.insert(table, [[1, "y", [2.0], EPOCH]]).written_rows == 1
    assert client.query(f"SELECT count(), sum(a) FROM {table}").result_rows == [
        (count + 1, count * (count - 1) // 2 + 1)
    ]
    assert client.query_arrow(f"SELECT * FROM {table}").num_rows == count + 1
    assert len(client.query(f"SELECT * FROM {table}").result_rows) == count + 1
    hostile = 'it\'s "a" \\ \t\n{x:String}é'
    asked = client.query("SELECT {s:String}, {n:Array(UInt8)}", parameters={"s": hostile, "n": [1, 2]})
    assert asked.result_rows == [(hostile, [1, 2])]
    assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == ("a", "b", "c", "t")
    assert client.command("SELECT 1") == 1
    with client.query_row_block_stream("SELECT number FROM numbers(500000)") as stream:
        assert sum(len(block) for block in stream) == 500_000
    with pytest.raises(DatabaseError, match="47"):
        client.query("SELECT nonesuch")
    client.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("compress", [False, "lz4", "gzip"])
def test_an_error_in_the_middle_of_an_answer_is_seen(compress: bool | str) -> None:
    host, port = embedded.endpoint().split(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), compress=compress)
    with pytest.raises(StreamFailureError, match="throwIf"):
        assert client.query("SELECT throwIf(number = 3000000) FROM numbers(4000000)").result_rows
    client.close()
    with pytest.raises(http.client.IncompleteRead):
        ask("SELECT throwIf(number = 3000000) FROM numbers(4000000)")
