"""What begins before raw does: at instants, on steps that no tier has closed, and where a part is nowhere any more."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promql.columns import Selector
from promql.memory import MemoryRows, MemorySource, columns
from promql.parse import parse
from promql.tiers import Rows
from query.app import build
from query.blocks import Steps
from query.cache import NoCache
from query.chain import Chain, rolled
from query.completeness import Completeness
from query.memory import MemoryStore
from query.ranges import Ranges
from query.settings import QuerySettings
from query.tenants import OpenTenants
from query.view import DAY_MS, EVERYTHING, View
from schemas.tiers import Tier
from tests.query.client import Client
from tests.query.test_tiers import alike, cells

S, M, H = 1000, 60_000, 3_600_000
NOW = 1_800_000_000_000 // DAY_MS * DAY_MS + 10 * H
FIELDS = frozenset(("count", "sum", "min", "max", "first", "last", "first_ts", "last_ts", "increase"))


class Forgetful(MemoryStore):
    """Raw samples of two days; of tiers what was closed."""

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> MemorySource:
        held = super().source(tenant, steps, view)._series
        return MemorySource((labels, ts[ts > NOW - 2 * DAY_MS], vs[ts > NOW - 2 * DAY_MS]) for labels, ts, vs in held)

    def rolled(self, tenant: str, steps: int, tier: Tier) -> MemoryRows:
        complete = self.completeness(tenant, NOW, tier)
        until = 0 if complete is None else complete.until_ms
        held = super().rolled(tenant, steps, tier)._series
        return MemoryRows(
            ((labels, [one for one in samples if one[0] <= until]) for labels, samples in held), tier.width_ms
        )


def filled(store: MemoryStore, closed_ms: int | None) -> MemoryStore:
    """Ten days of two counters, a sample each ten minutes, one of them with resets."""
    stamps = range(NOW - 10 * DAY_MS + 7 * S, NOW, 10 * M)
    store.write("t", {"__name__": "m", "h": "a"}, [(at, float(k)) for k, at in enumerate(stamps)], NOW)
    store.write("t", {"__name__": "m", "h": "b"}, [(at, float(k % 50)) for k, at in enumerate(stamps)], NOW)
    if closed_ms is not None:
        store.complete["t"] = Completeness(closed_ms, 1, 1)
    return store


def asked(store: MemoryStore, path: str, **given: object) -> dict[str, Any]:
    with Client(build(QuerySettings(query_tenant="t"), store, NoCache(), OpenTenants("t"), lambda: NOW)) as api:
        body: dict[str, Any] = api.get(path, params={name: str(value) for name, value in given.items()}).json()
        return body


def ids(body: dict[str, Any]) -> list[str]:
    return [info.rpartition("[")[2][:-1] for info in body.get("infos", []) if "TG-tier" in info]


# query, time, at which it is taken, what is said
INSTANTS = [
    ("raw has it", 'increase(m{h="a"}[1d])', NOW, NOW, []),
    ("not aligned, and raw has it", 'increase(m{h="a"}[1d])', NOW + 1, NOW + 1, []),
    ("raw has a part", 'increase(m{h="a"}[7d])', NOW, NOW, []),
    ("raw has nothing", 'increase(m{h="a"}[1d])', NOW - 4 * DAY_MS, NOW - 4 * DAY_MS, []),
    ("a selector", 'm{h="a"}', NOW - 4 * DAY_MS + 61 * M, NOW - 4 * DAY_MS + 61 * M, []),
    ("not aligned", 'increase(m{h="a"}[7d])', NOW - 2 * H + 23 * S, NOW - 2 * H, ["TG-tier-time"]),
    ("a scalar", 'scalar(increase(m{h="a"}[7d]))', NOW + 23 * S, NOW, ["TG-tier-time"]),
    ("no tier can", 'resets(m{h="b"}[7d])', NOW, NOW, ["TG-tier-kept"]),
    ("nor at any time", 'increase(m{h="a"}[10090s])', NOW - 4 * DAY_MS, NOW - 4 * DAY_MS, ["TG-tier-kept"]),
]


@pytest.mark.parametrize(("query", "at", "taken", "said"), [row[1:] for row in INSTANTS], ids=[r[0] for r in INSTANTS])
def test_an_instant_is_what_the_samples_say_or_says_what_it_lacks(
    query: str, at: int, taken: int, said: list[str]
) -> None:
    got = asked(filled(Forgetful(), NOW - 33 * M), "/api/v1/query", query=query, time=at / S)
    assert ids(got) == said
    if "TG-tier-kept" not in said:
        whole = filled(MemoryStore(), None)
        assert got["data"] == asked(whole, "/api/v1/query", query=query, time=taken / S, include_late_data=1)["data"]
        assert got["data"]["result"]


@pytest.mark.parametrize(
    ("query", "more"),
    [("m[3d]", {}), ("increase(m[7d])", {"include_late_data": "1"}), ("increase(m[7d])", {"as_of": str(NOW // S)})],
)
def test_raw_alone_says_what_it_lacks(query: str, more: dict[str, str]) -> None:
    store = filled(Forgetful(), NOW)
    assert "TG-tier-kept" in ids(asked(store, "/api/v1/query", query=query, time=NOW // S, **more))


def test_an_instant_stays_where_it_is_while_no_tier_has_closed_anything() -> None:
    got = asked(filled(Forgetful(), None), "/api/v1/query", query="increase(m[7d])", time=(NOW + 23 * S) / S)
    assert ids(got) == ["TG-tier-kept"]
    assert got["data"]["result"][0]["value"][0] == (NOW + 23 * S) / S


QUERIES = ["increase(m[7d])", "avg_over_time(m[3d])", "sum(rate(m[5d] offset 1h))", "max_over_time(m[2d]) - m"]


@pytest.mark.parametrize("closed", [0, 3 * M, 90 * M, 30 * H])
@pytest.mark.parametrize("step", [10 * M, H])
@pytest.mark.parametrize("query", QUERIES)
def test_the_right_edge_of_a_graph_reads_both(query: str, step: int, closed: int) -> None:
    steps = Steps(NOW - 3 * H, NOW + 3 * H, step)
    got = Ranges(filled(Forgetful(), NOW - closed), NoCache(), 5 * M, 6 * M).answer("t", parse(query), steps, NOW)
    whole = Ranges(filled(MemoryStore(), None), NoCache(), 5 * M, 6 * M)
    assert alike(cells(got.value), cells(whole.answer("t", parse(query), steps, NOW, View(late_data=True)).value))
    assert not [info for info in got.infos if "TG-tier" in info]


def test_what_neither_has_is_told() -> None:
    store = filled(Forgetful(), NOW - 3 * DAY_MS)
    got = Ranges(store, NoCache(), 5 * M, 6 * M).answer("t", parse("sum(m)"), Steps(NOW - 5 * DAY_MS, NOW, H), NOW)
    (info,) = got.infos
    assert "earlier data that no tier has closed are left out [TG-tier-kept]" in info
    before = Steps(NOW - 5 * DAY_MS, NOW - 4 * DAY_MS, H)
    assert Ranges(store, NoCache(), 5 * M, 6 * M).answer("t", parse("sum(m)"), before, NOW).infos == []


SAMPLES = st.dictionaries(st.integers(1, 900), st.sampled_from([0.0, 1.0, 5.0, 2.5, float("nan"), float("inf")]))


@given(st.lists(SAMPLES, max_size=3), st.integers(0, 15))
def test_samples_make_the_rows_that_a_tier_has(found: list[dict[int, float]], closed: int) -> None:
    series = [({"h": str(k)}, sorted((at * S, value) for at, value in one.items())) for k, one in enumerate(found)]
    held = [(one, np.array([at for at, _ in s], np.int64), np.array([v for _, v in s])) for one, s in series]
    numbers = [(one, [(at, value) for at, value in samples if not math.isnan(value)]) for one, samples in series]
    minutes = MemoryRows(numbers, M)
    everything = Selector("", (), 0, 900 * S)
    with np.errstate(all="ignore"):
        assert same(rolled(columns(held), M, FIELDS), minutes.rows(everything, FIELDS))
        chain = Chain([(minutes, closed * M)], MemorySource(held))
        assert same(chain.rows(everything, FIELDS), minutes.rows(everything, FIELDS))


def same(got: Rows, expected: Rows) -> bool:
    def told(rows: Rows) -> dict[str, list[list[float]]]:
        pairs = zip(rows.labels, rows.offsets[:-1], rows.offsets[1:], strict=True)
        return {
            one["h"]: [rows.ends[low:high].tolist(), *(rows.fields[name][low:high].tolist() for name in sorted(FIELDS))]
            for one, low, high in pairs
        }

    return repr(told(got)) == repr(told(expected))
