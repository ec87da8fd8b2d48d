"""Every query of docs/sql.md, run on a real server by the user who may only read, against numpy."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.nan import Floats
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded
from tests.sql_data import MINUTES, Data, rejections, seen
from udfs.gate.account import Account

DATABASE = "sql_docs"
QUERIES = dict(
    re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```sql\n(.*?)```", (Path("docs") / "sql.md").read_text(), re.M | re.S)
)


@pytest.fixture(scope="module")
def data() -> Iterator[Data]:
    found = seen(now := int(time.time()))
    apply(embedded.endpoint(), "default", "", DATABASE)
    writer = Clickhouse(embedded.endpoint(), database=DATABASE)
    found.write(writer)
    writer.insert("rejections", rejections(now))
    yield found
    writer.close()


def answer(heading: str) -> pa.Table:
    user, password = embedded.VIEWER
    reader = Clickhouse(embedded.endpoint(), user, password, DATABASE)
    try:
        return reader.query(QUERIES[heading])
    finally:
        reader.close()


def test_eight_queries_are_documented() -> None:
    assert len(QUERIES) == 8


def test_the_latest_value_of_each_host(data: Data) -> None:
    expected = []
    for labels, stamps, values in sorted(data.of("node_load1"), key=lambda one: one[0]["instance"]):
        last = np.flatnonzero(np.isfinite(values))[-1]
        expected.append((labels["instance"], values[last], int(stamps[last])))
    got = answer("The latest value of each host").to_pylist()
    assert [(row["instance"], row["load1"], int(row["at"].timestamp() * 1000)) for row in got] == expected


def test_a_rate_from_increases(data: Data) -> None:
    expected: dict[tuple[int, str], float] = {}
    for labels, stamps, values in data.of("node_cpu_seconds_total"):
        steps = np.diff(values, prepend=values[0])
        steps = np.where(steps < 0, values, steps)
        for at in np.unique((stamps - 1) // 300_000 * 300):
            key = (int(at), labels["mode"])
            expected[key] = expected.get(key, 0.0) + float(steps[(stamps - 1) // 300_000 * 300 == at].sum()) / 300
    got = {(r["at"], r["mode"]): r["cpus"] for r in answer("A rate from increases").to_pylist()}
    assert got == pytest.approx(expected)
    assert len(got) >= 2 * MINUTES // 5


def test_percentiles_of_an_hour(data: Data) -> None:
    got = answer("Percentiles of an hour, by merging digests").to_pylist()
    assert [row["handler"] for row in got] == ["/", "/api"]
    for row in got:
        values = np.concatenate(
            [v for labels, _, v in data.of("request_duration_seconds") if labels["handler"] == row["handler"]]
        )
        assert row["measured"] == len(values)
        for level, found in zip((0.9, 0.99, 0.999), row["p90_p99_p999"], strict=True):
            # A digest answers to within a share of the rank, finest at the ends.
            assert (values <= found).mean() == pytest.approx(level, abs=0.2 * level * (1 - level) + 1 / len(values))


def test_a_percentile_of_a_day(data: Data) -> None:
    got = answer("A percentile of a day, from hours").to_pylist()
    assert [row["handler"] for row in got] == ["/", "/api"]
    for row in got:
        values = np.concatenate(
            [v for labels, _, v in data.of("request_duration_seconds") if labels["handler"] == row["handler"]]
        )
        assert row["measured"] == len(values)
        assert (values <= row["p99"]).mean() == pytest.approx(0.99, abs=0.002 + 1 / len(values))


def test_percentiles_of_a_distribution_over_time(data: Data) -> None:
    got = answer("Percentiles of a distribution over time").to_pylist()
    points: dict[int, list[Floats]] = {}
    for measured in data.many.values():
        for at, values in measured:
            points.setdefault((at - 1) // 300_000 * 300, []).append(values)
    assert [row["at"] for row in got] == sorted(points)
    for row in got:
        values = np.concatenate(points[row["at"]])
        assert (row["measured"], row["mean"]) == (len(values), pytest.approx(values.mean()))
        for level, found, bound in zip((0.5, 0.99), row["p50_p99"], (0.005, 0.001), strict=True):
            assert abs((values <= found).mean() - level) <= bound + 1 / len(values)


def test_completeness_of_the_last_hour(data: Data) -> None:
    (row,) = answer("Completeness of the last hour").to_pylist()
    assert row["until"] * 1000 == data.base + MINUTES * 60_000
    assert (row["worst"], row["windows_with_gaps"]) == (0.75, 5)
    assert row["at"] * 1000 in range(data.base + 20 * 60_000, data.base + 25 * 60_000, 60_000)


def test_expected_are_the_sources_of_the_hour_that_ends_with_the_window(data: Data) -> None:
    hour = 3600
    seen = {("1m", 0): [1, 2], ("1m", hour - 60): [1], ("1m", hour): [3], ("1h", 0): [1], ("1h", 23 * hour): [2],
            ("1h", 24 * hour): [3], ("1d", 0): [1], ("1d", 24 * hour): [1, 2]}  # fmt: skip
    start = data.base // 86_400_000 * 86_400
    one = Clickhouse(embedded.endpoint(), database=DATABASE)
    for (tier, at), sources in seen.items():
        made = rows.completeness("other", tier, (start + at) * 1000, np.array(sources, np.uint64))
        one.insert("completeness", made)
    asked = "SELECT tier, time, complete_until, seen, expected FROM v_completeness WHERE tenant = 'other'"
    got = {
        (row["tier"], row["time"] - start): (
            row["complete_until"] - row["time"], row["seen"], row["expected"]
        )
        for row in one.query(asked).to_pylist()
    }  # fmt: skip
    one.close()
    assert got == {
        ("1m", 0): (60, 2, 2), ("1m", hour - 60): (60, 1, 2), ("1m", hour): (60, 1, 2), ("1h", 0): (3600, 1, 1),
        ("1h", 23 * hour): (3600, 1, 2), ("1h", 24 * hour): (3600, 1, 2), ("1d", 0): (86_400, 1, 1),
        ("1d", 24 * hour): (86_400, 2, 2),
    }  # fmt: skip


# Minute of each record of metrics.raw by its offset, and what is missing. ANEW: that of a topic made anew, later.
ANEW = 100
OLD = [(offset, offset) for offset in range(10)]


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ([(0, 0), (0, 1), (1, 5)], [(2, 4)]),
        ([(0, 4), (0, 5), (1, 6)], []),
        # Lost of the new topic, where the old one had rows, and behind those.
        ([*OLD, (ANEW, 0), (ANEW, 1), (ANEW + 1, 5)], [(2, 4)]),
        ([*OLD, (ANEW, 0), (ANEW + 1, 20)], [(1, 19)]),
        # Lost of the old one, where the new one has rows, and behind those.
        ([(0, 0), (1, 5), *[(ANEW, offset) for offset in range(10)]], [(1, 4)]),
        ([(0, 500), (0, 502), (ANEW, 0), (ANEW, 1)], [(501, 501)]),
        ([*OLD, *[(ANEW + minute, offset) for minute, offset in OLD]], []),
        # The clock was ahead, for a minute and for several; and what is lost beside it.
        ([*OLD, *[(60, 10 + one) for one in range(5)], *[(10 + one, 15 + one) for one in range(100)]], []),
        ([*OLD, *[(60 + one, 10 + one) for one in range(9)], *[(10 + one, 19 + one) for one in range(100)]], []),
        ([*OLD, (60, 10), (60, 12), *[(10 + one, 13 + one) for one in range(100)]], [(11, 11)]),
        ([*OLD, (60, 10), (60, 11), (10, 14), *[(11 + one, 15 + one) for one in range(100)]], [(12, 13)]),
        # The clock was behind.
        ([*OLD, (2, 10), (2, 11), (11, 12), (12, 14)], [(13, 13)]),
    ],
)
def test_gaps_of_a_topic_made_anew(data: Data, told: list[tuple[int, int]], missing: list[tuple[int, int]]) -> None:
    one = Clickhouse(embedded.endpoint(), database=DATABASE)
    one.command("TRUNCATE TABLE ledger")
    accounts = [Account("other", (data.base // 60_000 + minute) * 60_000, 3, offset) for minute, offset in told]
    # As after a restart of the gate, some come twice.
    for part in (accounts, accounts[::2]):
        one.insert("ledger", rows.block("ledger", [account.encode() for account in part]))
    got = one.query("SELECT first_offset, last_offset, records FROM v_gaps ORDER BY since, first_offset").to_pylist()
    one.close()
    assert [(row["first_offset"], row["last_offset"]) for row in got] == missing
    assert [row["records"] for row in got] == [last - first + 1 for first, last in missing]


def test_the_processes_that_hold_the_most_memory(data: Data) -> None:
    peaks = sorted(
        ((v.max(), labels) for labels, _, v in data.of("node_process_resident_memory_bytes")), key=lambda p: -p[0]
    )
    got = answer("The processes that hold the most memory").to_pylist()
    assert [(row["bytes"], dict(row["labels"])) for row in got] == peaks[:5]


def test_what_was_refused(data: Data) -> None:
    assert answer("What was refused, and what to change").to_pylist() == [
        {"id": "TG-too-old", "setting": "TIDEGAUGE_GATE_TOLERANCE_S", "refused": 12, "example": "why TG-too-old"},
        {"id": "TG-tenant", "setting": "", "refused": 3, "example": "why TG-tenant"},
    ]


@pytest.mark.parametrize("view", ["v_samples", "v_distributions", "v_rollup_1m", "v_rollup_1d", "v_series"])
def test_a_name_reaches_the_primary_key(data: Data, view: str) -> None:
    reader = Clickhouse(embedded.endpoint(), database=DATABASE)
    plan = reader.command(f"EXPLAIN indexes = 1 SELECT * FROM {view} WHERE tenant = 'default' AND name = 'node_load1'")
    reader.close()
    conditions = re.findall(r"PrimaryKey.*?Condition: (.*?)\\n|PrimaryKey.*?Condition: (.*?)\n", plan, re.S)
    assert len(conditions) == (1 if view == "v_series" else 2)
    for condition in map("".join, conditions):
        assert "metric in" in condition
        assert "tenant in" in condition


def test_columns_are_as_documented(data: Data) -> None:
    table = re.findall(r"^\| `(v_\w+)` \|[^|]+\| ([^|]+) \|$", (Path("docs") / "sql.md").read_text(), re.M)
    assert len(table) == 14
    reader = Clickhouse(embedded.endpoint(), database=DATABASE)
    for view, columns in table:
        names = [line.split("\t")[0] for line in reader.command(f"DESCRIBE TABLE {view}").splitlines()]
        assert names == columns.split(", "), view
    reader.close()
