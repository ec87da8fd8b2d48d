"""@ end() is the request's end, wherever the last step lies."""

import pytest

from promql.parse import parse
from query.app import build
from query.cache import NoCache
from query.ending import ending
from query.memory import MemoryStore
from query.settings import QuerySettings
from query.tenants import OpenTenants
from tests.query.client import Client

S, M = 1000, 60_000
START = 1_714_608_000_000

PLANS = [
    ("m @ end()", "m @ 7"),
    ("m @ start() + m @ 5", "m @ start() + m @ 5"),
    ("rate(m[5m] @ end() offset 1m)", "rate(m[5m] @ 7 offset 1m)"),
    ("max_over_time(sum(m @ end())[5m:1m] @ end())", "max_over_time(sum(m @ 7)[5m:1m] @ 7)"),
    ("topk(scalar(m @ end()), -m @ end()) or 1 + n", "topk(scalar(m @ 7), -m @ 7) or 1 + n"),
]


@pytest.mark.parametrize(("text", "fixed"), PLANS)
def test_every_end_is_fixed(text: str, fixed: str) -> None:
    assert ending(parse(text), 7 * S) == parse(fixed)


def test_the_end_may_lie_behind_the_last_step() -> None:
    store = MemoryStore()
    store.write("default", {"__name__": "m"}, [(START + k * M, float(k)) for k in range(20)], START)
    with Client(build(QuerySettings(), store, NoCache(), OpenTenants("default"), lambda: START + 10 * M)) as api:
        for end, value in ((100, "1"), (130, "2"), (180, "3"), (199, "3"), (130, "2")):
            given = {"query": "m @ end()", "start": START // S, "end": START // S + end, "step": 50}
            (one,) = api.get("/api/v1/query_range", params={k: str(v) for k, v in given.items()}).json()["data"][
                "result"
            ]
            assert {found for _, found in one["values"]} == {value}
