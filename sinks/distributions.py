"""Table distributions: columns into Arrow as ClickHouse takes them, and back."""

import numpy as np
import pyarrow as pa

from schemas.distributions import Distributions
from sinks.coded import coded

_STAMP = pa.timestamp("ms", tz="UTC")
_NUMBERS = ("count", "sum", "sum_sq", "min", "max", "version")


def table_of(rows: Distributions) -> pa.Table:
    """Return the rows of table distributions, in the order of `rows`."""
    offsets = pa.py_buffer(rows.digest_offsets.astype(np.int32))
    digests = pa.Array.from_buffers(pa.binary(), len(rows), [None, offsets, pa.py_buffer(rows.digest)])
    return pa.table(
        {
            "tenant": pa.array([rows.tenant] * len(rows), pa.string()).dictionary_encode(),
            "metric": pa.DictionaryArray.from_arrays(
                pa.array(rows.metric_codes.astype(np.int32)), pa.array(rows.metrics, pa.string())
            ),
            "series_id": pa.array(rows.series_ids),
            "ts": pa.array(rows.timestamps).cast(_STAMP),
            **{name: pa.array(getattr(rows, name)) for name in _NUMBERS},
            "digest": digests,
        }
    )


def of_table(table: pa.Table, tenant: str) -> Distributions:
    """Return the distributions of a tenant's rows: what table_of() made, or ClickHouse answered (digest as String)."""
    metrics, codes = coded(table["metric"])
    digests = table["digest"].cast(pa.binary()).to_pylist()
    sizes = np.array([len(one) for one in digests], dtype=np.int64)
    return Distributions(
        tenant=tenant,
        metrics=metrics,
        metric_codes=codes.astype(np.uint32),
        series_ids=table["series_id"].to_numpy(),
        timestamps=np.asarray(table["ts"].cast(_STAMP).cast(pa.int64())),
        digest=np.frombuffer(b"".join(digests), np.uint8),
        digest_offsets=np.concatenate([[0], np.cumsum(sizes)]),
        **{name: table[name].to_numpy() for name in _NUMBERS},
    )
