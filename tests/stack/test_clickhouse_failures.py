"""The engine's own count of its errors, as what it tells of a streamed insert."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.clickhouse_failures import counts, since
from tests.stack.client import ask, fresh

FULL = "243\t1\tNOT_ENOUGH_SPACE\tCannot reserve 1.00 MiB\n"
TYPO = "62\t1\tSYNTAX_ERROR\tSyntax error: failed at position 1\n"
LATE = "159\t1\tTIMEOUT_EXCEEDED\tTimeout exceeded\n"
MARKS = "696\t1\tASYNC_LOAD_CANCELED\tBackground task for loading marks was canceled\n"
INSERT = "0\t1\tan insert has failed\t\n"


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("", "", None),
        ("", FULL, "code 243, NOT_ENOUGH_SPACE: Cannot reserve 1.00 MiB"),
        (FULL, FULL, None),
        (FULL, FULL.replace("\t1\t", "\t2\t"), "code 243, NOT_ENOUGH_SPACE: Cannot reserve 1.00 MiB"),
        ("", TYPO, None),
        (TYPO, TYPO + FULL, "code 243, NOT_ENOUGH_SPACE: Cannot reserve 1.00 MiB"),
        ("", INSERT, "an insert has failed"),
        (INSERT, INSERT, None),
        (TYPO, TYPO + LATE, None),
        ("", MARKS, None),
        (TYPO, TYPO + LATE + INSERT, "code 159, TIMEOUT_EXCEEDED: Timeout exceeded"),
    ],
)
def test_what_has_happened_since(before: str, now: str, told: str | None) -> None:
    assert since(counts(before), counts(now)) == told


@pytest.fixture
def homeless() -> Iterator[str]:
    """A table whose folder is a file: the file system refuses whatever is written there, whoever writes it."""
    table = fresh("homeless")
    asked = "SELECT data_paths[1] FROM system.tables WHERE database = 'server' AND name = 'homeless'"
    folder = Path(ask(asked)[2].decode().strip())
    aside = folder.with_name(folder.name + ".aside")
    folder.rename(aside)
    folder.touch()
    yield table
    folder.unlink()
    aside.rename(folder)


def test_what_the_file_system_refuses_is_not_said_to_be_stored(homeless: str) -> None:
    status, headers, answer = ask(b"1\ta\n", {"query": f"INSERT INTO {homeless} FORMAT TSV"})
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "319"), answer
    assert b"an insert has failed" in answer


@pytest.mark.parametrize(
    ("column", "settings", "error"),
    [
        ("sleepEachRow(0.05)", {"max_execution_time": "0.5", "max_block_size": "1"}, b"TIMEOUT_EXCEEDED"),
        ("throwIf(a = 7)", {}, b"FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ],
)
def test_an_insert_that_fails_as_statements_do_is_not_said_to_be_stored(
    column: str, settings: dict[str, str], error: bytes
) -> None:
    table = fresh("late", f"a UInt32, c UInt8 MATERIALIZED {column}")
    rows = b"".join(b"%d\n" % row for row in range(20))
    status, headers, answer = ask(rows, {"query": f"INSERT INTO {table} (a) FORMAT TSV", **settings})
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "319"), answer
    assert error in answer
    assert ask(f"SELECT count() FROM {table}")[2] == b"0\n"
