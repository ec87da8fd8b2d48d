"""The HTTP face over a store in memory: envelopes, status codes, parameters."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from query.app import build
from query.cache import NoCache
from query.errors import QueryError, unavailable
from query.memory import MemoryStore
from query.settings import QuerySettings
from query.tenants import KeyTenants, OpenTenants, Tenants
from query.view import EVERYTHING, View
from schemas.nan import STALE
from tests.notation import parse_series
from tests.query.client import Client, ask

M = 60_000
NOW = 1_714_608_000_000
DATA = (
    'up{job="api", i="0"} 1x60',
    'up{job="api", i="1"} 0+0.5x60',
    'up{job="db"} 1 2 stale',
    'odd{k="z"} NaN',
    'odd{k="a"} Inf',
)


def client(tenants: Tenants | None = None, store: MemoryStore | None = None, **settings: Any) -> Client:
    store = MemoryStore() if store is None else store
    for line in DATA:
        labels, stamps, values = parse_series(line, M, NOW)
        store.write("default", labels, list(zip(stamps.tolist(), values, strict=True)), NOW)
    app = build(QuerySettings(**settings), store, NoCache(), tenants or OpenTenants("default"), lambda: NOW + 10 * M)
    return Client(app)


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    with client() as one:
        yield one


def test_a_vector(api: Client) -> None:
    assert ask(api, "/api/v1/query", query="up", time=NOW / 1000 + 60) == (
        200,
        {
            "status": "success",
            "data": {
                "resultType": "vector",
                "result": [
                    {
                        "metric": {"__name__": "up", "i": "0", "job": "api"},
                        "value": [1714608060, "1"],
                    },
                    {
                        "metric": {"__name__": "up", "i": "1", "job": "api"},
                        "value": [1714608060, "0.5"],
                    },
                    {"metric": {"__name__": "up", "job": "db"}, "value": [1714608060, "2"]},
                ],
            },
        },
    )


@pytest.mark.parametrize(
    ("query", "data"),
    [
        ("1 / 3", {"resultType": "scalar", "result": [1714608000.5, "0.3333333333333333"]}),
        ('"a\\"b"', {"resultType": "string", "result": [1714608000.5, 'a"b']}),
        ("nothing", {"resultType": "vector", "result": []}),
        (
            "odd",
            {
                "resultType": "vector",
                "result": [
                    {"metric": {"__name__": "odd", "k": "a"}, "value": [1714608000.5, "+Inf"]},
                    {"metric": {"__name__": "odd", "k": "z"}, "value": [1714608000.5, "NaN"]},
                ],
            },
        ),
        (
            'up{i="1"}[2m]',
            {
                "resultType": "matrix",
                "result": [{"metric": {"__name__": "up", "i": "1", "job": "api"}, "values": [[1714608000, "0"]]}],
            },
        ),
    ],
)
def test_every_type_of_result(api: Client, query: str, data: object) -> None:
    assert ask(api, "/api/v1/query", query=query, time="1714608000.5")[1]["data"] == data


def test_the_default_time_is_now(api: Client) -> None:
    assert ask(api, "/api/v1/query", query="time()")[1]["data"]["result"] == [1714608600, "1714608600"]


def test_a_range(api: Client) -> None:
    asked = {"query": 'up{job="db"}', "start": NOW / 1000, "end": NOW / 1000 + 150, "step": "30s"}
    want = [
        {
            "metric": {"__name__": "up", "job": "db"},
            "values": [[1714608000, "1"], [1714608030, "1"], [1714608060, "2"], [1714608090, "2"]],
        }
    ]
    status, body = ask(api, "/api/v1/query_range", **asked)
    assert (status, body["data"]) == (200, {"resultType": "matrix", "result": want})
    posted = api.post("/api/v1/query_range", data=asked)
    assert posted.json() == body
    assert ask(api, "/api/v1/query_range", **asked | {"query": "7"})[1]["data"]["result"] == [
        {"metric": {}, "values": [[1714608000 + 30 * k, "7"] for k in range(6)]}
    ]


@pytest.mark.parametrize(
    ("params", "status", "kind", "error_id"),
    [
        ({}, 400, "bad_data", "TG-query-parameter"),
        ({"query": "sum("}, 400, "bad_data", "TG-promql-parse"),
        ({"query": "mad_over_time(up[5m])"}, 422, "execution", "TG-promql-unsupported"),
        ({"query": "up + on() up"}, 422, "execution", "TG-promql-execution"),
        ({"query": "x" * 17_000}, 400, "bad_data", "TG-query-text"),
        ({"query": "up[5m]"}, 400, "bad_data", "TG-query-type"),
        ({"query": '"text"'}, 400, "bad_data", "TG-query-type"),
        ({"query": "up", "step": "0"}, 400, "bad_data", "TG-query-duration"),
        ({"query": "up", "step": ""}, 400, "bad_data", "TG-query-parameter"),
        ({"query": "up", "start": "soon"}, 400, "bad_data", "TG-query-time"),
        ({"query": "up", "end": "1"}, 400, "bad_data", "TG-query-time"),
        ({"query": "up", "end": "1714619001", "step": "1"}, 400, "bad_data", "TG-query-points"),
    ],
)
def test_refusals_of_a_range(api: Client, params: dict[str, str], status: int, kind: str, error_id: str) -> None:
    got, body = ask(api, "/api/v1/query_range", **{"start": "1714608000", "end": "1714608060", "step": "15"} | params)
    assert (got, body["status"], body["errorType"]) == (status, "error", kind)
    assert error_id in body["error"]


def test_eleven_thousand_steps_are_allowed(api: Client) -> None:
    asked = {"query": "time()", "start": "1714608000", "end": "1714619000", "step": "1"}
    assert len(ask(api, "/api/v1/query_range", **asked)[1]["data"]["result"][0]["values"]) == 11_001


def test_series_and_labels(api: Client) -> None:
    assert ask(api, "/api/v1/series", **{"match[]": ['up{job="db"}', 'odd{k="a"}']})[1]["data"] == [
        {"__name__": "odd", "k": "a"},
        {"__name__": "up", "job": "db"},
    ]
    assert ask(api, "/api/v1/labels")[1]["data"] == ["__name__", "i", "job", "k"]
    assert ask(api, "/api/v1/labels", **{"match[]": "odd"})[1]["data"] == ["__name__", "k"]
    assert ask(api, "/api/v1/label/job/values")[1]["data"] == ["api", "db"]
    assert ask(api, "/api/v1/label/__name__/values")[1]["data"] == ["odd", "up"]
    assert ask(api, "/api/v1/label/job/values", **{"match[]": 'up{i=""}'})[1]["data"] == ["db"]
    assert ask(api, "/api/v1/labels", start="1", end="2")[1]["data"] == []
    assert ask(api, "/api/v1/series")[0] == 400
    assert ask(api, "/api/v1/series", **{"match[]": "rate(up[5m])"})[0] == 400


def test_a_label_of_any_name() -> None:
    store = MemoryStore()
    store.write("default", {"__name__": "m", "http.status": "200"}, [(NOW, 1.0)], NOW)
    with client(store=store) as api:
        for name in ("http.status", "U__http_2e_status"):
            assert ask(api, f"/api/v1/label/{name}/values")[1]["data"] == ["200"]
        assert ask(api, "/api/v1/label/U__http_2f_status/values")[1]["data"] == []
        for name in ("U__", "U___0_"):
            status, body = ask(api, f"/api/v1/label/{name}/values")
            assert status == 400 and "TG-query-label" in body["error"]


def test_tenants_see_their_own(api: Client) -> None:
    other = {"X-Scope-OrgID": "other"}
    assert api.get("/api/v1/query", params={"query": "up"}, headers=other).json()["data"]["result"] == []
    assert api.get("/api/v1/labels", headers=other).json()["data"] == []
    bad = api.get("/api/v1/query", params={"query": "up"}, headers={"X-Scope-OrgID": "a/b"})
    assert (bad.status_code, bad.json()["errorType"]) == (400, "bad_data")


def test_a_key_is_needed_where_keys_are_on() -> None:
    tenants = KeyTenants({hashlib.sha256(b"k").hexdigest(): "default"})
    with client(tenants, query_auth="key", query_keys="x") as api:
        refusal = api.get("/api/v1/query", params={"query": "up"})
        assert (refusal.status_code, refusal.headers["www-authenticate"]) == (401, "Bearer")
        header = {"Authorization": "Bearer k", "X-Scope-OrgID": "other"}
        answer = api.get("/api/v1/query", params={"query": "up"}, headers=header)
        assert len(answer.json()["data"]["result"]) == 2
        assert api.get("/-/healthy").status_code == 200


@pytest.mark.parametrize(
    "kind", ["Application/X-WWW-Form-Urlencoded", "application/x-www-form-urlencoded ; charset=UTF-8"]
)
def test_media_types_have_no_case(api: Client, kind: str) -> None:
    answer = api.post("/api/v1/query", content=b"query=1", headers={"Content-Type": kind})
    assert answer.json()["data"]["result"][1] == "1"


@pytest.mark.parametrize("path", ["//api/v1/query", "///api/v1/query"])
def test_a_base_url_may_end_in_a_slash(api: Client, path: str) -> None:
    # Written out: httpx takes two slashes for the beginning of a host.
    answer = api.get(f"http://testserver{path}", params={"query": "1"})
    assert answer.json()["data"]["result"][1] == "1"
    assert api.get("/").status_code == 200


class Broken(MemoryStore):
    """A store whose ClickHouse is away, or whose code has a bug."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> Any:
        raise self._error

    def ready(self) -> None:
        raise self._error


def test_a_store_that_is_away() -> None:
    with client(store=Broken(unavailable("ClickHouse does not answer"))) as api:
        status, body = ask(api, "/api/v1/query", query="up")
        assert (status, body["errorType"]) == (503, "unavailable")
        assert "TG-query-unavailable" in body["error"]
        assert api.get("/-/ready").status_code == 503
        assert api.get("/-/healthy").status_code == 200


def test_a_bug_shows_no_inside() -> None:
    with client(store=Broken(RuntimeError("secret"))) as api:
        status, body = ask(api, "/api/v1/query", query="up")
        assert (status, body["errorType"]) == (500, "internal")
        assert "secret" not in body["error"]


def test_a_query_that_takes_too_long() -> None:
    class Slow(MemoryStore):
        def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> Any:
            import time

            time.sleep(0.5)
            raise QueryError(500, "internal", "x", "too late")

    with client(store=Slow(), query_timeout_s=0.1) as api:
        status, body = ask(api, "/api/v1/query", query="up")
        assert (status, body["errorType"]) == (503, "timeout")
        assert "TG-query-timeout" in body["error"]


def test_what_grafana_and_people_look_at_first(api: Client) -> None:
    assert ask(api, "/api/v1/status/buildinfo")[1]["data"]["version"] == "3.5.0"
    assert api.get("/-/ready").text == "Tidegauge is ready.\n"
    assert [ask(api, "/api/v1/query", query=query, time=NOW / 1000)[0] for query in ("up", "up{")] == [200, 400]
    metrics = api.get("/metrics").text
    assert 'tidegauge_query_requests_total{code="200",handler="/api/v1/query"}' in metrics
    assert 'tidegauge_query_errors_total{id="TG-promql-parse"}' in metrics


def test_a_staleness_marker_is_never_an_answer(api: Client) -> None:
    query = 'up{job="db"}[5m]'
    found = ask(api, "/api/v1/query", query=query, time=NOW / 1000 + 180)[1]["data"]["result"]
    assert [value for _, value in found[0]["values"]] == ["1", "2"]
    assert STALE[0] != STALE[0]


def test_an_empty_answer_says_that_a_metric_is_a_distribution() -> None:
    store = MemoryStore()
    store.types = {
        ("default", "rpc_seconds"): "distribution",
        ("default", "up"): "gauge",
        ("other", "x"): "distribution",
    }
    at = {"time": NOW / 1000 + 60}
    span = {"start": NOW / 1000, "end": NOW / 1000 + 120, "step": 60}
    with client(store=store) as api:

        def told(query: str) -> list[list[str]]:
            answers = [ask(api, f"/api/v1/{name}", query=query, **more)[1] for name, more in asked]
            return [[one for one in answer.get("infos", []) if "TG-distribution" in one] for answer in answers]

        asked = [("query", at), ("query_range", span), ("query_range", span)]
        for query in ("rpc_seconds", 'quantile_over_time(0.9, rpc_seconds{a="b"}[5m])', "rpc_seconds + up"):
            for (info,) in told(query):
                assert info.startswith("rpc_seconds is a distribution, of which PromQL reads nothing: SQL has")
        for query in ("rpc_seconds or up", "up > 100", "x", "absent", "1"):
            assert told(query) == [[], [], []], query
        asked = [("query", at)]
        assert len(told("rpc_seconds[5m]")[0]) == 1


class Untold(MemoryStore):
    """Away when it is asked for types."""

    def metadata(self, tenant: str, metric: str, limit: int) -> list[tuple[str, str, str]]:
        raise unavailable("gone")


def test_an_empty_answer_stands_where_nobody_tells_its_type() -> None:
    with client(store=Untold()) as api:
        assert ask(api, "/api/v1/query", query="nothing")[0] == 200
