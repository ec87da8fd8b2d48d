"""A series set to Avro and back, by hand: labels repeat, which no general library uses, and bombs are stopped early.

The bytes are those of schemas/avro/series_set.avsc (tested against fastavro, whose time this halves).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from schemas.codec import CodecError

MOST_SERIES = 1 << 20
# A set may have so many labels, and so many more for each of its series: what is beyond would cost memory only.
MOST_LABELS = 4000
MOST_LABELS_EACH = 64


@dataclass(frozen=True, slots=True)
class Series:
    """What one column measures. labels are (name, value) pairs without __name__."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    type: str = "unknown"
    unit: str = ""


_TYPES = {
    name: bytes((2 * place,))
    for place, name in enumerate(
        ("unknown", "gauge", "counter", "histogram", "summary", "info", "stateset", "distribution")
    )
}


def encode_series_set(series: Iterable[Series]) -> bytes:
    """Return the Avro body of a SeriesSet; raises ValueError for a type that is none.

    The bytes are those of fastavro (tested), for a quarter of its time: names repeat.
    """
    rows = list(series)
    out = [_long(len(rows))] if rows else []
    for one in rows:
        kind = _TYPES.get(one.type)
        if kind is None:
            raise ValueError(f"{one.type!r} is no metric type; there are: {', '.join(_TYPES)}")
        out += (_name(one.name), kind, _name(one.unit))
        if one.labels:
            out.append(_long(len(one.labels)))
            for name, value in one.labels:
                data = value.encode()
                out += (_name(name), _long(len(data)), data)
        out.append(b"\0")
    out.append(b"\0")
    return b"".join(out)


@lru_cache(maxsize=4096)
def _long(value: int) -> bytes:
    """Return a whole number of at least 0 as Avro writes it: zigzag, 7 bits a byte."""
    value <<= 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _text(text: str) -> bytes:
    data = text.encode()
    return _long(len(data)) + data


_remembered = lru_cache(maxsize=65_536)(_text)


def _name(text: str) -> bytes:
    # A long one would only fill the memory.
    return _remembered(text) if len(text) < 200 else _text(text)


def decode_series_set(data: bytes, most: int = MOST_SERIES) -> list[Series]:
    """Return the series of an encoded set; raises CodecError, kind `count` or `labels` for more than it may declare.

    Costs microseconds a series: cache by set_hash.
    """
    try:
        return _decode(data, most)
    except IndexError:
        raise CodecError("truncated", "series set ends before its last field") from None
    except UnicodeDecodeError as error:
        raise CodecError("body", f"series set: {error}"[:200]) from None


def _decode(data: bytes, most: int) -> list[Series]:
    found: list[Series] = []
    at = labels = 0
    while True:
        count, at = _count(data, at)
        if not count:
            break
        if len(found) + count > most:
            raise CodecError("count", f"{len(found) + count} series in a set")
        for _ in range(count):
            name, at = _read(data, at)
            kind, at = _number(data, at)
            if not 0 <= kind < len(_KINDS):
                raise CodecError("body", f"{kind} is no metric type")
            unit, at = _read(data, at)
            pairs, at = _labels(data, at, MOST_LABELS + MOST_LABELS_EACH * len(found) - labels)
            labels += len(pairs)
            found.append(Series(name, tuple(pairs), _KINDS[kind], unit))
    if at != len(data):
        raise CodecError("body", f"{len(data) - at} bytes behind the last field of a series set")
    return found


_KINDS = tuple(_TYPES)


def _labels(data: bytes, at: int, allowed: int) -> tuple[list[tuple[str, str]], int]:
    """Return (labels of one series, place behind them)."""
    pairs: list[tuple[str, str]] = []
    while True:
        size, at = _count(data, at)
        if not size:
            return pairs, at
        if len(pairs) + size > allowed:
            raise CodecError("labels", f"{len(pairs) + size} labels, {allowed} at most after those of the other series")
        for _ in range(size):
            label, at = _read(data, at)
            # As _read, in place: most of a set is label values.
            length = data[at]
            at += 1
            if length > 127 or length & 1:
                length, at = _length(data, at - 1)
            else:
                length >>= 1
            end = at + length
            if end > len(data):
                raise IndexError
            pairs.append((label, data[at:end].decode()))
            at = end


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return (zigzag number, place behind it)."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > 63:
            raise CodecError("body", "a number of more than 64 bits in a series set")


def _count(data: bytes, at: int) -> tuple[int, int]:
    """Return (items of an array's block, place of the first); a negative count is followed by the block's bytes."""
    count, at = _number(data, at)
    if count < 0:
        count = -count
        _, at = _number(data, at)
    return count, at


def _length(data: bytes, at: int) -> tuple[int, int]:
    length, at = _number(data, at)
    if length < 0:
        raise CodecError("body", f"a string of {length} bytes in a series set")
    return length, at


def _read(data: bytes, at: int) -> tuple[str, int]:
    """Return (string, place behind it)."""
    length = data[at]
    at += 1
    if length > 127 or length & 1:
        length, at = _length(data, at - 1)
    else:
        length >>= 1
    end = at + length
    if end > len(data):
        raise IndexError
    raw = data[at:end]
    return (_known(raw) if length < 200 else raw.decode()), end


@lru_cache(maxsize=65_536)
def _known(raw: bytes) -> str:
    return raw.decode()
