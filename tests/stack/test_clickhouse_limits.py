"""How much the embedded ClickHouse takes, for how long and from how many; clients that go away, and its own stop."""

import gzip
import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests import embedded
from tests.stack.client import Answer, ask, fresh, rows_of


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


@pytest.mark.parametrize("wish", ["0.0000001", "1e-9", "0", "-1", "nan", "inf", "1e300", ""])
def test_no_wish_lifts_the_limits(small: embedded.Server, wish: str) -> None:
    endless = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
    status, headers, _ = ask(endless, {"max_execution_time": wish}, endpoint=small.endpoint)
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (408, "159")
    value = "SELECT value != '0' FROM system.settings WHERE name = 'max_memory_usage'"
    status, headers, answer = ask(value, {"max_memory_usage": wish}, endpoint=small.endpoint)
    # A byte or less is too little for anything.
    assert answer == b"1\n" or headers["X-ClickHouse-Exception-Code"] == "241", answer


@pytest.mark.parametrize("name", ["max_execution_time", "max_memory_usage"])
@pytest.mark.parametrize("wish", ["0x10", "1s", "one"])
def test_a_limit_is_a_number(small: embedded.Server, name: str, wish: str) -> None:
    status, headers, _ = ask("SELECT 1", {name: wish}, endpoint=small.endpoint)
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (400, "72")


def test_a_client_that_goes_away_within_its_insert_leaves_nothing() -> None:
    table = fresh("gone")
    connection = http.client.HTTPConnection(embedded.endpoint(), timeout=30)
    connection.putrequest("POST", "/?" + urlencode({"query": f"INSERT INTO {table} FORMAT TSV"}))
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"1\ta\n")
    connection.close()
    time.sleep(0.3)
    assert rows_of(table) == b""


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
