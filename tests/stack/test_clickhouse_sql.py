"""What is read of a statement before the engine sees it, and how long that takes with a hostile one."""

import time

import pytest

from stack.clickhouse_sql import find_insert, find_output


@pytest.mark.parametrize(
    ("text", "statement", "format_"),
    [
        ("INSERT INTO t VALUES (1)", "INSERT INTO t ", "Values"),
        (" insert into table a . `b c` (x, y) format TSV\n1", "insert into table a . `b c` (x, y) ", "TSV"),
        ("INSERT INTO t SETTINGS a = 1,\n b = 'x'  FORMAT CSV", "INSERT INTO t SETTINGS a = 1,\n b = 'x'  ", "CSV"),
        ("INSERT INTO t SETTINGS a = 1 VALUES (1)", "INSERT INTO t SETTINGS a = 1 ", "Values"),
        ("INSERT INTO t SETTINGS a = f(1) VALUES (1)", None, None),
        ("INSERT INTO t SELECT 1", None, None),
    ],
)
def test_the_head_of_an_insert(text: str, statement: str | None, format_: str | None) -> None:
    found = find_insert(text.encode())
    assert (found.statement, found.format) == (statement, format_) if found else statement is None


@pytest.mark.parametrize(
    ("sql", "format_", "streamed"),
    [
        ("SELECT 1", "TSV", True),
        ("SELECT f(1) FORMAT JSON", "JSON", False),
        ("SELECT 1 FORMAT CSV ; ", "CSV", True),
        ("SELECT 1 format CSV SETTINGS a = 1, b = 'x';", "CSV", True),
        ("SELECT 'FORMAT JSON' FORMAT CSV", "CSV", True),
        ("SELECT '(FORMAT JSON'", "TSV", False),
        ("SELECT 1 FORMAT JSON SETTINGS a = f(1)", "TSV", False),
        ("SELECT FORMAT('a', 'b')", "TSV", False),
    ],
)
def test_the_format_of_an_answer(sql: str, format_: str, streamed: bool) -> None:
    found = find_output(sql, "TSV")
    assert (found.format, found.streamed) == (format_, streamed)


@pytest.mark.parametrize(
    ("start", "unit", "end"),
    [
        ("INSERT INTO t SETTINGS", " ", "x("),
        ("INSERT INTO t SETTINGS ", "a ", "("),
        ("INSERT INTO t SETTINGS ", "FORMAT ", "("),
        ("INSERT", " ", "x"),
        ("INSERT INTO t", " ", "x"),
        ("INSERT INTO ", "t", "("),
        ("INSERT INTO t (", "(", ""),
        ("", " ", "x"),
        ("SELECT 1 FORMAT a", " ", "x"),
        ("SELECT 1 FORMAT a SETTINGS", " ", "("),
        ("SELECT 1 ", "FORMAT a SETTINGS ", "("),
        ("SELECT 1 ", "FORMAT a ", "x"),
        ("SELECT 1 FORMAT a", " ;", "x"),
        ("SELECT 1 FORMAT", " ", ";"),
        ("", "FORMAT", " a)"),
    ],
)
def test_ten_times_the_length_takes_about_ten_times_the_time(start: str, unit: str, end: str) -> None:
    took = []
    for count in (2_000, 20_000):
        sql = start + unit * count + end
        began = time.process_time()
        find_insert(sql.encode())
        find_output(sql, "TSV")
        took.append(time.process_time() - began)
    assert took[1] < 0.05 + 30 * took[0]
