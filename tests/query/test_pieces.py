"""Parts of a range, put together: no more of them than an evaluation of the whole may have."""

from collections.abc import Sequence

import numpy as np
import pytest

from promql.result import Vector
from query.app import build
from query.blocks import Steps
from query.cache import NoCache
from query.errors import QueryError
from query.memory import MemoryStore
from query.pieces import join
from query.settings import QuerySettings
from query.tenants import OpenTenants
from tests.query.client import Client, ask

H, M = 3_600_000, 60_000
NOW = 1_714_608_000_000


def piece(first: int, last: int, rows: dict[str, str]) -> tuple[Steps, Vector]:
    """Return steps, and series by name: x where there is a value, which is the step."""
    present = np.array([[cell == "x" for cell in row] for row in rows.values()], np.bool_)
    values = np.where(present, np.arange(first, last + 1.0), 0)
    return Steps(first, last, 1), Vector([{"i": name} for name in rows], values, present)


# (pieces, series of the steps 2 to 5)
@pytest.mark.parametrize(
    ("pieces", "want"),
    [
        ([piece(0, 3, {"a": "xxxx"}), piece(4, 7, {"a": "xxxx"})], {"a": "xxxx"}),
        ([piece(0, 3, {"a": "xxx_"}), piece(4, 7, {"b": "_xxx"})], {"a": "x___", "b": "___x"}),
        ([piece(4, 5, {"a": "xx"})], {"a": "__xx"}),
        # Beyond the steps: of no answer.
        ([piece(0, 3, {"a": "xx__", "b": "xxxx"}), piece(6, 7, {"c": "xx"})], {"b": "xx__"}),
    ],
)
def test_what_is_wanted_of_pieces(pieces: Sequence[tuple[Steps, Vector]], want: dict[str, str]) -> None:
    cells = 4 * len(want)
    found = join(pieces, Steps(2, 5, 1), cells)
    rows = ["".join("x" if there else "_" for there in row) for row in found.present.tolist()]
    assert dict(zip([one["i"] for one in found.labels], rows, strict=True)) == want
    assert (found.values == np.where(found.present, np.arange(2, 6.0), 0)).all()
    with pytest.raises(QueryError, match=f"{len(want)} series x 4 steps are more than {cells - 1}") as caught:
        join(pieces, Steps(2, 5, 1), cells - 1)
    assert (caught.value.status, caught.value.id) == (422, "TG-query-cells")


def test_a_cached_answer_is_refused_as_a_fresh_one_is() -> None:
    store = MemoryStore()
    for number in range(5):
        samples = [(NOW - k * M, 1.0) for k in range(200)]
        store.write("default", {"__name__": "m", "i": str(number)}, samples, NOW)
    app = build(QuerySettings(query_max_cells=400), store, NoCache(), OpenTenants("default"), lambda: NOW + 9 * H)

    def asked(first: int, last: int) -> int:
        steps = {"start": (NOW - first * M) / 1000, "end": (NOW - last * M) / 1000, "step": 60}
        return ask(api, "/api/v1/query_range", query="m", **steps)[0]

    with Client(app) as api:
        fresh = asked(159, 0)
        parts = [asked(first, first - 39) for first in range(159, 0, -40)]
        assert (fresh, parts, asked(159, 0), asked(79, 0)) == (422, [200] * 4, 422, 200)
