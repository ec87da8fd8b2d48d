"""Who may come in to the embedded ClickHouse, and what a GET and the user who may only read may do."""

from base64 import b64encode
from pathlib import Path

import pytest

from tests import embedded
from tests.stack.client import ask, fresh, rows_of


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
