"""ClickHouse's HTTP interface over the embedded engine: the protocol, formats, compression, whole answers."""

import gzip
import http.client
import json
import socket

import lz4.frame
import numpy as np
import pyarrow as pa
import pytest
from backports import zstd

from tests import embedded
from tests.stack.client import ask, fresh, rows_of


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


@pytest.mark.parametrize(("version", "chunked"), [("1.0", False), ("1.1", True)])
def test_a_streamed_answer_in_the_clients_version(version: str, chunked: bool) -> None:
    host, port = embedded.endpoint().split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        query = "/?query=SELECT+number+FROM+numbers(200000)"
        client.sendall(f"GET {query} HTTP/{version}\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (b"chunked" in head) == chunked
    if chunked:
        assert body.endswith(b"\r\n0\r\n\r\n")
    else:
        assert body == b"".join(b"%d\n" % n for n in range(200_000))


def test_an_answer_is_not_mixed_up_with_freed_memory() -> None:
    for _ in range(3):
        answer = ask("SELECT number FROM numbers(3000000) FORMAT RowBinary")[2]
        np.testing.assert_array_equal(np.frombuffer(answer, dtype=np.uint64), np.arange(3_000_000))


def test_settings_and_database_end_with_their_request() -> None:
    fresh("here")
    value = "SELECT getSetting('max_block_size'), currentDatabase()"
    assert ask(value, {"max_block_size": "123", "database": "server"})[2] == b"123\tserver\n"
    assert ask(value)[2] == b"65409\tdefault\n"
    cache = "SELECT getSetting('use_query_condition_cache')"
    assert ask(cache)[2] == b"false\n"
    assert ask(cache, {"use_query_condition_cache": "1"})[2] == b"true\n"
    assert ask("SELECT 1", {"no_such_setting": "1"})[1]["X-ClickHouse-Exception-Code"] == "115"
    assert ask("SELECT 1", {"max_threads` = 1, b": "1"})[1]["X-ClickHouse-Exception-Code"] == "115"
    assert ask("SELECT 1", {"database": "no`; DROP"})[1]["X-ClickHouse-Exception-Code"] == "81"
