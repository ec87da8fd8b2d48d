"""as_of answers with what was known then; include_late_data with what raw holds now, whatever is cached."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promql.evaluate import evaluate
from promql.memory import MemorySource
from promql.parse import parse
from query.answers import Request
from query.api import Api
from query.app import build
from query.blocks import HOUR_MS, Steps
from query.cache import NoCache
from query.clickhouse import ClickhouseStore
from query.encode import matrix
from query.guard import Guard
from query.known import unknown
from query.memory import MemoryStore
from query.ranges import Ranges
from query.settings import QuerySettings
from query.source import Limits
from query.store import Versions
from query.tenants import OpenTenants
from schemas.batch import Batch, Series, encode_series_set
from schemas.columns import Int64s, UInt64s
from schemas.nan import Floats
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from sinks.retention import RetentionSettings
from tests import embedded
from tests.query.client import Client
from tests.query.test_guarantee import DictCache
from udfs.frames import Framer
from udfs.gate.gate import Gate, Passed
from udfs.gate.limits import Limits as GateLimits
from udfs.store.late import late
from udfs.store.register import Register

S, M, H = 1000, 60_000, HOUR_MS
START = 1_714_608_000_000
AFTER = 30 * S
NOW = START + 3 * H
QUERIES = ("m", "sum(count_over_time(m[4m]))", "sum by (i) (rate(m[10m]))", 'm{i="1"} offset 2m', "max(m)")
SERIES = [Series("m", (("i", str(i)),)) for i in range(3)]
TENANTS = (f"t{number}" for number in count())

# (series, slot of 20 s, delay in s): one delivery of one sample; the same sample may come again.
DELIVERY = st.tuples(
    st.integers(0, 2), st.integers(0, 60), st.one_of(st.integers(-60, 40), st.just(30), st.integers(0, 3600))
)


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", "as_of_test")
    client = Clickhouse(embedded.endpoint(), database="as_of_test")
    yield client
    client.close()


def api_over(clickhouse: Clickhouse) -> Api:
    store = ClickhouseStore(clickhouse, Limits(1000, 100_000, 1_000_000, 20))
    ranges, guard = Ranges(store, NoCache(), 300 * S, 360 * S), Guard(1000, 1000)
    return Api(store, ranges, guard, 300 * S, 11_000, 1_000_000, AFTER, RetentionSettings.BUILT_IN)


def deliver(clickhouse: Clickhouse, tenant: str, arrivals: dict[int, list[tuple[int, int]]], times: int) -> None:
    """Send (series, ts) samples through gate and store as of their arrival, in its order, `times` times."""
    gate, framer, register = Gate.open(4, GateLimits()), Framer(), Register()
    for _ in range(times):
        for arrived, samples in sorted(arrivals.items()):
            index = np.array([one for one, _ in samples], np.uint32)
            stamps = np.array([at for _, at in samples])
            raw = Batch(
                tenant, "s", arrived, encode_series_set(SERIES), stamps, value(index.astype(np.int64), stamps), index
            )
            for passed in (one for one in gate.judge(raw.encode(), arrived) if isinstance(one, Passed)):
                frame = framer.frame(passed.batch)
                behind = late(frame, passed.batch.received_at, AFTER)
                if behind is not None:
                    clickhouse.insert("late_samples", rows.late_samples(behind, arrived))
                due = register.due(passed.batch)
                if due is not None:
                    clickhouse.insert("series", rows.series(tenant, due.rows, due.first_seen, due.last_seen))
                clickhouse.insert("samples", rows.samples([frame]))


def value(series: Int64s, stamps: Int64s) -> Floats:
    values: Floats = (stamps - START) / 7 + 1000.0 * series
    return values


def scheduled(
    deliveries: list[tuple[int, int, int]],
) -> tuple[dict[int, list[tuple[int, int]]], dict[tuple[int, int], int]]:
    """Return what arrives when, and the time from which each sample is known.

    A sample that came in time and again too late is not told from a late one (docs/query.md): no such repeat is made.
    """
    arrivals: dict[int, list[tuple[int, int]]] = {}
    known: dict[tuple[int, int], int] = {}
    for one, slot, delay in deliveries:
        at = START + H + slot * 20 * S
        if known.get((one, at), NOW) <= at or (delay * S <= AFTER and (one, at) in known):
            continue
        arrivals.setdefault(at + delay * S, []).append((one, at))
        seen = at if delay * S <= AFTER else at + delay * S
        known[one, at] = min(seen, known.get((one, at), NOW))
    return arrivals, known


@settings(max_examples=15)
@given(
    st.lists(DELIVERY, min_size=1, max_size=25),
    st.lists(st.integers(0, 5400), min_size=1, max_size=4),
    st.sampled_from(QUERIES),
    st.integers(1, 2),
)
def test_as_of_is_what_had_arrived(
    clickhouse: Clickhouse, deliveries: list[tuple[int, int, int]], seconds: list[int], text: str, times: int
) -> None:
    tenant = next(TENANTS)
    arrivals, known = scheduled(deliveries)
    deliver(clickhouse, tenant, arrivals, times)
    steps = Steps(START + H, START + 2 * H, M)
    for after in [*seconds, *(seen // S - (START + H) // S for seen in list(known.values())[:2])]:
        as_of = START + H + after * S
        held = {
            one: sorted(at for (owner, at), seen in known.items() if owner == one and seen <= as_of) for one in range(3)
        }
        source = MemorySource(
            ({"__name__": "m", "i": str(one)}, np.array(stamps), value(np.full(len(stamps), one), np.array(stamps)))
            for one, stamps in held.items()
            if stamps
        )
        want = matrix(evaluate(parse(text), source, steps.first_ms, steps.last_ms, M), steps.times())
        asked = {"query": text, "start": str(steps.first_ms // S), "end": str(steps.last_ms // S), "step": "60"}
        reply = api_over(clickhouse).query_range(Request(tenant, asked | {"as_of": str(as_of // S)}, {}, NOW))
        assert reply.data == want


def test_an_arrival_is_told_by_the_first_of_its_repeats(clickhouse: Clickhouse) -> None:
    at = START + H
    deliver(clickhouse, "repeats", {at + 5 * M: [(0, at)], at + 9 * M: [(0, at)]}, 1)
    api = api_over(clickhouse)
    for after, present in ((5 * M - S, False), (5 * M, True), (7 * M, True)):
        asked = {"query": "m[1h]", "time": str((at + H // 2) // S), "as_of": str((at + after) // S)}
        assert (b'"i":"0"' in api.query(Request("repeats", asked, {}, NOW)).data) == present


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-5, 5)), max_size=30),
    st.lists(st.tuples(st.integers(0, 7), st.integers(-7, 7)), max_size=10),
)
def test_unknown_is_membership(samples: list[tuple[int, int]], later: list[tuple[int, int]]) -> None:
    def columns(pairs: list[tuple[int, int]]) -> tuple[UInt64s, Int64s]:
        return np.array([2**64 - 1 - one for one, _ in pairs], np.uint64), np.array([at for _, at in pairs], np.int64)

    assert unknown(*columns(samples), *columns(later)).tolist() == [one in later for one in samples]


class Unraised(MemoryStore):
    """A store in the moment between a late write and the version that tells of it."""

    def versions(self, tenant: str, metrics: object, start_ms: int, end_ms: int, written: object = None) -> Versions:
        return {}


@pytest.fixture
def store() -> MemoryStore:
    made = Unraised()
    for minute in range(120):
        made.write("default", {"__name__": "m"}, [(START + minute * M, float(minute))], START + minute * M)
    return made


@pytest.fixture
def http(store: MemoryStore) -> Iterator[Client]:
    with Client(build(QuerySettings(), store, DictCache(), OpenTenants("default"), lambda: NOW)) as client:
        yield client


PATHS = ("/api/v1/query_range", "/v1/metrics/query")
RANGE = {"query": "sum_over_time(m[1m])", "start": str(START // S), "end": str((START + H) // S - 60), "step": "60"}


@pytest.mark.parametrize("path", PATHS)
def test_include_late_data_sees_past_a_cached_block(store: MemoryStore, http: Client, path: str) -> None:
    before = http.get(path, params=RANGE).json()
    assert len(before["data"]["result"][0]["values"]) == 60
    store.write("default", {"__name__": "m"}, [(START + 30 * M + 30 * S, 1e6)], NOW)
    assert http.get(path, params=RANGE).json() == before
    fresh = http.get(path, params=RANGE | {"include_late_data": "true"}).json()
    assert fresh["data"]["result"][0]["values"][31] == [(START + 31 * M) // S, "1000031"]
    assert http.get(path, params=RANGE | {"include_late_data": "false"}).json() == before


@pytest.mark.parametrize("path", PATHS)
def test_as_of_neither_reads_nor_fills_the_cache(store: MemoryStore, http: Client, path: str) -> None:
    known = http.get(path, params=RANGE | {"as_of": str((START + 10 * M) // S)}).json()
    assert len(known["data"]["result"][0]["values"]) == 11
    assert "up to 30 s after its timestamp" in known["infos"][0]
    assert len(http.get(path, params=RANGE).json()["data"]["result"][0]["values"]) == 60


def test_an_instant_query_as_of_a_time_is_asked_at_that_time(http: Client) -> None:
    as_of = (START + 10 * M) // S
    answer = http.get("/api/v1/query", params={"query": "m", "as_of": "2024-05-02T00:10:00Z"}).json()
    assert answer["data"]["result"][0]["value"] == [as_of, "10"]
    assert answer["infos"][0].startswith("as known at 2024-05-02T00:10:00Z; ")
    old = http.get("/api/v1/query", params={"query": "m", "as_of": str(as_of - 3 * 86_400)}).json()
    said = ["TG-tier-kept]", "TG-as-of]", "TG-as-of-retention]"]
    assert [info.rpartition("[")[2] for info in old["infos"]] == said
    assert "kept for 2 days (TIDEGAUGE_RETENTION)" in old["infos"][2]


@pytest.mark.parametrize(
    ("params", "error_id"),
    [
        ({"include_late_data": "yes"}, "TG-query-flag"),
        ({"complete_only": "TRUE"}, "TG-query-flag"),
        ({"as_of": "soon"}, "TG-query-time"),
        ({"as_of": str(NOW // S + 1)}, "TG-query-as-of"),
        ({"as_of": "1714608000", "include_late_data": "true"}, "TG-query-view"),
        ({"as_of": "1714608000", "complete_only": "1"}, "TG-query-view"),
    ],
)
@pytest.mark.parametrize("path", [*PATHS, "/api/v1/query"])
def test_refused(http: Client, path: str, params: dict[str, str], error_id: str) -> None:
    answer = http.get(path, params=RANGE | params)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")
    assert error_id in answer.json()["error"]


@pytest.mark.parametrize(
    ("length", "step", "points"), [(1, 1, 2), (1000, 1, 1001), (3600, 4, 901), (86_400, 87, 994), (0, 1, 1)]
)
def test_the_step_of_its_own_makes_about_a_thousand_points(http: Client, length: int, step: int, points: int) -> None:
    asked = {"query": "time()", "start": str(START // S), "end": str(START // S + length)}
    values = http.get("/v1/metrics/query", params=asked).json()["data"]["result"][0]["values"]
    assert len(values) == points
    assert points == 1 or values[1][0] - values[0][0] == step
