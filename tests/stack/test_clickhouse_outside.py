"""What is suspected of reaching outside, at what cost, and what a read-only user is told instead."""

import re
import time
from functools import cache

import pytest

from stack.clickhouse_outside import Outside
from tests import embedded
from tests.stack.client import ask

LOOKING = {"user": embedded.VIEWER[0], "password": embedded.VIEWER[1]}
LONGEST = 262_144


def lines(sql: str) -> list[str]:
    return ask(sql)[2].decode().splitlines()


@cache
def outside() -> Outside:
    return Outside(lines)


@pytest.mark.parametrize(
    ("sql", "bound", "suspected"),
    [
        ("SELECT 1", {}, False),
        ("SELECT labels FROM v_samples WHERE name = 'up'", {}, False),
        ("SELECT FiLe(1)", {}, True),
        ("SELECT `fil\\x65`(1)", {}, True),
        ("SELECT 'a profile'", {}, True),
        ("SELECT {a:String}", {"a": "file(1)"}, False),
        ("SELECT {a:Array(String)}", {"a": "['\\'', 'file']"}, False),
        ("SELECT {a:Identifier}", {"a": "name"}, False),
        ("SELECT {a:Identifier}", {"a": "file"}, True),
        ("SELECT {a/**/:/**/Identifier}", {"a": "file"}, True),
    ],
)
def test_what_is_suspected(sql: str, bound: dict[str, str], suspected: bool) -> None:
    assert outside().suspects(sql, bound) is suspected


@pytest.mark.parametrize(
    "text",
    ["abcdefghij" * 100_000, ",".join(map(str, range(17_859_063_848_492_936_220, 17_859_063_848_492_986_220)))],
    ids=["letters", "numbers"],
)
def test_looking_costs_a_fraction_of_what_a_regular_expression_takes(text: str) -> None:
    names = [name.lower() for name in lines("SELECT name FROM system.table_functions")]
    one = re.compile("|".join(names), re.IGNORECASE)
    judge = outside()
    took = []
    for look in (one.search, lambda text: judge.suspects(text, {})):
        began = time.process_time()
        assert not look(text)
        took.append(time.process_time() - began)
    assert took[1] < took[0] / 4


@pytest.mark.parametrize(("size", "status"), [(LONGEST, 200), (LONGEST + 1, 413)])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_statement_may_be_as_long_as_the_parser_takes(letter: str, size: int, status: int) -> None:
    comment = letter * ((size - 20) // len(letter.encode()))
    sql = f"SELECT 1 /*{comment}*/".encode().ljust(size)
    got, headers, answer = ask(sql, LOOKING)
    assert got == status, answer
    if status != 200:
        assert headers["X-ClickHouse-Exception-Code"] == "307"
        for word in ("TG-clickhouse-sql-size", str(size), str(LONGEST), "max_query_size"):
            assert word in answer.decode()


def test_compatibility_changes_no_limit_of_the_parser() -> None:
    sql = "SELECT getSetting('max_parser_backtracks')"
    assert ask(sql, {"compatibility": "22.1"})[2] == b"0\n"
    assert ask(sql, LOOKING | {"compatibility": "22.1"})[2] == b"1000000\n"


def test_no_function_that_takes_another_is_given_file() -> None:
    taking = lines("SELECT name FROM system.functions WHERE higher_order")
    assert {"arrayMap", "arrayFold", "mapApply"} <= set(taking)
    for name in taking:
        status, headers, answer = ask(f"SELECT {name}(file, ['/etc/hostname'])", LOOKING)
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "497"), (name, answer)
        assert b"rename it or qualify it (t.file)" in answer


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT arrayMap(g, ['/etc/hostname']) FROM system.one WHERE (file AS g) IS NULL",
        "WITH ((f, x) -> arrayMap(f, x)) AS length SELECT length(file, ['/etc/hostname'])",
        "WITH (f -> arrayMap(f, ['/etc/hostname'])) AS a, a AS length SELECT length(file)",
        "WITH arrayMap AS length SELECT length(file, ['/etc/hostname'])",
        "SELECT arrayMap(if(1, file, lower), ['/etc/hostname'])",
        "SELECT arrayMap(identity(file), ['/etc/hostname'])",
        "SELECT passed(file, ['/etc/hostname'])",
        "SELECT LENGTH(file, ['/etc/hostname'])",
    ],
)
@pytest.mark.parametrize("params", [LOOKING, {}], ids=["viewer", "engine"])
def test_a_name_is_no_function_behind_another(sql: str, params: dict[str, str]) -> None:
    # The engine itself knows none there: what is let through rests on this.
    for name in ("passed", "LENGTH"):
        ask(f"CREATE OR REPLACE FUNCTION {name} AS (f, x) -> arrayMap(f, x)")
    try:
        status, headers, answer = ask(sql, params)
    finally:
        for name in ("passed", "LENGTH"):
            ask(f"DROP FUNCTION {name}")
    assert (status, headers.get("X-ClickHouse-Exception-Code")) in {(404, "47"), (500, "497")}, answer
