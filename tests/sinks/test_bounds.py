"""Rows between two times, where a second holds more rows than a granule: the index may leave out none of them."""

from collections.abc import Iterator

import pytest

from schemas import spans
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded

DATABASE = "bounds"
START_S = 1_796_119_287
SECONDS = 20
# Not a multiple of a granule, which therefore begin anywhere in a second.
A_SECOND = 7_000
SPAN_MS = 1000 * SECONDS
FILL = f"""
INSERT INTO samples (tenant, metric, series_id, ts, digits, divisor)
SELECT 'acme', 'up', number % 7, fromUnixTimestamp64Milli({START_S}000 + intDiv(number, 7) + 1, 'UTC'), 1, 1
FROM numbers({A_SECOND * SECONDS})
"""


@pytest.fixture(scope="module")
def samples() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", DATABASE)
    one = Clickhouse(embedded.endpoint(), database=DATABASE)
    one.command(FILL)
    yield one
    one.close()


def count(samples: Clickhouse, where: str, **bounds: int) -> int:
    found = samples.query(f"SELECT count() AS n FROM samples WHERE tenant = 'acme' AND {where}", bounds)
    return int(found["n"][0].as_py())


@pytest.mark.parametrize("second", range(1, SECONDS, 3))
def test_what_reads_samples_reads_all_within_its_bounds(samples: Clickhouse, second: int) -> None:
    at = (START_S + second) * 1000
    assert count(samples, spans.WITHIN, start=at, end=START_S * 1000 + SPAN_MS) == A_SECOND * (SECONDS - second)
    assert count(samples, spans.WITHIN, start=START_S * 1000, end=at) == A_SECOND * second


@pytest.mark.parametrize("second", range(1, SECONDS, 3))
def test_so_do_the_bounds_of_the_documented_queries(samples: Clickhouse, second: int) -> None:
    """Not `>` and `<`: ClickHouse takes whole seconds for whole numbers there, and leaves out what lies within one."""
    bound = f"toDateTime({START_S + second}, 'UTC')"
    assert count(samples, f"ts >= {bound}") == A_SECOND * (SECONDS - second) + 7
    assert count(samples, f"ts <= {bound}") == A_SECOND * second
