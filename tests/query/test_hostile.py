"""Hostile strings through every parameter of every endpoint, on the real engine: refused or answered, never more."""

import itertools
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from query.app import of_settings
from query.settings import QuerySettings
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded
from tests.notation import parse_series
from tests.query.client import Client
from tests.query.test_store import START, M, write

DATABASE = "query_hostile"
SECRET = "theirs_secret"
STRINGS = (
    "'",
    '"',
    "\\",
    "\\'",
    "a\0b",
    "\0",
    "--",
    "/* */",
    "*/",
    "#",
    "`",
    "{",
    "}",
    "{}",
    "{x:String}",
    "{tenant:String}",
    "$1",
    "%00",
    "%27",
    "%s",
    "\n\r\t",
    "ü\U0001f600\u202e",
    "\ufeff",
    "'; DROP TABLE samples; --",
    "' OR '1'='1",
    "') UNION ALL SELECT * FROM samples --",
    "{__name__=~'.*'}",
    '{__name__=~".+"}',
    "file('/etc/passwd')",
    "(" * 200,
    "-" * 2000,
    "9" * 400,
    "-9223372036854775809",
    "1e308",
    "NaN",
    "Inf",
    "0x7fffffffffffffff",
    "999999999y",
    "9999-99-99T99:99:99Z",
    "true",
    "[",
    "x" * 20_000,
)
RANGE = {"query": "ours", "start": "1714608000", "end": "1714608060", "step": "60"}
VALID: dict[str, dict[str, str]] = {
    "/api/v1/query": {"query": "ours", "time": "1714608060", "timeout": "5s", "limit": "1", "lookback_delta": "1m"},
    "/api/v1/query_range": {**RANGE, "timeout": "5s", "limit": "1", "stats": "all"},
    "/v1/metrics/query": {**RANGE, "include_late_data": "1", "complete_only": "0", "as_of": ""},
    "/api/v1/series": {"match[]": "ours", "start": "0", "end": "1714708060", "limit": "5"},
    "/api/v1/labels": {"match[]": "ours", "start": "0", "end": "1714708060", "limit": "5"},
    "/api/v1/label/job/values": {"match[]": "ours", "start": "0", "end": "1714708060", "limit": "5"},
    "/api/v1/metadata": {"metric": "ours", "limit": "5", "limit_per_metric": "1"},
    "/api/v1/query_exemplars": {"query": "ours", "start": "0", "end": "1"},
    "/api/v1/format_query": {"query": "ours"},
    "/api/v1/rules": {"type": "alert"},
    "/api/v1/status/tsdb": {"limit": "3"},
}
INSIDE = (
    'ours{{job="{}"}}',
    "ours{{job=~'{}'}}",
    'ours{{"{}"="x"}}',
    '{{"{}"}}',
    "ours offset {}",
    "ours @ {}",
    "ours[{}]",
    "label_replace(ours, 'a', '{}', 'job', '.*')",
    "sum by ('{}') (ours)",
    "count_values('{}', ours)",
)


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    apply(embedded.endpoint(), "default", "", DATABASE)
    client = Clickhouse(embedded.endpoint(), database=DATABASE)
    write(client, "default", [parse_series('ours{job="a"} 1 2', M, START)])
    write(client, "theirs", [parse_series(f'{SECRET}{{job="{SECRET}"}} 1 2', M, START)])
    client.close()
    settings = QuerySettings(
        clickhouse=embedded.endpoint(),
        clickhouse_user=embedded.VIEWER[0],
        clickhouse_password=embedded.VIEWER[1],
        clickhouse_database=DATABASE,
        redis="",
        query_timeout_s=10,
    )
    with Client(of_settings(settings, lambda: START + 10 * M)) as one:
        yield one


def judge(api: Client, path: str, params: dict[str, str], **more: dict[str, str]) -> None:
    answer = api.get(f"{path}?{urlencode(params)}", **more)
    assert answer.status_code in (200, 400, 404, 422), (path, params, answer.text[:500])
    assert SECRET not in answer.text
    if answer.status_code in (400, 422):
        assert "[TG-" in answer.json()["error"]


@pytest.mark.parametrize("path", VALID)
def test_every_parameter(api: Client, path: str) -> None:
    assert api.get(path, params=VALID[path]).status_code == 200
    for name, text in itertools.product(VALID[path], STRINGS):
        judge(api, path, {**VALID[path], name: text})


def test_inside_a_query() -> None:
    # Most are refused by the parser; what passes must not fail in the engine.
    with Client(of_settings(QuerySettings(clickhouse=embedded.endpoint(), clickhouse_database=DATABASE, redis=""),
                            lambda: START + 10 * M)) as api:  # fmt: skip
        for form, text in itertools.product(INSIDE, STRINGS):
            judge(api, "/api/v1/query", {"query": form.format(text), "time": "1714608060"})


def test_names_of_labels_tenants_and_parameters(api: Client) -> None:
    for text in STRINGS[:-1]:
        judge(api, f"/api/v1/label/{quote(text, safe='')}/values", {})
        judge(api, "/api/v1/query", {"query": "ours", text: text})
        if text.isascii() and text.isprintable():
            judge(api, "/api/v1/query", {"query": "ours"}, headers={"X-Scope-OrgID": text})


def test_everything_is_still_there(api: Client) -> None:
    answer = api.get("/api/v1/query", params={"query": "sum(ours)", "time": "1714608060"})
    assert answer.json()["data"]["result"][0]["value"][1] == "2"
