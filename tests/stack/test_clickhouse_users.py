"""Who may come in to the embedded ClickHouse, and what a GET and the user who may only read may do."""

import subprocess
import sys
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


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:8123", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.0.0.1:8123", True),
        ("[::1]:8123", True),
        ("192.168.1.2:8123", True),
        ("evil.example", False),
        ("evil.example:8123", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:8123", False),
        ("localhost@evil.example", False),
        ("[::1", False),
    ],
)
def test_a_name_that_leads_to_the_loopback_is_not_served(host: str, known: bool) -> None:
    page = {"Host": host, "Origin": f"http://{host}"} if known else {"Host": host}
    for params, method in (({"query": "SELECT 1"}, "GET"), ({"query": "SELECT 1"}, "POST"), ({}, "GET")):
        status, headers, answer = ask("", params, page, method)
        if known:
            assert status == 200, answer
        else:
            assert (status, headers["X-ClickHouse-Exception-Code"]) == (403, "497")
            assert b"TG-clickhouse-host" in answer


def test_another_address_is_served_by_any_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stack.clickhouse", "--path", str(tmp_path), "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().rstrip("/\n").rpartition(":")[2]
        status = ask("SELECT 1", {}, {"Host": "clickhouse:8123"}, endpoint=f"127.0.0.1:{port}")[0]
        process.terminate()
    assert status == 200


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
        "SELECT arrayMap(file, ['/etc/hostname'])",
        "SELECT arrayMap(`fil\\x65`, ['/etc/hostname'])",
        "SELECT arrayMap(file AS f, ['/etc/hostname'])",
        "SELECT arrayFold(file, ['/etc/hostname'], '')",
        "FROM system.one |> EXTEND arrayMap(file, ['/etc/hostname']) AS x",
        f"SELECT {'[' * 900}1{']' * 900}, 'file'",
        "SELECT `a\n  b`, arrayMap(file, ['/etc/hostname']) FROM (SELECT 1 AS `a\n  b`)",
        "SELECT 1 FROM system.one ARRAY JOIN arrayMap(file, ['/etc/hostname']) AS z",
        "SELECT * APPLY(file) FROM (SELECT '/etc/hostname' AS a)",
        "SELECT * APPLY(`fil\\x65`) FROM (SELECT '/etc/hostname' AS a)",
        "SELECT x.* APPLY file FROM (SELECT '/etc/hostname' AS a) AS x",
        "SELECT COLUMNS('a') APPLY(length) APPLY(file) FROM (SELECT '/etc/hostname' AS a)",
        "SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/hostname' AS a)",
        "SELECT * APPLY(x -> arrayMap(file, [x])) FROM (SELECT '/etc/hostname' AS a)",
        "SELECT * REPLACE(file(a) AS a) FROM (SELECT '/etc/hostname' AS a)",
        "WITH (x -> file(x)) AS f SELECT f('/etc/hostname')",
        "SELECT 'a' IN file('/etc/hostname')",
        "SELECT a FROM (SELECT 1 AS a) ORDER BY a WITH FILL INTERPOLATE (b AS file(b))",
        "SHOW TABLES WHERE length(file('/etc/hostname')) > 0",
        "SHOW COLUMNS FROM {t} WHERE length(arrayMap(file, ['/etc/hostname'])) > 0",
        "DESCRIBE (SELECT * APPLY(file) FROM (SELECT '/etc/hostname' AS a))",
        "DESCRIBE (SELECT arrayMap(file, ['/etc/hostname']))",
        "SELECT * FROM filesystem('/etc')",
        "SELECT * FROM deltaLakeS3('http://127.0.0.1:1/x')",
        "SELECT * FROM bigquery('a', 'b', 'c')",
        "SELECT aiGenerate('x')",
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
    ("sql", "params"),
    [
        ("SELECT arrayMap({f:Identifier}, ['/etc/hostname'])", {"param_f": "file"}),
        ("SELECT * FROM eval('SELECT file(''/etc/hostname'')')", {"allow_experimental_eval_table_function": "1"}),
        ("SELECT 1", {"additional_result_filter": "length(file('/etc/hostname')) > 0"}),
        (
            "SELECT 1 FROM system.one",
            {"additional_table_filters": "{'system.one': 'length(file(\\'/etc/hostname\\'))'}"},
        ),
        ("SELECT 1", {"select": "file('/etc/hostname')"}),
        ("SELECT 1", {"filter": "length(file('/etc/hostname')) > 0"}),
        ("SELECT 1 AS a FORMAT Template", {"format_template_row": "/etc/hostname"}),
        ("SELECT 1 AS a FORMAT Template", {"format_template_resultset": "/etc/hostname"}),
        ("SELECT 1 AS a FORMAT Protobuf", {"output_format_schema": "/tmp/tidegauge-must-not-be"}),
        ("SELECT 1 AS a FORMAT Protobuf", {"format_schema": "/etc/hostname:M"}),
        ("SELECT 1 AS a FORMAT AvroConfluent", {"format_avro_schema_registry_url": "http://127.0.0.1:1"}),
        ("print 1", {"dialect": "kusto", "allow_experimental_kusto_dialect": "1"}),
        ("SELECT 1", {"max_query_size": "100000000"}),
        ("SELECT 1", {"max_parser_depth": "100000000"}),
        ("SELECT 1", {"max_parser_backtracks": "0"}),
    ],
)
def test_the_viewer_reaches_nothing_by_parameters_and_settings(sql: str, params: dict[str, str]) -> None:
    user, password = embedded.VIEWER
    status, headers, answer = ask(sql, {"user": user, "password": password, **params})
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "497"), answer
    assert b"TG-clickhouse-outside" in answer
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
        "SELECT length(f.file) FROM (SELECT 'a' AS file) AS f",
        "SELECT length(url) FROM (SELECT 'a' AS url)",
        "SELECT length(file), file || 'b', UPPER(file), file IN ('a') FROM (SELECT 'a' AS file) WHERE file != ''",
        "SELECT uniq(file), count(DISTINCT file), anyIf(file, file LIKE 'a') FROM (SELECT 'a' AS file)",
        "SELECT m['file'] AS file, if(file = 'a', 1, 2) FROM (SELECT map('file', 'a') AS m) GROUP BY m, file",
        "SELECT arrayExists(x -> x = file, ['a']) FROM (SELECT 'a' AS file)",
        "SELECT * APPLY(toString), 'file' FROM numbers(3)",
        "SELECT format('{}', 'file')",
        "SHOW TABLES LIKE 'file'",
        "SELECT {f:Identifier} FROM (SELECT 1 AS file)",
    ],
)
def test_the_viewer_reads(sql: str) -> None:
    user, password = embedded.VIEWER
    table = fresh("seen")
    params = {"user": user, "password": password, "max_threads": "1", "log_comment": "x", "param_f": "file"}
    status, _, answer = ask(sql.replace("{t}", table), params)
    assert status == 200, answer
