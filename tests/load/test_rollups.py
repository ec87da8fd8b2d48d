"""What is loaded has the rows that a graph reads, in every tier."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from load import load, rollups
from load.progress import Progress
from schemas.frame import Frame
from schemas.ids import series_id
from schemas.tiers import TIERS
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from sinks.retention import RetentionSettings
from sinks.retention import apply as keep
from tests import embedded
from udfs.reroll.dirty import dirty
from udfs.rollup.rows import rollup
from udfs.rollup.window import split

DAY = 86_400_000
NOON = 20_000 * DAY + DAY // 2
HOSTS = {name: series_id("t", "m", (("host", name),)) for name in "abc"}
COLUMNS = ("count", "sum", "sum_sq", "min", "max", "first", "last", "increase")


@pytest.fixture
def clickhouse() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", "tests_load_rollups")
    client = Clickhouse(embedded.endpoint(), database="tests_load_rollups")
    tables = ("samples", *(tier.table for tier in TIERS))
    for table in tables:
        # The times are of 2024: nothing may go for its age.
        client.command(f"SYSTEM STOP TTL MERGES {table}")
    yield client
    for table in (*tables, "series", "data_versions"):
        client.command(f"TRUNCATE TABLE {table}")
    client.close()


def frame_of(samples: dict[str, list[tuple[int, float]]]) -> Frame:
    points = [(place, at, value) for place, name in enumerate(samples) for at, value in samples[name]]
    return Frame(
        "t", 0, ["m"], np.zeros(len(samples), np.uint32), np.array([HOSTS[name] for name in samples], np.uint64),
        np.array([at for _, at, _ in points]), np.array([value for *_, value in points]),
        np.array([place for place, *_ in points], np.uint32),
    )  # fmt: skip


def file_of(path: Path, samples: dict[str, list[tuple[int, float]]]) -> Path:
    lines = [{"labels": {"__name__": "m", "host": name}, "samples": pairs} for name, pairs in samples.items()]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def stored(clickhouse: Clickhouse, table: str) -> dict[tuple[int, int], tuple[float, ...]]:
    found = clickhouse.query(
        f"SELECT series_id, toUnixTimestamp(ts) AS at, {', '.join(COLUMNS)} FROM {table} FINAL WHERE tenant = 't'"
    ).to_pylist()
    return {(row["series_id"], row["at"] * 1000): tuple(row[name] for name in COLUMNS) for row in found}


def expected(samples: dict[str, list[tuple[int, float]]], width: int) -> dict[tuple[int, int], tuple[float, ...]]:
    made = {}
    for window, part in split(frame_of(samples), width):
        row = rollup([part], window)
        assert row is not None
        for place, one in enumerate(row.series_ids.tolist()):
            made[one, window] = tuple(float(getattr(row, name)[place]) for name in COLUMNS)
    return made


@pytest.mark.parametrize(("cells", "block"), [(rollups.CELLS, load.BLOCK_SAMPLES), (500, 400)])
def test_every_tier_is_as_if_all_had_come_in_time(
    clickhouse: Clickhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: int, block: int
) -> None:
    monkeypatch.setattr(rollups, "CELLS", cells)
    rng = np.random.default_rng(3)
    # A stream has some of host a already; two lines of the file have host c.
    times = {name: np.sort(rng.choice(2 * DAY // 1000, 500, replace=False)) * 1000 + NOON for name in "abc"}
    every = {name: [(int(at), float(rng.integers(0, 99))) for at in times[name]] for name in "abc"}
    streamed = {"a": every["a"][::3]}
    clickhouse.insert("samples", rows.samples([frame_of(streamed)]))
    load.load(clickhouse, "t", file_of(tmp_path / "f", every), Progress("load", 1), block_samples=block)
    for tier in TIERS:
        assert stored(clickhouse, tier.table) == expected(every, tier.width_ms), tier.name


def test_what_raw_drops_for_its_age_has_rows_all_the_same(clickhouse: Clickhouse, tmp_path: Path) -> None:
    samples = {"a": [(NOON + second * 1000, float(second)) for second in range(1, 601)]}
    part = rollups.Loaded(clickhouse, 1, [])
    assert rollups.roll(part, frame_of(samples)) == 10 + 2 + 1 + 1
    assert [row[:2] for row in stored(clickhouse, "rollup_1d").values()] == [(600.0, 180_300.0)]
    found = clickhouse.query("SELECT quantilesTDigestMerge(0.95)(digest)[1] AS p95 FROM v_rollup_1h").to_pylist()
    assert [row["p95"] for row in found] == pytest.approx([570], abs=3)


@pytest.fixture
def forgetful() -> Iterator[Clickhouse]:
    """A ClickHouse that drops what is too old as soon as it is written."""
    apply(embedded.endpoint(), "default", "", "tests_load_forgetful")
    client = Clickhouse(embedded.endpoint(), database="tests_load_forgetful")
    keep(client, RetentionSettings.BUILT_IN)
    yield client
    client.command("DROP DATABASE tests_load_forgetful")
    client.close()


@pytest.mark.parametrize(("age", "kept"), [(20, "5m 1h 1d"), (40, "1h 1d"), (100, "1d")])
def test_what_is_kept_is_whole_where_clickhouse_drops_what_it_is_made_of(
    forgetful: Clickhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: int, kept: str
) -> None:
    monkeypatch.setattr(rollups, "CELLS", 2000)
    day = (time.time_ns() // 1_000_000 // DAY - age) * DAY
    # A sample every other minute: no window is full, so that rows are read back. One more would be in the day before.
    every = {name: [(day + 120_000 * k + 1000, float(k * k % 97)) for k in range(720)] for name in "ab"}
    path = tmp_path / "f"
    with path.open("w") as file:
        for part in range(0, 720, 191):
            file.write(file_of(tmp_path / "g", {n: one[part : part + 191] for n, one in every.items()}).read_text())
            file.write("\n")
    load.load(forgetful, "t", path, Progress("load", 1), block_samples=700)
    for tier in TIERS:
        if tier.name in kept.split():
            assert stored(forgetful, tier.table) == expected(every, tier.width_ms), tier.name


def test_only_what_another_part_may_need_is_remembered(clickhouse: Clickhouse) -> None:
    history = rollups.Loaded(clickhouse, 1, [])
    samples = {name: [(NOON + 1000 + 120_000 * k, 1.0) for k in range(3 * 720)] for name in "ab"}
    for name in "ab":
        rollups.roll(history, frame_of({name: samples[name]}))
    for _ in range(2):
        rollups.roll(history, frame_of({"a": samples["a"][-1:]}))
    found = {tier: sum(len(part) for made in one for part in made.rows) for tier, one in history.remembered.items()}
    # Of either series, in its first and last window of the next tier: 5 or 2.5 of 2 min, 12 of 5 min, 12 of an hour.
    assert found == {"1m": 2 * (3 + 2), "5m": 2 * 2 * 12, "1h": 2 * 2 * 12, "1d": 0}


def test_the_oldest_is_forgotten_where_there_is_too_much(
    clickhouse: Clickhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "REMEMBERED", 40_000)
    history = rollups.Loaded(clickhouse, 1, [])
    for name in "abcab":
        rollups.roll(history, frame_of({name: [(NOON + 1000 + 60_000 * k, 1.0) for k in range(0, 60, 2)]}))
    for made in history.remembered.values():
        assert sum(one.bytes() for one in made) <= 40_000
    last = [one.ids.tolist() for one in history.remembered["5m"]]
    assert last == [[HOSTS["b"]]]


def test_of_a_row_made_twice_the_fuller_is_remembered(clickhouse: Clickhouse) -> None:
    history = rollups.Loaded(clickhouse, 1, [])
    for seconds in ((1, 2, 3), (4,)):
        clickhouse.command("TRUNCATE TABLE samples")
        rollups.roll(history, frame_of({"a": [(NOON + second * 1000, 1.0) for second in seconds]}))
    clickhouse.command("TRUNCATE TABLE rollup_1m")
    span = dirty([frame_of({"a": [(NOON + 1, 1.0)]})], TIERS[1].width_ms)
    assert max(part.count.max() for part in history.rows(TIERS[0], span, TIERS[1].width_ms)) == 3


def test_times_that_no_row_can_have_stay_raw(clickhouse: Clickhouse) -> None:
    samples = {"a": [(-5000, 1.0), (NOON, 2.0), (2**33 * 1000, 3.0)]}
    assert rollups.roll(rollups.Loaded(clickhouse, 1, []), frame_of(samples)) == 4


def test_a_part_is_small_however_long_or_many_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "CELLS", 60)
    monkeypatch.setattr(rollups, "SERIES", 2)
    samples = {name: [(NOON + minute * 60_000, 1.0) for minute in range(100)] for name in "abc"}
    sizes = [(len(part.series_ids), len(part.timestamps)) for part in rollups.parts(frame_of(samples))]
    assert sizes == [(2, 60), (2, 60), (2, 60), (2, 20), (1, 60), (1, 40)]


@pytest.mark.parametrize(
    ("newest", "closed", "said"),
    [
        (None, {"1m": 0}, ""),
        (NOON, {}, ""),
        (NOON, {"1m": NOON - 60_000, "1h": NOON - 3_600_000}, ""),
        (NOON + 1, {"1m": NOON, "1h": NOON - 3_600_000}, "1h until 2024-10-04 13:00"),
        (NOON + 1, {"1m": NOON - 60_000, "1d": NOON - DAY}, "1m until 2024-10-04 12:01, 1d until 2024-10-05 00:00"),
    ],
)
def test_what_the_stream_has_yet_to_close_is_told(newest: int | None, closed: dict[str, int], said: str) -> None:
    notice = rollups.still_open(newest, closed) or ""
    assert said in notice and bool(notice) == bool(said)
