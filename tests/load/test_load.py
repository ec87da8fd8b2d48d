"""Files into a real ClickHouse."""

import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from backports import zstd

from load import load, produce
from load.progress import Progress
from schemas.ids import series_id
from schemas.tiers import TIERS
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded

DATABASE = "load_tests"


@pytest.fixture
def clickhouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clickhouse]:
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", embedded.endpoint())
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE_DATABASE", DATABASE)
    apply(embedded.endpoint(), "default", "", DATABASE)
    client = Clickhouse(embedded.endpoint(), database=DATABASE)
    yield client
    for table in ("samples", "series", "data_versions", *(tier.table for tier in TIERS)):
        client.command(f"TRUNCATE TABLE {table}")
    client.close()


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def one(samples: Sequence[tuple[int, float | str]], **labels: str) -> dict[str, object]:
    return {"labels": {"__name__": "m", **labels}, "samples": samples}


def test_bits_and_old_times_survive(clickhouse: Clickhouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written: list[tuple[int, float | str]] = [(0, "stale"), (1, -0.0), (2, 5e-324), (1_705_000_000_000, "NaN")]
    written.append((4_294_967_295_999, "-Inf"))
    path = write(tmp_path / "a.jsonl", one(written, host="it's"))
    assert load.main(["--tenant", "acme", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("5 samples of 1 lines loaded for tenant acme, 0 lines refused")
    assert "TG-load-retention: the oldest sample is" in err
    rows = clickhouse.query("SELECT tenant, time, labels, series_id, reinterpretAsUInt64(value) AS bits FROM v_samples")
    rows = rows.sort_by("time").to_pydict()
    assert [int(t.timestamp() * 1000) for t in rows["time"]] == [ms for ms, _ in written]
    assert rows["bits"] == [0x7FF0000000000002, 1 << 63, 1, 0x7FF8000000000001, 0xFFF0000000000000]
    assert set(rows["series_id"]) == {series_id("acme", "m", [("host", "it's")])}
    assert [dict(labels) for labels in rows["labels"]] == [{"host": "it's"}] * 5
    assert set(rows["tenant"]) == {"acme"}


def test_recent_samples_bring_no_warning(
    clickhouse: Clickhouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time_ns() // 1_000_000
    assert load.main([str(write(tmp_path / "now.jsonl", one([(now, 1)])))]) == 0
    assert "TG-load-retention" not in capsys.readouterr().err


def test_more_days_than_clickhouse_takes_at_once(clickhouse: Clickhouse, tmp_path: Path) -> None:
    days = [(day * 86_400_000, day) for day in range(0, 10_000, 40)]
    assert load.main([str(write(tmp_path / "days.jsonl", one(days)))]) == 0
    answer = clickhouse.query("SELECT count() AS n, sum(value) AS s, uniqExact(toDate(time)) AS d FROM v_samples")
    assert answer.to_pylist() == [{"n": 250, "s": float(sum(range(0, 10_000, 40))), "d": 250}]


def test_bad_lines_are_told_and_the_rest_is_loaded(
    clickhouse: Clickhouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "mixed.jsonl", one([(1, 1)], a="1"), "bad", one([(1, "x")]), one([(2, 2)], a="2"))
    assert load.main([str(path)]) == 1
    out, err = capsys.readouterr()
    assert "2 samples of 2 lines loaded for tenant default, 2 lines refused" in out
    assert f"{path}:2: TG-load-json" in err
    assert f"{path}:3: TG-load-value" in err
    assert clickhouse.query("SELECT sum(value) AS s FROM v_samples")["s"].to_pylist() == [3.0]


@pytest.mark.parametrize(
    ("labels", "value", "more", "message"),
    [
        ('"a": "1"', "1", ', "type": []', "TG-load-shape"),
        ('"a": "\\ud800"', "-0", "", "TG-load-json"),
        ('"a": "1"', "-0", ', "unit": "\\ud800"', "TG-load-json"),
        ('"a": "1"', "-0], [1, " + "9" * 400, "", "TG-load-json"),
        ('"a": "1"', "-0], [1, 1e400", "", "TG-load-json"),
        ('"a": "1"', "-0], [1, " + "[" * 100_000 + "]" * 100_000, "", "TG-load-json"),
    ],
)
def test_a_malformed_line_does_not_end_the_load(
    clickhouse: Clickhouse,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labels: str,
    value: str,
    more: str,
    message: str,
) -> None:
    bad = f'{{"labels": {{"__name__": "m", {labels}}}, "samples": [[0, {value}]]{more}}}'
    path = write(tmp_path / "bad.jsonl", one([(1, 1)], a="1"), bad, one([(2, 2)], a="2"))
    assert load.main([str(path)]) == 1
    assert f"{path}:2: {message}" in capsys.readouterr().err
    assert clickhouse.query("SELECT value FROM v_samples ORDER BY time")["value"].to_pylist() == [1.0, 2.0]


def test_a_policy_that_cannot_be_read_is_told_before_anything_is_loaded(
    clickhouse: Clickhouse, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGAUGE_RETENTION", str(tmp_path / "none.yaml"))
    assert load.main([str(write(tmp_path / "a.jsonl", one([(1, 1)])))]) == 2
    assert "TG-retention-file" in capsys.readouterr().err
    assert clickhouse.query("SELECT count() AS n FROM v_samples")["n"].to_pylist() == [0]


def test_versions_are_raised_for_every_hour_touched_after_the_write(clickhouse: Clickhouse, tmp_path: Path) -> None:
    hour = 3_600_000
    path = write(
        tmp_path / "hours.jsonl",
        one([(0, 1), (hour - 1, 1), (hour, 1), (9 * hour, 1)]),
        {"labels": {"__name__": "n"}, "samples": [[hour, 1]]},
    )
    read = "SELECT metric, toUnixTimestamp(block) AS b, version FROM data_versions FINAL ORDER BY metric, b"
    seen: list[dict[str, int]] = []

    def clock_ns() -> int:
        # The clock is asked when the versions are about to be raised: the samples must be there by then.
        seen.append(clickhouse.query("SELECT count() AS n FROM samples").to_pylist()[0])
        return 1000 + len(seen)

    load.load(clickhouse, "default", path, Progress("load", 1), clock_ns=clock_ns)
    assert seen == [{"n": 5}]
    raised = {(row["metric"], row["b"]): row["version"] for row in clickhouse.query(read).to_pylist()}
    # Raised again for the rows, each in the hour in which its window begins.
    of_rows = {("m", 0), ("m", 28_800), ("n", 0)}
    assert raised.keys() == {("m", 0), ("m", 3600), ("m", 32_400), ("n", 3600)} | of_rows
    assert {pair for pair, version in raised.items() if version == 1001} == raised.keys() - of_rows


def test_of_repeats_the_last_stands_in_raw_and_in_the_rows(
    clickhouse: Clickhouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minute = time.time_ns() // 1_000_000 // 60_000 * 60_000
    lines = one([(minute, 1), (minute, 5), (minute, 3)], a="1"), one([(minute, 9)]), one([(minute, 2)], a="1")
    assert load.main([str(write(tmp_path / "a.jsonl", *lines))]) == 0
    assert capsys.readouterr().out.startswith(
        "2 samples of 3 lines loaded for tenant default, 3 repeats of a time left out, 0 lines refused"
    )
    for read in ("value AS v FROM samples", "sum AS v FROM rollup_1m", "sum AS v FROM rollup_1d"):
        assert clickhouse.query(f"SELECT {read} ORDER BY v")["v"].to_pylist() == [2.0, 9.0]


def test_a_file_in_many_blocks_twice_is_the_same_as_once(clickhouse: Clickhouse, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    values = np.round(rng.normal(0, 10, (40, 500)), 2)
    lines = [one([(i * 1000, v) for i, v in enumerate(row)], host=f"h{n}") for n, row in enumerate(values)]
    # The same series in two lines, in two blocks.
    lines.append(one([(500_000, 1.0)], host="h0"))
    path = write(tmp_path / "big.jsonl", *lines)
    for _ in range(2):
        load.load(clickhouse, "default", path, Progress("load", 1), block_samples=1700)
    answer = clickhouse.query("SELECT count() AS n, min(value) AS low, max(value) AS high FROM v_samples").to_pylist()
    assert answer == [{"n": 20_001, "low": values.min(), "high": values.max()}]
    seen = clickhouse.query(
        "SELECT labels['host'] AS h, toUnixTimestamp64Milli(last_seen) AS t FROM v_series ORDER BY h"
    )
    assert seen.num_rows == 40
    assert seen["t"].to_pylist()[0] == 500_000
    assert set(seen["t"].to_pylist()[1:]) == {499_000}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--tenant", "a/b", "x.jsonl"], "TG-tenant: 'a/b'"),
        (["no-such.jsonl"], "TG-load-file: no-such.jsonl"),
    ],
)
def test_what_cannot_be_done(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load.main(args) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("packed", "told"),
    [
        (gzip.compress, "gunzip"),
        (zstd.compress, "unzstd"),
        (lambda text: text.decode().encode("utf-16"), "iconv -f UTF-16"),
        (lambda text: b"\xfe\xff" + text.decode().encode("utf-16-be"), "iconv -f UTF-16"),
    ],
)
@pytest.mark.parametrize("main", [load.main, produce.main])
def test_a_file_that_holds_no_lines_is_named_once(
    main: Callable[[Sequence[str]], int],
    packed: Callable[[bytes], bytes],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(packed(b"".join(json.dumps(one([(n, 1)])).encode() + b"\n" for n in range(100))))
    assert main(["--tenant", "acme", str(path)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"TG-load-file: {path} holds no lines of UTF-8: ")
    assert told in said
