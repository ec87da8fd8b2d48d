"""Schema versions against the real embedded server."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas import spans
from schemas.frame import Frame
from sinks import ddl, rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import DdlError, Migration, apply, migrations
from tests import embedded
from udfs.rollup.rows import rollup


def client(database: str) -> Clickhouse:
    return Clickhouse(embedded.endpoint(), database=database)


def ask(database: str, sql: str) -> str:
    one = client(database)
    try:
        return one.command(sql).strip()
    finally:
        one.close()


def test_applied_once_and_then_up_to_date() -> None:
    names = [one.name for one in migrations()]
    assert names[:2] == ["001_tables.sql", "002_views.sql"]
    assert apply(embedded.endpoint(), "default", "", "ddl_once") == names
    assert apply(embedded.endpoint(), "default", "", "ddl_once") == []
    applied = ask("ddl_once", "SELECT name FROM schema_migrations FINAL ORDER BY version")
    assert applied.split("\n") == names
    assert "CODEC(ALP, ZSTD(1))" in ask("ddl_once", "SHOW CREATE TABLE rollup_1m")


def test_migrations_are_numbered_without_gaps() -> None:
    assert [one.version for one in migrations()] == list(range(1, len(migrations()) + 1))


def test_two_at_once_do_no_harm() -> None:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(apply(embedded.endpoint(), "default", "", "ddl_race"))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [one for one in results if isinstance(one, Exception)]
    assert ask("ddl_race", "SELECT count() FROM schema_migrations FINAL") == str(len(migrations()))


def test_a_run_that_was_killed_half_way_is_repeated() -> None:
    first = migrations()[0]
    apply(embedded.endpoint(), "default", "", "ddl_half", [])
    one = client("ddl_half")
    one.command(first.statements("ZSTD(1)")[0])
    one.close()
    assert apply(embedded.endpoint(), "default", "", "ddl_half") == [m.name for m in migrations()]


def test_a_newer_database_is_not_touched() -> None:
    future = [
        *migrations(),
        Migration(99, "099_later.sql", "CREATE TABLE IF NOT EXISTS later (x UInt8) ENGINE = Null;"),
    ]
    apply(embedded.endpoint(), "default", "", "ddl_newer", future)
    with pytest.raises(DdlError, match=r"TG-ddl-newer: database ddl_newer has 099_later.sql, this code knows up to 0"):
        apply(embedded.endpoint(), "default", "", "ddl_newer")


def test_a_changed_file_is_refused() -> None:
    apply(embedded.endpoint(), "default", "", "ddl_changed")
    first = migrations()[0]
    edited = [Migration(first.version, first.name, first.text + "\n-- edited"), *migrations()[1:]]
    with pytest.raises(DdlError, match=r"TG-ddl-changed: 001_tables\.sql"):
        apply(embedded.endpoint(), "default", "", "ddl_changed", edited)


def test_samples_are_in_the_order_that_readers_and_writers_know() -> None:
    assert f"ORDER BY (tenant, metric, {spans.OF_TS}, series_id, ts)" in migrations()[0].text
    assert str(spans.SPAN_MS) in spans.OF_TS


def test_a_text_that_the_file_names_is_as_good() -> None:
    apply(embedded.endpoint(), "default", "", "ddl_also")
    first, *others = migrations()

    def naming(sha256: str) -> list[Migration]:
        return [Migration(first.version, first.name, f"{first.text}\n-- also: {sha256}\n"), *others]

    assert apply(embedded.endpoint(), "default", "", "ddl_also", naming(first.sha256)) == []
    with pytest.raises(DdlError, match="TG-ddl-changed"):
        apply(embedded.endpoint(), "default", "", "ddl_also", naming("0" * 64))


def test_digests_of_before_are_read_as_those_of_today() -> None:
    """A table whose digests are states becomes one of strings, while jobs of before go on writing to it."""
    apply(embedded.endpoint(), "default", "", "ddl_digests", migrations()[:5])
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    frame = Frame("acme", 0, ["m"], np.zeros(2, np.uint32), np.array([1, 2], np.uint64), np.arange(1, 4) * 1000, values)
    made = rollup([frame], 0)
    assert made is not None
    one = client("ddl_digests")
    one.insert("rollup_1m", rows.rollup(made))
    assert apply(embedded.endpoint(), "default", "", "ddl_digests") == [m.name for m in migrations()[5:]]
    one.insert("rollup_1m", rows.rollup(replace(made, tenant="later")))
    stored = one.query(
        "SELECT hex(digest) AS state, toTypeName(digest) AS type FROM rollup_1m ORDER BY tenant, series_id"
    )
    assert set(stored["type"].to_pylist()) == {"String"}
    state = made.digest.tobytes().hex().upper()
    assert stored["state"].to_pylist() == [state[: len(state) // 2], state[len(state) // 2 :]] * 2
    merged = one.query(
        "SELECT tenant, quantilesTDigestMerge(0.0, 1.0)(digest) AS ends, groupArray(p99) AS p99 FROM v_rollup_1m "
        "GROUP BY tenant ORDER BY tenant"
    ).to_pylist()
    one.close()
    assert [(row["tenant"], row["ends"], sorted(row["p99"])) for row in merged] == [
        (tenant, [1.0, 40.0], [4.0, 40.0]) for tenant in ("acme", "later")
    ]


@pytest.mark.parametrize("name", ["", "a b", "x`; DROP DATABASE y", "1st"])
def test_database_names_are_checked(name: str) -> None:
    with pytest.raises(DdlError, match="TG-ddl-database"):
        apply("127.0.0.1:1", "default", "", name)


def test_comments_and_codecs() -> None:
    text = "-- a; b\nCREATE TABLE x (v Float64 CODEC({value_codec}));\n\n-- end;\nSELECT 1;\n"
    assert Migration(1, "001_x.sql", text).statements("ALP") == ["CREATE TABLE x (v Float64 CODEC(ALP))", "SELECT 1"]


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", embedded.endpoint())
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE_DATABASE", "ddl_command")
    assert ddl.main([]) == 0
    assert ddl.main([]) == 0
    assert ddl.main(["--database", "no such"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("ddl_command: applied 001_tables.sql")
    assert out.splitlines()[1].startswith("ddl_command: retention of samples, late_samples, distributions")
    assert out.splitlines()[2:] == ["ddl_command: up to date"]
    assert "TG-ddl-database" in err


def test_no_semicolon_inside_a_statement() -> None:
    folder = Path(__file__).parents[2] / "schemas" / "clickhouse"
    for path in folder.glob("*.sql"):
        bare = [line.split("--")[0].rstrip() for line in path.read_text().splitlines()]
        assert all(";" not in line or line.endswith(";") for line in bare), path
        assert "';'" not in "".join(bare), path
