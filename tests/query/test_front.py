"""gzip and pages of other origins, as clients meet them."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from query.app import build
from query.cache import NoCache
from query.memory import MemoryStore
from query.sending import PIECE_BYTES
from query.settings import QuerySettings
from query.tenants import OpenTenants
from tests.query.client import Client

NOW = 1_714_608_000_000
SERIES = 2000
ALL = {"query": "cpu", "time": NOW / 1000}
PAGE = "https://board.example.org"


@pytest.fixture
def asking() -> Iterator[Callable[..., Client]]:
    store = MemoryStore()
    for host in range(SERIES):
        store.write("default", {"__name__": "cpu", "host": f"h{host:04}"}, [(NOW, host / 7)], NOW)
    opened: list[Client] = []

    def of(**settings: Any) -> Client:
        app = build(QuerySettings(**settings), store, NoCache(), OpenTenants("default"), lambda: NOW)
        opened.append(Client(app))
        return opened[-1]

    yield of
    for one in opened:
        one.__exit__()


def test_who_accepts_gzip_gets_the_same_answer_smaller(asking: Callable[..., Client]) -> None:
    client = asking()
    plain = client.get("/api/v1/query", params=ALL, headers={"Accept-Encoding": "identity"})
    packed = client.get("/api/v1/query", params=ALL, headers={"Accept-Encoding": "gzip"})
    assert len(plain.content) > 2 * PIECE_BYTES
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-length"] == str(len(plain.content))
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert packed.num_bytes_downloaded < len(plain.content) / 3
    assert len(plain.json()["data"]["result"]) == SERIES
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(("level", "encoding"), [(0, None), (1, "gzip"), (9, "gzip")])
def test_the_level_is_a_setting(asking: Callable[..., Client], level: int, encoding: str | None) -> None:
    answer = asking(query_gzip=level).get("/api/v1/query", params=ALL, headers={"Accept-Encoding": "gzip"})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["content-type"] == "application/json"


def test_small_answers_and_refusals_stay_as_they_are(asking: Callable[..., Client]) -> None:
    client = asking()
    for query, status in (("1", 200), ("cpu{", 400)):
        answer = client.get("/api/v1/query", params={"query": query}, headers={"Accept-Encoding": "gzip"})
        assert (answer.status_code, answer.headers.get("content-encoding")) == (status, None)


def test_a_level_is_of_0_to_9() -> None:
    for level in (-1, 10):
        with pytest.raises(ValidationError, match="query_gzip"):
            QuerySettings(query_gzip=level)


def test_an_origin_is_a_regular_expression() -> None:
    with pytest.raises(ValidationError, match="query_cors_origin"):
        QuerySettings(query_cors_origin="(")


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        ("", PAGE, False),
        (r"https://board\.example\.org", PAGE, True),
        (r"https://board\.example\.org", "https://board.example.org.evil.net", False),
        (r"https://.*\.example\.org", PAGE, True),
        (".*", "http://anything", True),
    ],
)
def test_a_page_of_another_origin_may_ask_where_it_is_allowed(
    asking: Callable[..., Client], allowed: str, origin: str, may: bool
) -> None:
    client = asking(query_cors_origin=re.compile(allowed))
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    before = client.options("/api/v1/query", headers={**asked, "Access-Control-Request-Headers": "x-scope-orgid"})
    assert (before.status_code == 200) == may
    answer = client.get("/api/v1/query", params={"query": "1"}, headers={"Origin": origin})
    assert answer.json()["status"] == "success"
    for one in (before, answer):
        assert (one.headers.get("access-control-allow-origin") in (origin, "*")) == may
