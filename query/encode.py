"""Answers as Prometheus's JSON, without a Python object per point."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from promql.columns import Floats, Int64s, Labels, rows_of
from promql.plan import Aggregate, Call, Expr
from promql.result import Matrix, Result, Scalar, String, Vector
from promql.series import signature
from query import numbers
from query.errors import QueryError
from query.size import POINT_BYTES, fits
from query.spent import check

# Points and series that are made into text at once, about 1 MB: between them other threads get their turn.
_SLICE, _SLICE_ROWS = 1 << 15, 1 << 12


def success(data: bytes, infos: Sequence[str] = (), warnings: Sequence[str] = ()) -> bytes:
    """Return the envelope around data that is JSON already; without infos there is no such key, as in Prometheus."""
    said = b',"warnings":' + orjson.dumps(list(warnings)) if warnings else b""
    said += b',"infos":' + orjson.dumps(list(infos)) if infos else b""
    # At once: each + would be a copy of it all.
    return b"".join((b'{"status":"success","data":', data, said, b"}"))


def with_stats(data: bytes, stats: object) -> bytes:
    """Return the data of a query with its statistics in it."""
    return data[:-1] + b',"stats":' + orjson.dumps(stats) + b"}"


def failure(error: QueryError) -> bytes:
    """Return the envelope of an error."""
    return orjson.dumps({"status": "error", "errorType": error.kind, "error": error.message})


def stamp(time_ms: int) -> str:
    """Return ms as Prometheus's seconds: no fraction, or three digits of it."""
    sign, size = ("-", -time_ms) if time_ms < 0 else ("", time_ms)
    seconds, fraction = divmod(size, 1000)
    return f"{sign}{seconds}.{fraction:03d}" if fraction else f"{sign}{seconds}"


def ordered(expr: Expr) -> bool:
    """Tell whether an instant answer has an order of its own; others come sorted by labels."""
    match expr:
        case Call():
            return expr.function in ("sort", "sort_desc")
        case Aggregate():
            return expr.op in ("topk", "bottomk")
    return False


def instant(value: Result, time_ms: int, keep_order: bool) -> bytes:
    """Return the data of an instant query."""
    match value:
        case Scalar():
            return _data("scalar", f'[{stamp(time_ms)},"{numbers.text(float(value.values[0]))}"]'.encode())
        case String():
            return _data("string", f"[{stamp(time_ms)},".encode() + orjson.dumps(value.value) + b"]")
        case Matrix():
            return _data("matrix", _rows(first_rows(value, len(value.columns.labels))))
        case Vector():
            order = list(range(len(value.labels))) if keep_order else by_labels(value.labels)
            points = _points(np.array([time_ms]), np.zeros(len(order), np.int64), value.values[order, 0])
            rows = [
                b'{"metric":%b,"value":%b}' % (_metric(value.labels[row]), point.encode())
                for row, point in zip(order, points.to_pylist(), strict=True)
            ]
            return _data("vector", b"[" + b",".join(rows) + b"]")


def matrix(value: Result, times: Int64s) -> bytes:
    """Return the data of a range query over times [T], ms; a scalar becomes one series without labels."""
    if isinstance(value, Scalar):
        value = Vector([{}], value.values[None, :], np.ones((1, len(times)), np.bool_))
    if not isinstance(value, Vector):
        raise TypeError(f"a range query has no {type(value).__name__}")
    order = by_labels(value.labels)
    offsets = np.concatenate([[0], np.cumsum(np.count_nonzero(value.present, axis=1)[order])])
    heads = _heads(times)

    def cut(first: int, end: int) -> pa.StringArray:
        rows = order[first:end]
        present = value.present[rows]
        return _joined(heads, np.nonzero(present)[1], value.values[rows][present])

    return _data("matrix", _series([value.labels[row] for row in order], offsets, cut))


def no_steps() -> bytes:
    """Return the data of a range query that has no step left."""
    return _data("matrix", b"[]")


def _data(kind: str, result: bytes) -> bytes:
    return b'{"resultType":"%b","result":%b}' % (kind.encode(), result)


def _metric(labels: Labels) -> bytes:
    return orjson.dumps(labels, option=orjson.OPT_SORT_KEYS)


def by_labels(labels: Sequence[Labels]) -> list[int]:
    """Return the rows in the order of their labels."""
    return sorted(range(len(labels)), key=lambda row: signature(labels[row]))


def first_rows(value: Matrix, most: int) -> Matrix:
    """Return at most so many series, in the order of their labels, those that stand first."""
    columns = value.columns
    rows = np.array(by_labels(columns.labels)[:most], np.intp)
    return Matrix(rows_of(columns, rows, columns.offsets[:-1], columns.offsets[1:]))


def _points(times: Int64s, steps: npt.NDArray[np.integer[npt.NBitBase]], values: Floats) -> pa.StringArray:
    """Return `[time,"value"]` for each value; steps index times."""
    return _joined(_heads(times), steps, values)


def _heads(times: Int64s) -> pa.StringArray:
    return pa.array([f'[{stamp(time)},"' for time in times.tolist()], pa.string())


def _joined(heads: pa.StringArray, steps: npt.NDArray[np.integer[npt.NBitBase]], values: Floats) -> pa.StringArray:
    return pc.binary_join_element_wise(heads.take(pa.array(steps)), numbers.texts(values), '"]', "")


def _series(labels: Sequence[Labels], offsets: Int64s, cut: Callable[[int, int], pa.StringArray]) -> bytes:
    """Return `[{"metric":…,"values":[…]},…]`; series i has points offsets[i] up to offsets[i + 1], see cut.

    cut: makes the points of some series. All at once take ten times the bytes of the answer, without a look at the
    deadline.
    """
    fits(int(offsets[-1]) * POINT_BYTES)
    parts, size, first = [b"["], 0, 0
    while first < len(labels):
        check()
        full = int(np.searchsorted(offsets, offsets[first] + _SLICE, "right")) - 1
        end = min(max(full, first + 1), first + _SLICE_ROWS)
        part = _some(labels[first:end], offsets[first : end + 1] - offsets[first], cut(first, end))
        if part:
            parts += [b",", part] if size else [part]
        # Labels and long numbers, which the estimate does not know.
        size += len(part)
        fits(size)
        first = end
    return b"".join([*parts, b"]"])


def _some(labels: Sequence[Labels], offsets: Int64s, points: pa.StringArray) -> bytes:
    lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), points)
    joined = pc.binary_join(lists, ",").to_pylist()
    rows = (
        b'{"metric":%b,"values":[%b]}' % (_metric(one), text.encode())
        for one, text in zip(labels, joined, strict=True)
        if text
    )
    return b",".join(rows)


def _rows(value: Matrix) -> bytes:
    columns = value.columns
    offsets = columns.offsets

    def cut(first: int, end: int) -> pa.StringArray:
        mine = slice(int(offsets[first]), int(offsets[end]))
        return _points(columns.timestamps[mine], np.arange(mine.stop - mine.start), columns.values[mine])

    return _series(columns.labels, offsets, cut)
