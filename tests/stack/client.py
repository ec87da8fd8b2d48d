"""Bare requests to ClickHouse's HTTP interface, and tables to ask about."""

import http.client
from urllib.parse import urlencode

from tests import embedded

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
