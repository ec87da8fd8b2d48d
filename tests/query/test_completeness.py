"""What follows from the stream's word on completeness: what is said, and what complete_only leaves."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from promql.parse import parse
from query.app import build
from query.blocks import Steps
from query.cache import NoCache
from query.clickhouse import ClickhouseStore
from query.completeness import LEFT_OUT, Completeness, completeness_infos, fixed_reach, kept, reach, whole
from query.memory import MemoryStore
from query.settings import QuerySettings
from query.source import Limits
from query.store import Written
from query.tenants import OpenTenants
from schemas.tiers import MINUTE, Tier
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded
from tests.query.client import Client

S, M, H = 1000, 60_000, 3_600_000
START = 1_714_608_000_000  # 2024-05-02T00:00:00Z
UNTIL = START + 10 * M
ALL = Completeness(UNTIL, 4, 4)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("m", 0),
        ("rate(m[5m])", 0),
        ("m offset 5m", -5 * M),
        ("rate(m[5m] offset 1h) + m offset 5m", -5 * M),
        ("m - m offset -2m", 2 * M),
        ("time()", None),
    ],
)
def test_how_far_a_step_reads(text: str, want: int | None) -> None:
    assert reach(parse(text), Steps(START, START + H, M), 300_000) == want


@pytest.mark.parametrize(
    ("text", "first", "last", "complete"),
    [
        ("m @ 1714608000", 5, 60, True),
        ("m @ 1714609200", 5, 60, False),
        ("m @ end()", 5, 10, True),
        ("m @ end()", 5, 11, False),
        ("m @ start()", 5, 60, True),
        ("m + m @ start()", 5, 60, False),
    ],
)
def test_with_at_all_steps_are_complete_or_none(text: str, first: int, last: int, complete: bool) -> None:
    steps = Steps(START + first * M, START + last * M, M)
    ahead = reach(parse(text), steps, 300_000)
    assert ahead is not None
    newest = whole(ALL, fixed_reach(ALL, steps, ahead))
    assert (kept(steps, newest) == steps) == complete
    assert complete or kept(steps, newest) is None


# first, last and step in minutes from START; reach; steps that are left; the first partial one, in minutes
TABLE = [
    ("all before", 0, 9, 1, 0, 10, None),
    ("a step at the end reads what was closed", 0, 10, 1, 0, 11, None),
    ("some beyond", 5, 14, 1, 0, 6, 11),
    ("all beyond", 11, 14, 1, 0, 0, 11),
    ("steps that miss the end", 0, 14, 4, 0, 3, 12),
    ("an offset reads the past", 5, 14, 1, -5 * M, 10, None),
    ("less of an offset", 5, 14, 1, -2 * M, 8, 13),
    ("a negative offset reads ahead", 5, 14, 1, 2 * M, 4, 9),
    ("one step", 11, 11, 1, 0, 0, 11),
]


@pytest.mark.parametrize(
    ("first", "last", "step", "ahead", "left", "partial"), [x[1:] for x in TABLE], ids=[x[0] for x in TABLE]
)
def test_what_follows(first: int, last: int, step: int, ahead: int, left: int, partial: int | None) -> None:
    steps = Steps(START + first * M, START + last * M, step * M)
    inside = kept(steps, whole(ALL, ahead))
    assert (0 if inside is None else inside.size) == left
    if inside is not None:
        assert (inside.first_ms, inside.step_ms) == (steps.first_ms, steps.step_ms)
        assert steps.last_ms - inside.last_ms < steps.step_ms * (steps.size - left + 1)
    said = completeness_infos(ALL, steps, ahead)
    assert [info.rpartition(" ")[2] for info in said] == (
        [] if partial is None else ["[TG-complete-until]", "[TG-partial-from]"]
    )
    if partial is not None:
        assert "complete up to 2024-05-02T00:10:00Z, tier 1m" in said[0]
        assert f"values from 2024-05-02T00:{partial:02d}:00Z ({START // S + partial * 60}) on are partial" in said[1]


@pytest.mark.parametrize(
    ("last", "seen", "missing"),
    [(9 * M, 3, False), (10 * M, 3, True), (12 * M, 3, True), (12 * M, 4, False)],
)
def test_missing_sources_are_named_where_their_window_is_read(last: int, seen: int, missing: bool) -> None:
    said = completeness_infos(replace(ALL, seen=seen), Steps(START, START + last, M), 0)
    text = "in the last complete window 3 of 4 sources were seen, 0.75 of those of the hour [TG-sources-missing]"
    assert (text in said) == missing


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    made.write("default", {"__name__": "m"}, [(START + k * 15 * S, float(k)) for k in range(50)], START)
    made.complete["default"] = replace(ALL, seen=3)
    return made


def client(store: MemoryStore, now: int) -> Client:
    return Client(build(QuerySettings(), store, NoCache(), OpenTenants("default"), lambda: now))


@pytest.fixture
def http(store: MemoryStore) -> Iterator[Client]:
    with client(store, START + 13 * M) as one:
        yield one


RANGE = {"query": "m", "start": str(START // S), "end": str(START // S + 720), "step": "60"}


@pytest.mark.parametrize("path", ["/api/v1/query_range", "/v1/metrics/query"])
def test_a_range_says_from_where_it_is_partial(http: Client, path: str) -> None:
    body = http.get(path, params=RANGE).json()
    assert list(body) == ["status", "data", "infos"]
    assert [info.rpartition(" ")[2] for info in body["infos"]] == [
        "[TG-complete-until]",
        "[TG-partial-from]",
        "[TG-sources-missing]",
    ]
    assert len(body["data"]["result"][0]["values"]) == 13
    only = http.get(path, params=RANGE | {"complete_only": "1"}).json()
    assert only["data"]["result"][0]["values"] == body["data"]["result"][0]["values"][:11]
    assert LEFT_OUT in only["infos"][1]
    after = RANGE | {"complete_only": "1", "start": str(START // S + 660)}
    assert http.get(path, params=after).json()["data"] == {"resultType": "matrix", "result": []}


def test_a_range_that_is_complete_says_nothing(http: Client) -> None:
    body = http.get("/api/v1/query_range", params=RANGE | {"end": str(START // S + 480)}).json()
    assert list(body) == ["status", "data"]


def test_an_instant_is_taken_from_the_last_complete_time(http: Client) -> None:
    partial = http.get("/api/v1/query", params={"query": "m"}).json()
    assert partial["data"]["result"][0]["value"] == [START // S + 780, "49"]
    assert "may still change" in partial["infos"][1]
    whole = http.get("/api/v1/query", params={"query": "m", "complete_only": "true"}).json()
    assert whole["data"]["result"][0]["value"] == [START // S + 600, "40"]
    assert "from the last complete time" in whole["infos"][1]
    earlier = {"query": "m", "complete_only": "1", "time": str(START // S + 60)}
    assert http.get("/api/v1/query", params=earlier).json()["data"]["result"][0]["value"] == [START // S + 60, "4"]


@pytest.mark.parametrize("path", ["/api/v1/query", "/api/v1/query_range", "/v1/metrics/query"])
def test_without_a_word_of_the_stream(http: Client, store: MemoryStore, path: str) -> None:
    store.complete.clear()
    assert "infos" not in http.get(path, params=RANGE).json()
    refused = http.get(path, params=RANGE | {"complete_only": "1"})
    assert (refused.status_code, refused.json()["errorType"]) == (422, "execution")
    assert "no window of this tenant" in refused.json()["error"]
    assert "[TG-query-completeness]" in refused.json()["error"]


def test_old_ranges_do_not_ask(store: MemoryStore) -> None:
    class Mute(MemoryStore):
        def completeness(
            self, tenant: str, now_ms: int, tier: Tier = MINUTE, written: Written | None = None
        ) -> Completeness | None:
            raise AssertionError("not needed")

    with client(Mute(), START + 25 * H) as old:
        assert old.get("/api/v1/query_range", params=RANGE).status_code == 200
        assert old.get("/api/v1/query", params={"query": "time()"}).status_code == 200


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", "completeness_test")
    one = Clickhouse(embedded.endpoint(), database="completeness_test")
    yield one
    one.close()


# tenant, rows (tier, minute, sources), what is known
CLOSED = [
    ("none", [], None),
    ("other_tier", [("5m", 0, [1])], None),
    ("one", [("1m", 0, [1, 2])], Completeness(START + M, 2, 2)),
    ("shards", [("1m", 0, [1, 2]), ("1m", 1, [1]), ("1m", 1, [3])], Completeness(START + 2 * M, 2, 3)),
    ("an_hour", [("1m", 0, [9]), ("1m", 1, [8]), ("1m", 60, [1])], Completeness(START + 61 * M, 1, 2)),
    ("silent", [("1m", 0, [1]), ("1m", 1, [])], Completeness(START + 2 * M, 0, 1)),
    ("ahead", [("1m", 0, [1]), ("1m", 61, [2]), ("1m", 200, [3])], Completeness(START + M, 1, 1)),
    ("ahead_alone", [("1m", 61, [2])], None),
]


@pytest.mark.parametrize(("tenant", "closed", "want"), CLOSED, ids=[row[0] for row in CLOSED])
def test_the_tables_rows(
    clickhouse: Clickhouse, tenant: str, closed: list[tuple[str, int, list[int]]], want: Completeness | None
) -> None:
    for tier, minute, sources in closed:
        seen = np.array(sources, np.uint64)
        clickhouse.insert("completeness", rows.completeness(tenant, tier, START + minute * M, seen))
    assert ClickhouseStore(clickhouse, Limits(10, 10, 10, 20)).completeness(tenant, START + 62 * M - 1) == want


def test_the_stream_is_heard_again_after_two_seconds(clickhouse: Clickhouse) -> None:
    def close(minute: int) -> None:
        clickhouse.insert(
            "completeness", rows.completeness("again", "1m", START + minute * M, np.array([1], np.uint64))
        )

    now = START + 10 * M
    store = ClickhouseStore(clickhouse, Limits(10, 10, 10, 20))
    assert store.completeness("again", now) is None
    close(0)
    assert store.completeness("again", now + 1999) is None
    for asked, minute in ((now + 2000, 0), (now + 3999, 0), (now + 4000, 1), (now - 1, 1)):
        said = store.completeness("again", asked)
        assert said is not None
        assert said.until_ms == START + (minute + 1) * M
        close(1)


def test_an_instant_that_fixes_an_incomplete_time_is_refused_under_complete_only() -> None:
    store = MemoryStore()
    store.write("default", {"__name__": "m"}, [(START, 1.0)], START)
    store.complete["default"] = ALL
    app = build(QuerySettings(), store, NoCache(), OpenTenants("default"), lambda: UNTIL + 5 * M)
    with Client(app) as api:
        asked = {"query": f"m @ {(UNTIL + M) / 1000:.0f}", "complete_only": "1"}
        refused = api.get("/api/v1/query", params=asked)
        assert refused.status_code == 422 and "TG-query-completeness" in refused.json()["error"]
        assert api.get("/api/v1/query", params={**asked, "query": f"m @ {START / 1000:.0f}"}).status_code == 200
