"""A dashboard's data straight into ClickHouse, as the jobs would have left it: samples, series, rows of every tier."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from bench.beside import Beside
from bench.panels import HOUR_MS, SCRAPE_MS, Data
from load.block import series_rows
from schemas.rollups import Rollups
from schemas.tiers import TIERS, Tier
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.versions import raise_versions, touched
from udfs.rollup.merge import merge
from udfs.rollup.rows import rollup
from udfs.rollup.window import within

_MINUTE, _FIVE, _HOUR, _DAY = TIERS
_WINDOWS_A_BLOCK = 60
_PARTS = 15


def samples(clickhouse: Clickhouse, data: Data, progress: Callable[[str], None]) -> None:
    """Write the raw hours, and the series as of the time before them."""
    first, last = int(data.old_stamps[0]), int(data.stamps[-1])
    # last_seen is rounded up to the hour by the writer, see query/sql.py.
    seen = -(-last // HOUR_MS) * HOUR_MS
    listed = [(int(one), series, first, seen) for one, series in zip(data.ids, data.series, strict=True)]
    clickhouse.insert("series", series_rows(data.tenant, listed))
    hours = range(int(data.stamps[0]) // HOUR_MS * HOUR_MS, last + 1, HOUR_MS)
    for number, hour in enumerate(hours, 1):
        progress(f"samples: hour {number} of {len(hours)}")
        block = rows.samples([data.frame(hour, hour + HOUR_MS)])
        clickhouse.insert("samples", block)
        raise_versions(clickhouse, touched(block), time.time_ns())


def tiers(clickhouse: Clickhouse, data: Data, until_ms: int, progress: Callable[[str], None]) -> None:
    """Write the rows of all windows that end by until_ms: minutes and five minutes of the raw hours, hours and days."""
    begin = int(data.stamps[0]) // HOUR_MS * HOUR_MS
    old = int(data.old_stamps[0]) // HOUR_MS * HOUR_MS
    minutes = _rolled(data, _MINUTE, begin, until_ms, progress)
    fives = _written(clickhouse, _FIVE, _merged(_written(clickhouse, _MINUTE, minutes), _FIVE, until_ms))
    hours = [*_rolled(data, _HOUR, old, begin, progress), *_merged(fives, _HOUR, until_ms)]
    days = _merged(_written(clickhouse, _HOUR, iter(hours)), _DAY, until_ms)
    for _ in _written(clickhouse, _DAY, days):
        pass


def closed(clickhouse: Clickhouse, data: Data, until_ms: int) -> None:
    """Say of every tier that its windows up to until_ms are closed, all hosts seen in them."""
    hosts = np.unique(np.array([hash(dict(one.labels)["host"]) & 0xFFFF for one in data.series], np.uint64))
    for tier in TIERS:
        last = within(until_ms, tier.width_ms) - tier.width_ms
        first = within(last - 2 * HOUR_MS, tier.width_ms)
        told = [rows.completeness(data.tenant, tier.name, at, hosts) for at in range(first, last + 1, tier.width_ms)]
        clickhouse.insert("completeness", pa.concat_tables(told).unify_dictionaries())


@contextmanager
def arriving(clickhouse: Clickhouse, data: Data) -> Iterator[None]:
    """Write a scrape of a part of the series each second, the same rows that are there already, while this is open."""

    def write(done: threading.Event) -> None:
        turn = 0
        while not done.wait(1.0):
            end = time.time_ns() // 1_000_000
            part = rows.samples([data.frame(end - SCRAPE_MS, end)])
            clickhouse.insert("samples", part.slice(turn % _PARTS * part.num_rows // _PARTS, part.num_rows // _PARTS))
            turn += 1

    with Beside("the writer", write):
        yield


def _rolled(data: Data, tier: Tier, begin_ms: int, end_ms: int, progress: Callable[[str], None]) -> Iterator[Rollups]:
    starts = range(begin_ms, end_ms - tier.width_ms + 1, tier.width_ms)
    for number, start in enumerate(starts, 1):
        progress(f"rows of {tier.name}: {number} of {len(starts)} windows")
        if (made := rollup([data.frame(start, start + tier.width_ms)], start)) is not None:
            yield made


def _merged(fine: Iterator[Rollups], tier: Tier, until_ms: int) -> Iterator[Rollups]:
    """Yield the tier's whole windows that end by until_ms."""
    held: list[Rollups] = []
    for one in fine:
        if held and within(one.window, tier.width_ms) != within(held[0].window, tier.width_ms):
            yield merge(held, within(held[0].window, tier.width_ms))
            held = []
        held.append(one)
    if held and within(held[0].window, tier.width_ms) + tier.width_ms <= until_ms:
        yield merge(held, within(held[0].window, tier.width_ms))


def _written(clickhouse: Clickhouse, tier: Tier, made: Iterator[Rollups]) -> Iterator[Rollups]:
    """Yield what was made; it is in the tier's table when all was taken."""
    held: list[Rollups] = []
    for one in made:
        held.append(one)
        yield one
        if len(held) == _WINDOWS_A_BLOCK:
            _insert(clickhouse, tier, held)
            held = []
    if held:
        _insert(clickhouse, tier, held)


def _insert(clickhouse: Clickhouse, tier: Tier, made: Sequence[Rollups]) -> None:
    tables = [rows.rollup(one) for one in made]
    clickhouse.insert(tier.table, rows.ordered(pa.concat_tables(tables).unify_dictionaries()))
