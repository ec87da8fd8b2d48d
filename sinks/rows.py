"""Columns into Arrow tables as ClickHouse takes them: one function a table.

Blocks come sorted in the table's own order: ClickHouse then sorts nothing, and equal input gives equal bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.batch import Series
from schemas.columns import UInt64s, points
from schemas.frame import Frame
from schemas.names import Codes, united
from schemas.rollups import Rollups
from schemas.runs import first_of_run
from schemas.spans import SPAN_MS
from sinks.accounts import accounts, growth
from sinks.coded import coded
from sinks.records import alert_events, rejections

_STAMP = pa.timestamp("ms", tz="UTC")
_SECOND = pa.timestamp("s", tz="UTC")
_LABELS = pa.map_(pa.string(), pa.string())
_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


def _dictionary(codes: Codes, names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32, copy=False)), pa.array(names, pa.string()))


def _constant(name: str, rows: int) -> pa.DictionaryArray:
    return _dictionary(np.zeros(rows, np.int32), [name])


def samples(frames: Sequence[Frame], by_span: bool = True) -> pa.Table:
    """Return the rows of table samples, sorted as it is: by (tenant, metric, span, series id, ts).

    by_span False: by (tenant, metric, series id, ts).
    Repeats of a sample stay in: the table's engine drops them.
    """
    tenants, metrics, heads, rank = _ranked(frames)
    # Times are few where frames are dense: samples have the place of theirs among them until they are in order.
    times = np.unique(np.concatenate([frame.timestamps for frame in frames]))
    parts = [points(np.searchsorted(times, frame.timestamps), frame.values, frame.index) for frame in frames]
    start = np.cumsum([0] + [len(frame.series_ids) for frame in frames])
    series = np.concatenate([rank[first:][index] for first, (index, _, _) in zip(start, parts, strict=False)])
    time = np.concatenate([part[1] for part in parts])
    values = np.concatenate([part[2] for part in parts])
    keys = [time, series]
    if by_span and len(np.unique(spans := times // SPAN_MS)) > 1:
        names = np.cumsum(first_of_run(heads.tenants, heads.metrics))
        keys += [np.unique(spans, return_inverse=True)[1][time], names[series]]
    order = _by(keys)
    ordered_series = series.take(order)
    return pa.table(
        {
            "tenant": _dictionary(heads.tenants.take(ordered_series), tenants),
            "metric": _dictionary(heads.metrics.take(ordered_series), metrics),
            "series_id": pa.array(heads.ids.take(ordered_series)),
            "ts": pa.array(times.take(time.take(order))).cast(_STAMP),
            "value": pa.array(values.take(order)),
        }
    )


class _Heads(NamedTuple):
    """Different series, by rising (tenant, metric, id); codes of the first two."""

    tenants: npt.NDArray[np.int32]
    metrics: npt.NDArray[np.int32]
    ids: UInt64s


def _ranked(frames: Sequence[Frame]) -> tuple[list[str], list[str], _Heads, npt.NDArray[np.int64]]:
    """Return (tenants, metrics, the different series, the rank of each series of each frame among them).

    Sorting the few series and then samples by their rank is cheaper than sorting samples by three columns.
    """
    tenants, tenant_codes = united([frame.tenant] for frame in frames)
    metrics, metric_codes = united(frame.metrics for frame in frames)
    tenant = np.concatenate([np.repeat(c, len(f.series_ids)) for c, f in zip(tenant_codes, frames, strict=True)])
    metric = np.concatenate([c[f.metric_codes] for c, f in zip(metric_codes, frames, strict=True)])
    ids = np.concatenate([frame.series_ids for frame in frames])
    order = np.lexsort((ids, metric, tenant))
    fresh = first_of_run(ids[order], metric[order], tenant[order])
    rank = np.empty(len(ids), np.int64)
    rank[order] = np.cumsum(fresh) - 1
    heads = order[fresh]
    return tenants, metrics, _Heads(tenant[heads].astype(np.int32), metric[heads].astype(np.int32), ids[heads]), rank


def late_samples(frame: Frame, arrived: int) -> pa.Table:
    """Return the rows of table late_samples for samples that arrived at `arrived` (ms), in the table's order."""
    keys = samples([frame], by_span=False).drop_columns(["value"])
    return keys.append_column("arrived", pa.array(np.full(keys.num_rows, arrived)).cast(_STAMP))


def _by(keys: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.intp]:
    """Return the order by whole numbers from 0 on, the last key first; numpy sorts 16 bits at once by radix."""
    digits: list[npt.NDArray[np.uint16]] = []
    for key in keys:
        bits = int(key.max(initial=0)).bit_length()
        digits += [(key >> shift).astype(np.uint16) for shift in range(0, max(bits, 1), 16)]
    order: npt.NDArray[np.intp] = np.lexsort(digits)
    return order


def series(tenant: str, rows: Sequence[tuple[int, Series]], first_seen: int, last_seen: int) -> pa.Table:
    """Return rows of table series for (series id, series) pairs; times in ms since 1970 UTC."""
    rows = sorted(rows, key=lambda row: (row[1].name, row[0]))
    count = len(rows)
    return pa.table(
        {
            "tenant": _constant(tenant, count),
            "metric": pa.array([one.name for _, one in rows], pa.string()).dictionary_encode(),
            "series_id": pa.array(np.array([identity for identity, _ in rows], dtype=np.uint64)),
            "labels": pa.array([sorted(one.labels) for _, one in rows], _LABELS),
            "type": pa.array([one.type for _, one in rows], pa.string()).dictionary_encode(),
            "unit": pa.array([one.unit for _, one in rows], pa.string()).dictionary_encode(),
            "first_seen": pa.array(np.full(count, first_seen)).cast(_STAMP),
            "last_seen": pa.array(np.full(count, last_seen)).cast(_STAMP),
        }
    )


def rollup(rows: Rollups) -> pa.Table:
    """Return rows of a rollup table; version is the count (docs/architecture.md, "version = count")."""
    return pa.table(
        {
            "tenant": _constant(rows.tenant, len(rows)),
            "metric": _dictionary(rows.metric_codes, rows.metrics),
            "series_id": pa.array(rows.series_ids),
            "ts": pa.array(np.full(len(rows), rows.window // 1000)).cast(_SECOND),
            "count": pa.array(rows.count),
            "sum": pa.array(rows.sum),
            "sum_sq": pa.array(rows.sum_sq),
            "min": pa.array(rows.min),
            "max": pa.array(rows.max),
            "first": pa.array(rows.first),
            "last": pa.array(rows.last),
            "first_ts": pa.array(rows.first_ts).cast(_STAMP),
            "last_ts": pa.array(rows.last_ts).cast(_STAMP),
            "increase": pa.array(rows.increase),
            "digest": pa.Array.from_buffers(
                pa.binary(), len(rows), [None, pa.py_buffer(rows.digest_offsets), pa.py_buffer(rows.digest)]
            ),
            "version": pa.array(rows.count),
        }
    )


def pack(table: pa.Table) -> bytes:
    """Return a table as an Arrow IPC stream, for the way through Flink's network and state.

    LZ4 halves the bytes: 0.4 us a rollup row, against 2 for carrying what it saves.
    """
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema, options=_LZ4) as writer:
        writer.write_table(table)
    return bytes(out.getvalue())


def unpack(blocks: Sequence[bytes]) -> pa.Table:
    """Return the tables of several Arrow IPC streams of one schema as one, dictionaries unified."""
    return pa.concat_tables(pa.ipc.open_stream(block).read_all() for block in blocks).unify_dictionaries()


def completeness(tenant: str, tier: str, window: int, sources: UInt64s) -> pa.Table:
    """Return the row of table completeness for a closed window (start in ms) and the sources seen in it."""
    return pa.table(
        {
            "tenant": _constant(tenant, 1),
            "tier": _constant(tier, 1),
            "ts": pa.array([window // 1000]).cast(_SECOND),
            "sources": pa.array([sources], pa.list_(pa.uint64())),
        }
    )


def ordered(table: pa.Table) -> pa.Table:
    """Return rows of a rollup table, or of distributions, by (tenant, metric, series id, ts).

    A block that ClickHouse need not sort costs it 1.1 us a row instead of 2.6, the order found here 0.1.
    """
    stamps = np.asarray(table["ts"].cast(pa.int64()))
    starts, windows = np.unique(stamps, return_inverse=True)
    tenants, metrics = _rank(table["tenant"]), _rank(table["metric"])
    # 16-bit keys are sorted by radix, in linear time.
    keys = [
        windows.astype(np.uint16 if len(starts) <= 1 << 16 else np.int64),
        np.asarray(table["series_id"]),
        metrics.astype(np.uint16 if metrics.max(initial=0) < 1 << 16 else np.int64),
    ]
    if tenants.any():
        keys.append(tenants)
    return table.take(pa.array(np.lexsort(keys)))


def _rank(column: pa.ChunkedArray) -> Codes:
    """Return for each row the place of its name among the column's sorted names."""
    names, codes = coded(column)
    places = np.empty(len(names), dtype=np.int64)
    places[np.argsort(np.asarray(names), kind="stable")] = np.arange(len(names))
    ranks: Codes = places[codes]
    return ranks


def block(table: str, payloads: Sequence[bytes]) -> pa.Table:
    """Return the block that payloads on their way to `table` make: records of its topic, frames, or packed tables."""
    if table == "samples":
        return samples([Frame.decode(payload) for payload in payloads])
    if table == "rejections":
        return rejections(payloads)
    if table == "alert_events":
        return alert_events(payloads)
    if table == "ledger":
        return accounts(payloads)
    if table == "cardinality":
        return growth(payloads)
    sorted_here = table.startswith("rollup_") or table == "distributions"
    return ordered(unpack(payloads)) if sorted_here else unpack(payloads)
