"""The comparison accepts what the rollup makes of the data, and sees every kind of fault."""

from typing import Any

import numpy as np
import pytest

from bench import compare
from bench.compare import Columns, Generated
from bench.hosts import Values, Workload
from schemas.frame import Frame
from udfs.rollup.rows import rollup
from udfs.rollup.window import split

METRIC = "node_cpu_seconds_total"


def generated(values: Values) -> Generated:
    load = Workload.of_samples(
        3 * 40 * 18, 3, 40, interval_ms=10_000, end_ms=1_700_000_040_000, values=values, tenant="t"
    )
    return Generated.of(load).metric(METRIC)


def stored(data: Generated) -> dict[str, Any]:
    return {
        "series_id": np.repeat(data.ids, len(data.timestamps)),
        "ts": np.tile(data.timestamps, len(data.ids)),
        "value": data.values.T.reshape(-1).copy(),
    }


def rolled(data: Generated) -> dict[str, Any]:
    """Return rollup columns, made by the rollup job's own function, in ClickHouse's order."""
    frame = Frame("t", 0, [METRIC], np.zeros(len(data.ids), np.uint32), data.ids, data.timestamps, data.values)
    parts = [rollup([pane], start) for start, pane in split(frame, 60_000)]
    rows = [part for part in parts if part is not None]
    order = np.lexsort(
        (np.concatenate([np.full(len(r), r.window) for r in rows]), np.concatenate([r.series_ids for r in rows]))
    )
    names = ("count", "sum", "sum_sq", "min", "max", "first", "last", "increase")
    columns = {name: np.concatenate([getattr(r, name) for r in rows])[order] for name in names}
    states = [bytes(r.digest[a:b]) for r in rows for a, b in zip(r.digest_offsets, r.digest_offsets[1:], strict=False)]
    states = [states[place] for place in order]
    return columns | {
        "series_id": np.concatenate([r.series_ids for r in rows])[order],
        "ts": np.concatenate([np.full(len(r), r.window) for r in rows])[order],
        "digest": np.frombuffer(b"".join(states), dtype=np.uint8).copy(),
        "digest_offsets": np.cumsum([0, *(len(state) for state in states)]),
    }


@pytest.mark.parametrize("values", ["integers", "decimals"])
def test_what_the_rollup_makes_is_right(values: Values) -> None:
    data = generated(values)
    assert len(data.ids) > 3 * 8
    assert compare.samples(data, stored(data)) == []
    assert compare.rollups(data, rolled(data), 60_000) == []


@pytest.mark.parametrize("column", ["series_id", "ts", "value"])
def test_one_wrong_sample_is_seen(column: str) -> None:
    data = generated("decimals")
    got = stored(data)
    got[column][7] += 1
    assert [line.split(":")[0] for line in compare.samples(data, got)] == [column]


def test_a_missing_sample_is_seen() -> None:
    data = generated("integers")
    got: Columns = {name: column[1:] for name, column in stored(data).items()}
    assert "samples instead of" in compare.samples(data, got)[0]


@pytest.mark.parametrize(
    "column", ["series_id", "ts", "count", "sum", "sum_sq", "min", "max", "first", "last", "increase"]
)
def test_one_wrong_rollup_cell_is_seen(column: str) -> None:
    data = generated("decimals")
    got = rolled(data)
    cell = got[column][7:8]
    # By a unit, or for a sum by one part in 10^13: less than that is rounding.
    got[column][7] = cell[0] * (1 + 1e-13) if column in ("sum", "sum_sq") else cell[0] + cell.dtype.type(1)
    assert [line.split(":")[0] for line in compare.rollups(data, got, 60_000)] == [column]


@pytest.mark.parametrize("byte", [0, 1, 6])
def test_one_wrong_digest_byte_is_seen(byte: int) -> None:
    data = generated("decimals")
    got = rolled(data)
    got["digest"][got["digest_offsets"][7] + byte] ^= 0x10
    assert any(line.startswith("digest") for line in compare.rollups(data, got, 60_000))


@pytest.mark.parametrize(("shift", "wrong"), [(0.0, 0), (0.01, 0), (-0.01, 0), (0.05, 2), (-0.05, 3)])
def test_quantiles_by_rank(shift: float, wrong: int) -> None:
    values = np.tile(np.arange(1001.0)[:, None], (1, 4))
    levels = (0.5, 0.95, 0.99)
    got = np.array([[1000 * min(1.0, level + shift) for level in levels]] * 4)
    assert len(compare.quantiles(values, levels, got, bound=0.02)) == wrong
