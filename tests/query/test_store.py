"""The store over a real ClickHouse, written as the jobs write."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pytest

from promql.columns import Columns, Selector
from promql.parse import parse
from promql.plan import Select
from promql.series import signature
from query.blocks import HOUR_MS, Steps
from query.cache import NoCache, RedisCache
from query.clickhouse import ClickhouseStore
from query.encode import matrix
from query.errors import QueryError
from query.memory import MemoryStore
from query.ranges import Ranges
from query.source import Limits
from schemas.batch import Series as Meta
from schemas.frame import Frame
from schemas.ids import series_id
from schemas.nan import STALE_BITS
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from sinks.versions import raise_versions
from tests import embedded
from tests.notation import Series, parse_series
from tests.query.test_cache import outcome

M, H = 60_000, HOUR_MS
START = 1_714_608_000_000
LIMITS = Limits(series=1000, samples=100_000, cells=1_000_000, timeout_s=20)
LINES = (
    'http{job="api", path="/"} 0+60x200',
    'http{job="api", path="/x\\\\y"} 0+30x90 0+30x90',
    'http{job="db"} 1 2 stale NaN 3 Inf',
    'temp{room="a"} 20 -20 20.25x50',
)
HOSTILE = (
    *("'", '"', "\\", "--", "{x:String}", "'; DROP TABLE samples; --", "\n\t"),
    *("*/", "ü\U0001f600", "%27", "$1", "`"),
)


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", "query_test")
    client = Clickhouse(embedded.endpoint(), database="query_test")
    yield client
    client.close()


@pytest.fixture(scope="module")
def store(clickhouse: Clickhouse) -> ClickhouseStore:
    write(clickhouse, "default", [parse_series(line, M, START) for line in LINES])
    hostile = [({"__name__": "h", "l": text}, np.array([START]), np.array([1.0])) for text in HOSTILE]
    write(clickhouse, "default", hostile)
    return ClickhouseStore(clickhouse, LIMITS)


def write(clickhouse: Clickhouse, tenant: str, series: Iterable[Series]) -> None:
    for labels, stamps, values in series:
        rest = {name: value for name, value in labels.items() if name != "__name__"}
        one = series_id(tenant, labels["__name__"], rest.items())
        meta = Meta(labels["__name__"], tuple(rest.items()))
        clickhouse.insert("series", rows.series(tenant, [(one, meta)], int(stamps.min()), int(stamps.max())))
        frame = Frame(
            tenant,
            0,
            [labels["__name__"]],
            np.zeros(1, np.uint32),
            np.array([one], np.uint64),
            stamps,
            values,
            np.zeros(len(stamps), np.uint32),
        )
        clickhouse.insert("samples", rows.samples([frame]))


def raised(clickhouse: Clickhouse, metric: str, at_ms: int, version: int) -> None:
    block = pa.array([at_ms // H * H]).cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("s", tz="UTC"))
    clickhouse.insert(
        "data_versions",
        pa.table(
            {"tenant": ["default"], "metric": [metric], "block": block, "version": pa.array([version], pa.uint64())}
        ),
    )


def plain(columns: Columns) -> dict[str, list[tuple[int, bytes]]]:
    return {
        str(sorted(labels.items())): [
            (at, value.tobytes())
            for at, value in zip(columns.timestamps[low:high].tolist(), columns.values[low:high], strict=True)
        ]
        for labels, low, high in zip(columns.labels, columns.offsets, columns.offsets[1:], strict=False)
        if high > low
    }


@pytest.mark.parametrize(
    "text",
    [
        "http",
        'http{job="api"}',
        'http{job!="api"}',
        'http{path=""}',
        'http{path!=""}',
        'http{job=~"a.*"}',
        'http{job!~"a.*"}',
        'http{path="/x\\\\y"}',
        'http{path=~"/."}',
        '{__name__=~"http|temp", job!="db"}',
        '{job="db"}',
        "nothing",
        'http{job="nobody"}',
        'h{l=~"(?s).*"}',
        *(f'h{{l="{text}"}}' for text in ("'", "--", "{x:String}", "'; DROP TABLE samples; --", "*/", "%27", "`")),
        'h{l="\\n\\t"}',
        'h{l="\\\\"}',
        'h{l=~"\\\\\\\\|\'"}',
    ],
)
def test_clickhouse_selects_what_memory_selects(store: ClickhouseStore, text: str) -> None:
    memory = MemoryStore()
    for labels, stamps, values in [parse_series(line, M, START) for line in LINES]:
        memory.write("default", labels, list(zip(stamps.tolist(), values, strict=True)), START)
    for value in HOSTILE:
        memory.write("default", {"__name__": "h", "l": value}, [(START, 1.0)], START)
    plan = parse(text)
    assert isinstance(plan, Select)
    selector = Selector(plan.metric, plan.matchers, START - M, START + 70 * M)
    got, want = (plain(one.source("default", 1).select(selector)) for one in (store, memory))
    assert got == want
    sets, others = (one.label_sets("default", plan, START, START + H, 1000) for one in (store, memory))
    assert sorted(map(signature, sets)) == sorted(map(signature, others))
    names, other_names = (one.label_names("default", plan, START, START + H, 1000) for one in (store, memory))
    assert names == other_names


def test_the_window_is_left_open(store: ClickhouseStore) -> None:
    columns = store.source("default", 1).select(Selector("temp", (), START, START + 2 * M))
    assert columns.timestamps.tolist() == [START + M, START + 2 * M]


def test_a_staleness_marker_keeps_its_bits(store: ClickhouseStore) -> None:
    columns = store.source("default", 1).select(Selector("http", (("job", "=", "db"),), START - 1, START + 5 * M))
    assert columns.values.view(np.uint64)[2] == STALE_BITS
    assert columns.values.view(np.uint64)[3] != STALE_BITS


def test_a_sample_stored_twice_comes_once(clickhouse: Clickhouse, store: ClickhouseStore) -> None:
    line = parse_series('twice{a="1"} 1 2 3', M, START)
    for _ in range(3):
        write(clickhouse, "default", [line])
    columns = store.source("default", 1).select(Selector("twice", (), 0, START + H))
    assert columns.values.tolist() == [1.0, 2.0, 3.0]


def test_of_two_values_the_later_write_wins_before_any_merge(clickhouse: Clickhouse, store: ClickhouseStore) -> None:
    for value in (5, 4, 9, 7):
        write(clickhouse, "default", [parse_series(f"conflict {value} {value}", M, START)])
    columns = store.source("default", 1).select(Selector("conflict", (), 0, START + H))
    assert columns.values.tolist() == [7.0, 7.0]
    clickhouse.command("OPTIMIZE TABLE samples FINAL")
    columns = store.source("default", 1).select(Selector("conflict", (), 0, START + H))
    assert columns.values.tolist() == [7.0, 7.0]


def test_tenants_are_apart(clickhouse: Clickhouse, store: ClickhouseStore) -> None:
    write(clickhouse, "other", [parse_series('http{job="secret"} 1', M, START)])
    assert len(store.source("other", 1).select(Selector("http", (), 0, START + H)).labels) == 1
    assert store.label_values("default", "job", None, START, START + H, 1000) == {"api", "db"}
    for text in HOSTILE:
        assert store.label_values(text, "job", None, START, START + H, 1000) == set()
        assert store.label_values("default", text, None, START, START + H, 1000) == set()


@pytest.mark.parametrize(
    ("limits", "error_id"),
    [
        (Limits(2, 100_000, 1_000_000, 20), "TG-query-series"),
        (Limits(1000, 10, 1_000_000, 20), "TG-query-samples"),
        (Limits(1000, 100_000, 2, 20), "TG-query-cells"),
    ],
)
def test_limits(clickhouse: Clickhouse, store: ClickhouseStore, limits: Limits, error_id: str) -> None:
    with pytest.raises(QueryError) as caught:
        ClickhouseStore(clickhouse, limits).source("default", 1).select(Selector("http", (), 0, START + H))
    assert (caught.value.status, caught.value.id) == (422, error_id)


def test_no_clickhouse_is_unavailable() -> None:
    away = ClickhouseStore(Clickhouse("127.0.0.1:1", attempts=1), LIMITS)
    with pytest.raises(QueryError) as caught:
        away.ready()
    assert (caught.value.status, caught.value.kind) == (503, "unavailable")


def test_a_query_that_clickhouse_gives_up(clickhouse: Clickhouse) -> None:
    one = Clickhouse(clickhouse.endpoint, database="query_test", attempts=1)
    hasty = ClickhouseStore(one, Limits(1, 1, 1, 0.2))
    with pytest.raises(QueryError) as caught:
        hasty.rows(("SELECT sum(sipHash64(number)) AS n FROM numbers(100000000000)", {}))
    one.close()
    assert (caught.value.status, caught.value.kind) == (503, "timeout")


def test_versions_rise_with_data_and_with_series(clickhouse: Clickhouse, store: ClickhouseStore) -> None:
    write(clickhouse, "default", [parse_series('v{a="1"} 1', M, START)])
    span = (START - H, START + 3 * H)
    hour = START // 1000
    assert store.versions("default", ["v"], *span) == {"v": [(hour, "series", 1)]}
    raised(clickhouse, "v", START, 11)
    raised(clickhouse, "v", START, 12)
    raised(clickhouse, "v", START + 9 * H, 99)
    write(clickhouse, "default", [parse_series('v{a="2"} 1', M, START + H)] * 2)
    want = [(hour, "data", 12), (hour, "series", 1), (hour + 3600, "series", 1)]
    assert store.versions("default", ["v"], *span) == {"v": want}
    assert store.versions("other", ["v"], *span) == {}


def test_a_late_write_is_seen_through_the_cache(
    clickhouse: Clickhouse, store: ClickhouseStore, redis_endpoint: str
) -> None:
    now = START + 9 * H
    write(clickhouse, "default", [parse_series('late{a="1"} 0+1x300', M, START)])
    cached = Ranges(store, RedisCache(redis_endpoint, 1.0, 60, 1 << 20), 300_000, 360_000)
    bare = Ranges(store, NoCache(), 300_000, 360_000)
    steps = Steps(START + M, START + 4 * H, M)
    grid = np.arange(steps.first_ms, steps.last_ms + 1, M)

    def both() -> tuple[bytes, bytes]:
        found = [
            matrix(one.answer("default", parse("rate(late[10m])"), steps, now).value, grid) for one in (cached, bare)
        ]
        return found[0], found[1]

    first, want = both()
    assert first == want
    hits = outcome("hit")
    assert both() == (first, first)
    assert outcome("hit") > hits
    write(clickhouse, "default", [parse_series('late{a="1"} 9999', M, START + H + 1)])
    raised(clickhouse, "late", START + H, 1)
    second, want = both()
    assert second == want != first
    # A new series of the same hours shows too, though no version was raised yet.
    write(clickhouse, "default", [parse_series('late{a="2"} 0+1x300', M, START)])
    third, want = both()
    assert third == want != second


def test_only_a_write_changes_what_was_written() -> None:
    endpoint = embedded.endpoint()
    apply(endpoint, "default", "", "written")
    clickhouse = Clickhouse(endpoint, database="written")
    user, password = embedded.VIEWER
    store = ClickhouseStore(Clickhouse(endpoint, user, password, "written", attempts=1), LIMITS)

    def write(version: int) -> None:
        raise_versions(clickhouse, {"t": [("m", 3600)]}, version)

    def said() -> list[tuple[int, str, int]]:
        return store.versions("t", ["m"], 3_600_000, 3_600_000, store.written()).get("m", [])

    # Nothing there, or nothing that may be seen: no number that would change with a write.
    assert ClickhouseStore(Clickhouse(endpoint, database="default"), LIMITS).written() is None
    assert said() == []
    write(1)
    assert said() == [(3600, "data", 1)]
    before = store.written()
    write(2)
    after = store.written()
    assert before != after
    clickhouse.command("OPTIMIZE TABLE data_versions FINAL")
    assert store.written() == after
    assert said() == [(3600, "data", 2)]
    clickhouse.close()
