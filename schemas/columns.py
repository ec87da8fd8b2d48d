"""Columns of samples as records carry them: little-endian bytes, dense (rows by series) or sparse (one entry each)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.codec import CodecError
from schemas.nan import Floats, is_missing

Int64s = npt.NDArray[np.int64]
UInt32s = npt.NDArray[np.uint32]
UInt64s = npt.NDArray[np.uint64]
Points = tuple[UInt32s, Int64s, Floats]


def column(data: bytes, dtype: str, name: str) -> npt.NDArray[Any]:
    """Return the bytes of a column as a view of that dtype; raises CodecError, kind `length`, at a broken entry."""
    width = np.dtype(dtype).itemsize
    if len(data) % width:
        raise CodecError("length", f"column {name} has {len(data)} bytes, not a multiple of {width}")
    return np.frombuffer(data, dtype=dtype)


def packed(timestamps: Int64s, values: Floats, index: UInt32s | None, weights: UInt32s | None) -> dict[str, Any]:
    """Return the columns as the fields of a record."""
    return {
        "timestamps": timestamps.astype("<i8", copy=False).tobytes(),
        "values": values.astype("<f8", copy=False).tobytes(),
        "series_index": None if index is None else index.astype("<u4", copy=False).tobytes(),
        "weights": None if weights is None else weights.astype("<u4", copy=False).tobytes(),
    }


def unpacked(record: Mapping[str, Any]) -> tuple[Int64s, Floats, UInt32s | None, UInt32s | None]:
    """Return (timestamps, values, index, weights) as views on the record's bytes; raises CodecError at a misfit."""
    timestamps = column(record["timestamps"], "<i8", "timestamps")
    values = column(record["values"], "<f8", "values")
    if record["series_index"] is not None:
        index = column(record["series_index"], "<u4", "series_index")
        if not len(index) == len(timestamps) == len(values):
            raise CodecError("length", f"sparse columns of {len(index)}, {len(timestamps)} and {len(values)} entries")
        weights = None if record["weights"] is None else column(record["weights"], "<u4", "weights")
        if weights is not None and len(weights) != len(index):
            raise CodecError("length", f"{len(weights)} weights for {len(index)} entries")
        return timestamps, values, index, weights
    if record["weights"] is not None:
        raise CodecError("length", f"{len(record['weights'])} bytes of weights in a dense batch")
    rows = len(timestamps)
    if (len(values) % rows) if rows else len(values):
        raise CodecError("length", f"{len(values)} values do not fill {rows} rows")
    return timestamps, values.reshape(rows, len(values) // rows if rows else 0), None, None


def points(timestamps: Int64s, values: Floats, index: UInt32s | None) -> Points:
    """Return (series index, timestamps, values), one entry per sample, missing cells left out.

    Dense (index None): timestamps (T,), values (T, S). Sparse: all (N,).
    """
    if index is None:
        rows, width = values.shape
        index = np.tile(np.arange(width, dtype=np.uint32), rows)
        timestamps = np.repeat(timestamps, width)
        values = values.reshape(-1)
    present = ~is_missing(values)
    if present.all():
        return index, timestamps, values
    return index[present], timestamps[present], values[present]
