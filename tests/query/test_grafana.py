"""What Grafana's Prometheus data source sends, request by request, and what it must get: status and `data` as JSON."""

import json
from collections.abc import Iterator

import pytest

from query.app import build
from query.cache import NoCache
from query.memory import MemoryStore
from query.settings import QuerySettings
from query.tenants import OpenTenants
from tests.notation import parse_series
from tests.query.client import Client

NOW = 1_714_608_000_000
# Forms are sent in the body, as the data source does by default; a dashboard's times come with milliseconds.
ASKED = """
# "Save & test", and what it asks once to learn what it talks to
POST /api/v1/query?query=1%2B1&time=4 -> 200 {"resultType":"scalar","result":[4,"2"]}
GET  /api/v1/status/buildinfo -> 200 {"version":"3.5.0",*
# panels: a graph, a stat, a table, a query being typed
POST /api/v1/query_range?query=up&start=1714608000&end=1714608060&step=60 -> 200 {"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"api"},"values":[[1714608000,"1"],[1714608060,"1"]]},{"metric":{"__name__":"up","job":"db"},*
POST /api/v1/query_range?query=sum(rate(hits_total[1m15s]))&start=1714608120.000&end=1714608240.000&step=15 -> 200 {"resultType":"matrix","result":[{"metric":{},"values":[[1714608120,*
GET  /api/v1/query_range?query=up%7Bjob%3D%22db%22%7D&start=1714608000&end=1714608000&step=15 -> 200 {"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"db"},"values":[[1714608000,"0"]]}]}
POST /api/v1/query?query=count%20by%20(job)%20(up)&time=1714608060.123 -> 200 {"resultType":"vector","result":[{"metric":{"job":"api"},"value":[1714608060.123,"1"]},*
POST /api/v1/query_range?query=up%7B&start=1714608000&end=1714608060&step=60 -> 400 bad_data
POST /api/v1/query_range?query=nothing&start=1714608000&end=1714608060&step=60 -> 200 {"resultType":"matrix","result":[]}
# exemplars of a panel that has them switched on
POST /api/v1/query_exemplars?query=hits_total&start=1714608000&end=1714608060 -> 200 []
# whether there may be any: asked with times in milliseconds, which must not be refused
GET  /api/v1/query_exemplars?query=test&start=1714606200000&end=1714608000000 -> 200 []
# the query builder: names, labels, values, series, types
GET  /api/v1/label/__name__/values?start=1714608000&end=1714608240 -> 200 ["hits_total","up"]
GET  /api/v1/label/__name__/values?start=1714608000&end=1714608240&limit=40000&match[]=%7Bjob%3D%22api%22%7D -> 200 ["hits_total","up"]
GET  /api/v1/label/job/values?start=1714608000&end=1714608240&match[]=up&limit=40000 -> 200 ["api","db"]
POST /api/v1/labels?start=1714608000&end=1714608240&match[]=up&limit=40000 -> 200 ["__name__","job"]
GET  /api/v1/labels?start=1714608000&end=1714608240 -> 200 ["__name__","job"]
POST /api/v1/series?start=1714608000&end=1714608240&match[]=up&match[]=hits_total&limit=40000 -> 200 [{"__name__":"hits_total","job":"api"},{"__name__":"up","job":"api"},{"__name__":"up","job":"db"}]
GET  /api/v1/metadata?limit=40000 -> 200 {"hits_total":[{"type":"unknown","help":"","unit":""}],*
POST /api/v1/format_query?query=sum(up)by(job) -> 200 "sum by (job) (up)"
# variables: label_values(up, job), query_result(…), metrics(…)
GET  /api/v1/label/job/values?match[]=up&start=1714608000.123&end=1714608240.456 -> 200 ["api","db"]
GET  /api/v1/query?query=up%20%3D%3D%200&time=1714608060 -> 200 {"resultType":"vector","result":[{"metric":{"__name__":"up","job":"db"},"value":[1714608060,"0"]}]}
# alerting: rules and alerts of the data source
GET  /api/v1/rules -> 200 {"groups":[]}
GET  /api/v1/rules?type=alert -> 200 {"groups":[]}
GET  /api/v1/alerts -> 200 {"alerts":[]}
# what Prometheus 3.5 has and this service has not: said as such, not as an answer
GET  /api/v1/status/config -> 404
POST /api/v1/write -> 404
"""  # noqa: E501 - one request a line
LINES = [line for line in ASKED.strip().splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    store = MemoryStore()
    for line in ('up{job="api"} 1x16', 'up{job="db"} 0x16', 'hits_total{job="api"} 0+15x16'):
        labels, stamps, values = parse_series(line, 15_000, NOW)
        store.write("default", labels, list(zip(stamps.tolist(), values, strict=True)), NOW)
    with Client(build(QuerySettings(), store, NoCache(), OpenTenants("default"), lambda: NOW + 240_000)) as one:
        yield one


@pytest.mark.parametrize("line", LINES)
def test_what_grafana_sends(api: Client, line: str) -> None:
    request, _, wanted = line.partition(" -> ")
    method, path = request.split()
    status, _, data = wanted.partition(" ")
    # What a data source is told to send along, and what its proxy adds.
    headers = {"X-Grafana-Org-Id": "1", "X-Dashboard-Uid": "d", "X-Panel-Id": "4", "User-Agent": "Grafana/12.3.0"}
    if method == "POST":
        path, _, form = path.partition("?")
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = api.post(path, content=form, headers=headers)
    else:
        answer = api.get(path, headers=headers)
    assert str(answer.status_code) == status, answer.text
    if status == "400":
        assert answer.json()["errorType"] == data
    elif status == "200":
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert body["status"] == "success"
        got = json.dumps(body["data"], separators=(",", ":"))
        assert got.startswith(data[:-1]) if data.endswith("*") else got == data
