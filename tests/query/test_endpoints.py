"""Prometheus's endpoints beside query and query_range, and the parameters limit and stats."""

from collections.abc import Iterator

import pytest

from query.answers import TRUNCATED
from query.app import build
from query.cache import NoCache
from query.memory import MemoryStore
from query.settings import QuerySettings
from query.tenants import OpenTenants
from tests.notation import parse_series
from tests.query.client import Client, ask

M = 60_000
NOW = 1_714_608_000_000
DATA = ('up{job="api", i="0"} 1x60', 'up{job="api", i="1"} 2x60', 'up{job="db"} 3x60', "temp 1+1x60")


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    store = MemoryStore()
    for line in DATA:
        labels, stamps, values = parse_series(line, M, NOW)
        store.write("default", labels, list(zip(stamps.tolist(), values, strict=True)), NOW)
    with Client(build(QuerySettings(), store, NoCache(), OpenTenants("default"), lambda: NOW + 5 * M)) as one:
        yield one


AT = {"time": NOW / 1000 + 60}
RANGE = {"start": NOW / 1000, "end": NOW / 1000 + 120, "step": 60}


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (2, 2), (3, 3), (4, 3), (0, 3), ("", 3)])
def test_limit_cuts_what_comes_last(api: Client, limit: int, count: int) -> None:
    for path, more in (("query", AT), ("query_range", RANGE)):
        _, body = ask(api, f"/api/v1/{path}", query="up", limit=limit, **more)
        assert [row["metric"]["job"] for row in body["data"]["result"]] == ["api", "api", "db"][:count]
        assert body.get("warnings") == ([TRUNCATED] if count < 3 else None)


def test_limit_cuts_what_a_sort_puts_last_and_a_matrix_too(api: Client) -> None:
    _, body = ask(api, "/api/v1/query", query="sort_desc(up)", limit=2, **AT)
    assert [row["value"][1] for row in body["data"]["result"]] == ["3", "2"]
    _, body = ask(api, "/api/v1/query", query="up[2m]", limit=1, **AT)
    assert [len(row["values"]) for row in body["data"]["result"]] == [2]
    assert body["warnings"] == [TRUNCATED]
    assert ask(api, "/api/v1/query", query="1", limit=1, **AT)[1]["data"]["resultType"] == "scalar"


@pytest.fixture(scope="module")
def shuffled() -> Iterator[Client]:
    store = MemoryStore()
    for room in ("b", "a b", "c'", "a", 'c"', "c\t", "A"):
        store.write("default", {"__name__": "temp", "room": room}, [(NOW, 1.0), (NOW + M, 2.0)], NOW)
    with Client(build(QuerySettings(), store, NoCache(), OpenTenants("default"), lambda: NOW + 5 * M)) as one:
        yield one


IN_ORDER = ["A", "a", "a b", "b", "c\t", 'c"', "c'"]


@pytest.mark.parametrize("text", ["temp[2m]", "temp[2m:1m]"])
def test_a_matrix_at_one_instant_is_in_the_order_of_labels(shuffled: Client, text: str) -> None:
    for limit in (0, 1, 6, 7):
        _, body = ask(shuffled, "/api/v1/query", query=text, limit=limit, **AT)
        found = body["data"]["result"]
        assert [row["metric"]["room"] for row in found] == IN_ORDER[: limit or None]
        assert all([value for _, value in row["values"]] == ["1", "2"] for row in found)


def test_series_come_in_the_order_of_labels(shuffled: Client) -> None:
    _, body = ask(shuffled, "/api/v1/series", **{"match[]": ['temp{room="b"}', "temp"]})
    assert [labels["room"] for labels in body["data"]] == IN_ORDER
    status, body = ask(shuffled, "/api/v1/series", **{"match[]": "temp{", "start": 2, "end": 1})
    assert (status, body["errorType"]) == (400, "bad_data")


@pytest.mark.parametrize("limit", ["-1", "x", "1.5", "9" * 30])
def test_a_limit_is_a_whole_number(api: Client, limit: str) -> None:
    for path in ("query?query=up", "series?match[]=up", "labels", "label/job/values", "metadata", "status/tsdb"):
        answer = api.get(f"/api/v1/{path}", params=None) if not limit else api.get(
            f"/api/v1/{path}{'&' if '?' in path else '?'}limit={limit}"
        )  # fmt: skip
        assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data"), path
        assert "TG-query-limit" in answer.json()["error"]


def test_lookback_delta(api: Client) -> None:
    late = {"time": NOW / 1000 + 3600 + 200}
    assert len(ask(api, "/api/v1/query", query="up", **late)[1]["data"]["result"]) == 3
    assert ask(api, "/api/v1/query", query="up", lookback_delta="3m", **late)[1]["data"]["result"] == []
    _, body = ask(api, "/api/v1/query_range", query="temp", lookback_delta="1", start=NOW / 1000, end=NOW / 1000 + 60,
                  step=20)  # fmt: skip
    assert [at for at, _ in body["data"]["result"][0]["values"]] == [NOW // 1000, NOW // 1000 + 60]
    assert ask(api, "/api/v1/query", query="up", lookback_delta="-1")[0] == 400


def test_stats(api: Client) -> None:
    for path, more in (("query", AT), ("query_range", RANGE)):
        _, body = ask(api, f"/api/v1/{path}", query="up", stats="all", **more)
        assert set(body["data"]["stats"]) == {"timings", "samples"}
        assert body["data"]["stats"]["timings"]["execTotalTime"] > 0
        assert "stats" not in ask(api, f"/api/v1/{path}", query="up", **more)[1]["data"]


def test_annotations_stand_beside_the_data(api: Client) -> None:
    for path, more in (("query", AT), ("query_range", RANGE)):
        _, body = ask(api, f"/api/v1/{path}", query="rate(up[5m])", **more)
        assert "might not be a counter" in body["infos"][0]
        _, body = ask(api, f"/api/v1/{path}", query="quantile(2, up)", **more)
        assert "quantile value should be between 0 and 1" in body["warnings"][0]


def test_limits_of_the_catalog(api: Client) -> None:
    for path, more in (
        ("series", {"match[]": ["up"]}),
        ("labels", {}),
        ("label/__name__/values", {}),
        ("label/i/values", {"match[]": ["up"]}),
    ):
        _, body = ask(api, f"/api/v1/{path}", **more)
        everything = body["data"]
        assert "warnings" not in body
        _, body = ask(api, f"/api/v1/{path}", limit=1, **more)
        assert (body["data"], body["warnings"]) == (everything[:1], [TRUNCATED])
        assert "warnings" not in ask(api, f"/api/v1/{path}", limit=len(everything), **more)[1]


def test_more_than_the_most_without_a_limit_is_refused() -> None:
    store = MemoryStore()
    for number in range(5):
        store.write("default", {"__name__": "m", "i": str(number)}, [(NOW, 1.0)], NOW)
    settings = QuerySettings(query_max_series=4)
    with Client(build(settings, store, NoCache(), OpenTenants("default"), lambda: NOW)) as api:
        for path in ("series?match[]=m", "label/i/values"):
            answer = api.get(f"/api/v1/{path}")
            assert answer.status_code == 422 and "TG-query-series" in answer.json()["error"]
            cut = api.get(f"/api/v1/{path}{'&' if '?' in path else '?'}limit=3").json()
            assert len(cut["data"]) == 3 and cut["warnings"] == [TRUNCATED]


def test_what_grafana_asks(api: Client) -> None:
    form = {"match[]": "up", "start": "1714600000", "end": "1714700000"}
    assert api.post("/api/v1/labels", data=form).json()["data"] == ["__name__", "i", "job"]
    assert len(api.post("/api/v1/series", data=form).json()["data"]) == 3
    assert api.post("/api/v1/query_exemplars", data={"query": "up", **form}).json()["data"] == []
    assert api.post("/api/v1/query_exemplars", data={"query": "up{"}).status_code == 400
    assert ask(api, "/api/v1/metadata")[1]["data"] == {
        "temp": [{"type": "unknown", "help": "", "unit": ""}],
        "up": [{"type": "unknown", "help": "", "unit": ""}],
    }
    assert list(ask(api, "/api/v1/metadata", limit=1)[1]["data"]) == ["temp"]
    assert list(ask(api, "/api/v1/metadata", metric="up")[1]["data"]) == ["up"]
    answer = api.post("/api/v1/query", data={"query": "1+1", "time": "1714608000"})
    assert answer.json()["data"]["result"] == [1714608000, "2"]


def test_cardinality(api: Client) -> None:
    data = ask(api, "/api/v1/status/tsdb", limit=2)[1]["data"]
    # Nothing was seen later than now, though the last hour's end may be what is known.
    head = {"numSeries": 4, "numLabelPairs": 6, "chunkCount": 0, "minTime": NOW, "maxTime": NOW + 5 * M}
    assert data["headStats"] == head
    assert data["seriesCountByMetricName"] == [{"name": "up", "value": 3}, {"name": "temp", "value": 1}]
    assert data["seriesCountByLabelValuePair"][0] == {"name": "__name__=up", "value": 3}
    assert ask(api, "/api/v1/status/tsdb", limit=10_001)[0] == 400


def test_format_query(api: Client) -> None:
    assert ask(api, "/api/v1/format_query", query="sum(up)by(job)")[1]["data"] == "sum by (job) (up)"
    for text in ("sum(up", "start()", "1e400"):
        for path in ("format_query", "query"):
            status, body = ask(api, f"/api/v1/{path}", query=text)
            assert (status, body["errorType"]) == (400, "bad_data")


def test_a_form_is_bounded(api: Client) -> None:
    assert api.post("/api/v1/query", data={"query": "1", "x": "y" * (1 << 20)}).status_code == 400
    many = api.post("/api/v1/query", data={f"p{n}": "1" for n in range(10_001)} | {"query": "1"})
    assert (many.status_code, "TG-query-form" in many.json()["error"]) == (400, True)
