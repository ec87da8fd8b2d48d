"""Rollup tables back into columns."""

from itertools import pairwise

import numpy as np
import pyarrow as pa

from schemas.rollups import Rollups
from schemas.runs import first_of_run
from sinks.coded import coded

_STAMP = pa.timestamp("ms", tz="UTC")
_SECOND = pa.timestamp("s", tz="UTC")
_NUMBERS = ("count", "sum", "sum_sq", "min", "max", "first", "last", "increase")


def of_table(table: pa.Table) -> list[Rollups]:
    """Return rows of a rollup table, of one tenant, by rising window: what rollup() made, or ClickHouse answered.

    From ClickHouse the digest comes as String; the column version is not looked at.
    """
    # ClickHouse answers a DateTime as its seconds.
    seconds = table["ts"] if pa.types.is_integer(table["ts"].type) else table["ts"].cast(_SECOND)
    starts = np.asarray(seconds.cast(pa.int64())) * 1000
    if (starts[1:] < starts[:-1]).any():
        order = np.argsort(starts, kind="stable")
        table, starts = table.take(pa.array(order)), starts[order]
    table = table.combine_chunks()
    cuts = np.append(np.flatnonzero(first_of_run(starts)), len(starts)).tolist()
    return [_window(table.slice(first, end - first), int(starts[first])) for first, end in pairwise(cuts)]


def _window(table: pa.Table, window: int) -> Rollups:
    metrics, codes = coded(table["metric"])
    digest = table["digest"].cast(pa.binary()).combine_chunks()
    if isinstance(digest, pa.ChunkedArray):
        digest = digest.chunk(0)
    _, bounds, data = digest.buffers()
    offsets = np.frombuffer(bounds, np.int32, len(digest) + 1, digest.offset * 4)
    states = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if len(digest) else np.empty(0, np.uint8)
    numbers = {name: table[name].to_numpy() for name in _NUMBERS}
    stamps = {name: np.asarray(table[name].cast(_STAMP).cast(pa.int64())) for name in ("first_ts", "last_ts")}
    return Rollups(
        tenant=table["tenant"][0].as_py(),
        window=window,
        metrics=metrics,
        metric_codes=codes.astype(np.uint32),
        series_ids=table["series_id"].to_numpy(),
        digest=states,
        digest_offsets=offsets - offsets[0],
        **numbers,
        **stamps,
    )
