"""Answers as Prometheus's JSON, without a Python object per point."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from promql.columns import Floats, Int64s, Labels
from promql.plan import Aggregate, Call, Expr
from promql.result import Matrix, Result, Scalar, String, Vector
from promql.series import signature
from query import numbers
from query.errors import QueryError


def success(data: bytes, infos: Sequence[str] = (), warnings: Sequence[str] = ()) -> bytes:
    """Return the envelope around data that is JSON already; without infos there is no such key, as in Prometheus."""
    said = b',"warnings":' + orjson.dumps(list(warnings)) if warnings else b""
    said += b',"infos":' + orjson.dumps(list(infos)) if infos else b""
    return b'{"status":"success","data":' + data + said + b"}"


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
            return _data("matrix", _rows(value))
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
    present = value.present[order]
    points = _points(times, np.nonzero(present)[1], value.values[order][present])
    offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return _data("matrix", _series([value.labels[row] for row in order], offsets, points))


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


def _points(times: Int64s, steps: npt.NDArray[np.integer[npt.NBitBase]], values: Floats) -> pa.StringArray:
    """Return `[time,"value"]` for each value; steps index times."""
    heads = pa.array([f'[{stamp(time)},"' for time in times.tolist()], pa.string())
    return pc.binary_join_element_wise(heads.take(pa.array(steps)), numbers.texts(values), '"]', "")


def _series(labels: Sequence[Labels], offsets: Int64s, points: pa.StringArray) -> bytes:
    """Return `[{"metric":…,"values":[…]},…]`; series i owns points [offsets[i], offsets[i + 1])."""
    lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), points)
    joined = pc.binary_join(lists, ",").to_pylist()
    rows = [
        b'{"metric":%b,"values":[%b]}' % (_metric(one), text.encode())
        for one, text in zip(labels, joined, strict=True)
        if text
    ]
    return b"[" + b",".join(rows) + b"]"


def _rows(value: Matrix) -> bytes:
    columns = value.columns
    points = _points(columns.timestamps, np.arange(len(columns.timestamps)), columns.values)
    return _series(columns.labels, columns.offsets, points)
