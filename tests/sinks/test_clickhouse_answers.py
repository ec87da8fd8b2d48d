"""The client against sockets that give canned answers, or none."""

import re
import socket
import threading
from collections.abc import Callable

import pyarrow as pa
import pytest

from sinks.clickhouse import Clickhouse
from sinks.refusal import ClickhouseError, RefusedBlock, Unavailable


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
        waits: list[float] = []
        client = Clickhouse(endpoint, attempts=8, sleep=waits.append)
        with pytest.raises(Unavailable, match=f"TG-clickhouse-unavailable: {endpoint} after 8 attempts"):
            client.command("SELECT 1")
    assert len(waits) == 7
    assert all(low / 2 <= wait <= low for wait, low in zip(waits, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0], strict=True))


def http_answer(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


# What clickhouse-connect asks when it connects: version and time zone, settings (none), the protocol.
HELLO = {b"version()": http_answer("200 OK", "26.9.1\tUTC\n"), b"system.settings": http_answer("200 OK", "")}
HELLO[b"client_protocol_version"] = HELLO[b"system.settings"]


def request(client: socket.socket) -> bytes:
    """Read one request to its end: what is left unread would reset the connection."""
    with client.makefile("rb") as stream:
        head = b"".join(iter(stream.readline, b"\r\n"))
        size = re.search(rb"(?i)content-length: (\d+)", head)
        return head + (stream.read(int(size.group(1))) if size else b"")


def answering(*answers: bytes, hello: bool = True) -> tuple[str, Callable[[], None]]:
    """Serve one canned answer a connection, then stop; return the endpoint and a function that waits for the end.

    hello: answer the questions of HELLO besides; without, they get the canned answers too, until one is a 200.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    left = list(answers)

    def serve() -> None:
        while left:
            client, _ = listener.accept()
            asked = request(client)
            known = [answer for word, answer in HELLO.items() if word in asked]
            client.sendall(known[0] if known and (hello or len(left) == 1) else left.pop(0))
            client.close()
        listener.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"127.0.0.1:{listener.getsockname()[1]}", lambda: thread.join(10)


def answered_behind_one_wait(endpoint: str, done: Callable[[], None]) -> None:
    waits: list[float] = []
    client = Clickhouse(endpoint, sleep=waits.append)
    assert client.command("SELECT 1") == "1\n"
    assert len(waits) == 1
    client.close()
    done()


@pytest.mark.parametrize(
    "failure",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12",  # the connection breaks within the answer
        http_answer("502 Bad Gateway", "a proxy says no"),
        http_answer("503 Service Unavailable", "a proxy says no"),
        http_answer("500 Error", "Code: 252. Too many parts", "X-ClickHouse-Exception-Code: 252"),
        http_answer("500 Error", "Code: 241. Memory limit", "X-ClickHouse-Exception-Code: 241"),
    ],
)
@pytest.mark.parametrize("hello", [True, False], ids=["in the statement", "while connecting"])
def test_what_may_pass_is_tried_again(failure: bytes, hello: bool) -> None:
    answered_behind_one_wait(*answering(failure, http_answer("200 OK", "1\n"), hello=hello))


def test_a_connection_that_breaks_before_the_answer_is_tried_again() -> None:
    # Of two breaks the first is repeated by clickhouse-connect, at once.
    answered_behind_one_wait(*answering(b"", b"", http_answer("200 OK", "1\n")))


def test_a_refusal_without_a_code_is_final() -> None:
    endpoint, done = answering(http_answer("404 Not Found", "no such page"))
    client = Clickhouse(endpoint, sleep=lambda _: pytest.fail("tried again"))
    with pytest.raises(ClickhouseError, match=r"404.*no such page"):
        client.command("SELECT 1")
    client.close()
    done()


@pytest.mark.parametrize(("status", "error"), [("403 Forbidden", Unavailable), ("413 Content Too Large", RefusedBlock)])
def test_a_block_is_refused_by_what_stands_before_the_server_only_for_its_size(
    status: str, error: type[Exception]
) -> None:
    endpoint, done = answering(http_answer(status, "says the proxy"))
    client = Clickhouse(endpoint, attempts=1)
    with pytest.raises(error, match="says the proxy"):
        client.insert("rejections", pa.table({"tenant": ["t"]}))
    client.close()
    done()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *((code, RefusedBlock) for code in (6, 27, 41, 53, 117, 307, 349, 395, 469)),
        # The file system's, a library's, a broken disk's, a deadlock, and one of a release to come.
        *((code, Unavailable) for code in (1001, 1000, 74, 473, 16, 60, 201, 516, 49, 159, 7777)),
    ],
)
def test_a_block_is_refused_only_for_what_its_rows_are(code: int, error: type[Exception]) -> None:
    failure = http_answer("500 Error", f"Code: {code}. says no", f"X-ClickHouse-Exception-Code: {code}")
    endpoint, done = answering(failure)
    client = Clickhouse(endpoint, attempts=1)
    with pytest.raises(error, match="says no"):
        client.insert("rejections", pa.table({"tenant": ["t"]}))
    client.close()
    done()


@pytest.mark.parametrize("code", [74, 473, 1000, 1001])
def test_a_statement_too_is_tried_again(code: int) -> None:
    failure = http_answer("500 Error", f"Code: {code}. says no", f"X-ClickHouse-Exception-Code: {code}")
    answered_behind_one_wait(*answering(failure, http_answer("200 OK", "1\n")))


def test_an_error_after_the_answer_began_is_an_error() -> None:
    body = "1\n\r\n__exception__\r\nabc\r\nCode: 395. DB::Exception: late\n31 abc\r\n__exception__\r\n"
    endpoint, done = answering(http_answer("200 OK", body, "X-ClickHouse-Exception-Tag: abc"))
    client = Clickhouse(endpoint)
    with pytest.raises(ClickhouseError, match="late") as late:
        client.command("SELECT 1")
    assert late.value.code == 395
    client.close()
    done()
