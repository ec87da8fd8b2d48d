"""While ClickHouse is away: what the cache held last, with a warning, and nothing made up."""

from typing import Any

import numpy as np
import pytest

from query.app import build
from query.blocks import HOUR_MS
from query.completeness import Completeness
from query.errors import timeout, unavailable
from query.memory import MemoryStore
from query.settings import QuerySettings
from query.store import Versions, Written
from query.tenants import OpenTenants
from query.view import EVERYTHING, View
from schemas.tiers import MINUTE, Tier
from tests.query.client import Client
from tests.query.test_guarantee import DictCache

H, M = HOUR_MS, 60_000
START = 1_714_608_000_000
NOW = START + 5 * H


class Leaving(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.completeness_too = True
        self.written_too = True

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> Any:
        self._answer()
        return super().source(tenant, steps, view)

    def versions(
        self, tenant: str, metrics: Any, start_ms: int, end_ms: int, written: Written | None = None
    ) -> Versions:
        self._answer()
        return super().versions(tenant, metrics, start_ms, end_ms)

    def written(self) -> Written | None:
        if self.written_too:
            self._answer()
        return super().written()

    def completeness(
        self, tenant: str, now_ms: int, tier: Tier = MINUTE, written: Written | None = None
    ) -> Completeness | None:
        if self.completeness_too:
            self._answer()
        return super().completeness(tenant, now_ms)


@pytest.fixture
def parts() -> tuple[Leaving, DictCache, Client]:
    store, cache = Leaving(), DictCache()
    stamps = np.arange(START, NOW, M).tolist()
    store.write("default", {"__name__": "m"}, [(at, float(k)) for k, at in enumerate(stamps)], NOW)
    return store, cache, Client(build(QuerySettings(), store, cache, OpenTenants("default"), lambda: NOW))


def ask(api: Client, first: int, last: int, **more: Any) -> tuple[int, Any]:
    params = {"query": "m", "start": first / 1000, "end": last / 1000, "step": 60, **more}
    answer = api.get("/api/v1/query_range", params=params, headers=more.pop("headers", None))
    return answer.status_code, answer.json()


def test_the_last_blocks_are_served_with_a_warning(parts: tuple[Leaving, DictCache, Client]) -> None:
    store, _, client = parts
    with client as api:
        before = ask(api, START + H, NOW)[1]["data"]["result"][0]["values"]
        store.error = unavailable("gone")
        status, body = ask(api, START + H, NOW)
        assert status == 200
        held = body["data"]["result"][0]["values"]
        # Four hours were asked; the newest twenty minutes are no finished block.
        assert held == before[:220]
        assert (
            "220 of 241 steps are from the cache and may be outdated; the others are missing [TG-query-stale]"
            in (body["warnings"][0])
        )
        whole = ask(api, START + H, START + 2 * H - M)[1]
        assert "60 of 60 steps" in whole["warnings"][0] and "missing" not in whole["warnings"][0]


def test_what_was_never_cached_is_not_there(parts: tuple[Leaving, DictCache, Client]) -> None:
    store, cache, client = parts
    with client as api:
        ask(api, START + H, NOW)
        store.error = unavailable("gone")
        for more in ({"query": "m + 1"}, {"step": 120}, {"complete_only": "1"}, {"include_late_data": "1"}):
            status, body = ask(api, START + H, NOW, **more)
            assert (status, body["errorType"]) == (503, "unavailable"), more
        other = api.get("/api/v1/query_range", params={"query": "m", "start": START / 1000 + 3600, "end": NOW / 1000,
                        "step": 60}, headers={"X-Scope-OrgID": "other"})  # fmt: skip
        assert other.status_code == 503
        assert ask(api, START, START + 30 * M)[0] == 503
        cache.held.clear()
        assert ask(api, START + H, NOW)[0] == 503


def test_a_slow_clickhouse_is_not_an_absent_one(parts: tuple[Leaving, DictCache, Client]) -> None:
    store, _, client = parts
    with client as api:
        ask(api, START + H, NOW)
        store.error = timeout(30)
        for store.completeness_too in (True, False):
            assert ask(api, START + H, NOW)[1]["errorType"] == "timeout"


def test_what_may_be_outdated_is_not_kept(parts: tuple[Leaving, DictCache, Client]) -> None:
    store, _, client = parts
    with client as api:
        ask(api, START + H, NOW)
        store.write("default", {"__name__": "m"}, [(START + 2 * H + 1, 7.0)], NOW)
        # It goes away between the first word of it and the data.
        store.error, store.written_too = unavailable("away"), False
        assert "TG-query-stale" in ask(api, START + H, NOW)[1]["warnings"][0]
        store.error = None
        assert "warnings" not in ask(api, START + H, NOW)[1]
