"""Lines of {"labels": {"__name__": ...}, "samples": [[ms, value], ...]}: one series each, for files and tests.

Values are JSON numbers or one of the strings NaN, +Inf, -Inf, stale. Optional keys: type, unit.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import orjson

from schemas.batch import Series
from schemas.columns import Int64s
from schemas.nan import NORMAL_BITS, STALE_BITS, Floats
from schemas.reason import Reason

MAX_LINE_BYTES = 64 << 20
# data_versions counts blocks in seconds of 32 bits.
END_OF_TIME = 2**32 * 1000

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:.]*\Z")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*\Z")
_NEGATIVE_ZERO = re.compile(rb"[,\[\s]-0\s*[,\]]")
_KEYS = {"labels", "samples", "type", "unit"}
_BOM = b"\xef\xbb\xbf"
_TYPES = {"unknown", "gauge", "counter", "histogram", "summary", "info", "stateset"}

_INF_BITS = int(np.float64(np.inf).view(np.uint64))
_WORDS = {
    "NaN": NORMAL_BITS,
    "+Inf": _INF_BITS,
    "-Inf": int(np.float64(-np.inf).view(np.uint64)),
    "Inf": _INF_BITS,
    "stale": STALE_BITS,
}


class BadLine(ValueError):
    """A line that cannot be read; the message starts with its TG- id."""

    def __init__(self, tg_id: str, detail: str) -> None:
        super().__init__(f"{tg_id}: {detail}")


@dataclass(slots=True)
class Line:
    """One series and its samples: timestamps (N,) in ms since 1970 UTC, values (N,)."""

    series: Series
    timestamps: Int64s
    values: Floats


def lines(file: IO[bytes], max_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, int, Line | BadLine]]:
    """Yield (line number from 1, bytes of the line, what it holds) for each line that is not empty."""
    number = 0
    while True:
        text = file.readline(max_bytes + 1)
        if not text:
            return
        number += 1
        size = len(text)
        if number == 1:
            # Some programs put it before UTF-8.
            text = text.removeprefix(_BOM)
        if size > max_bytes:
            while text and not text.endswith(b"\n"):
                text = file.readline(max_bytes)
                size += len(text)
            yield number, size, BadLine("TG-load-line-size", f"{size} bytes, the limit is {max_bytes}")
            continue
        if not text.strip():
            continue
        try:
            yield number, size, parse(text)
        except BadLine as bad:
            yield number, size, bad


def parse(text: bytes) -> Line:
    """Return what one line holds; raises BadLine."""
    try:
        return _line(text)
    except RecursionError:
        # What orjson still reads may be too deep for json, or for the repr that a message needs.
        raise BadLine("TG-load-json", f"nested too deep in {_shown(text)}") from None


def _line(text: bytes) -> Line:
    try:
        record = _read(text)
    except ValueError as error:
        raise BadLine("TG-load-json", f"{error} in {_shown(text)}") from None
    if not isinstance(record, dict) or not isinstance(record.get("labels"), dict):
        raise BadLine("TG-load-shape", f"expected an object with labels and samples, found {_shown(text)}")
    if unknown := set(record) - _KEYS:
        raise BadLine("TG-load-shape", f"unknown key {sorted(unknown)[0]!r}, known: {', '.join(sorted(_KEYS))}")
    stamps, values = _samples(record.get("samples"))
    series = _series(record)
    _deny_repeats(text, record)
    return Line(series, stamps, values)


def _read(text: bytes) -> Any:
    record = orjson.loads(text)
    # Many programs write the float -0.0 as -0, which orjson reads as the integer 0. It goes first nonetheless: json
    # would take lone surrogates, NaN and numbers beyond a float.
    if b"-0" in text and _NEGATIVE_ZERO.search(text):
        return json.loads(text, parse_int=lambda digits: -0.0 if digits == "-0" else int(digits))
    return record


def _deny_repeats(text: bytes, record: dict[str, Any]) -> None:
    """Raise BadLine if a key stands twice in an object: whose value holds is anyone's guess, and orjson's the last.

    record: what text holds, in its known shape.
    """
    strings = 2 * len(record["labels"]) + len(record) + sum(key in record for key in ("type", "unit"))
    # Every string has two quotes: more of them are words among the values, quotes within a label or a key's repeat.
    if text.count(b'"') == 2 * strings:
        return
    try:
        json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise BadLine("TG-load-json", f"{error} in {_shown(text)}") from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    keys = set()
    for key, _ in pairs:
        if key in keys:
            raise ValueError(f"key {_shown(key)} stands twice")
        keys.add(key)


def _series(record: dict[str, Any]) -> Series:
    labels = dict(record["labels"])
    name = labels.pop("__name__", "")
    if not isinstance(name, str) or not _METRIC.match(name):
        raise BadLine(Reason.NAME.id, f"__name__ is {_shown(name)}: {Reason.NAME.meaning}")
    for label, value in labels.items():
        # The gate refuses __names as scrapes drop them; Prometheus's storage holds them, and so may its dumps.
        if not _LABEL.match(label):
            raise BadLine(Reason.LABEL_NAME.id, f"label {_shown(label)}: {Reason.LABEL_NAME.meaning}")
        if not isinstance(value, str) or "\0" in value:
            raise BadLine(Reason.LABEL_VALUE.id, f"label {label} is {_shown(value)}, not a text without NUL")
    kind, unit = record.get("type", "unknown"), record.get("unit", "")
    if not isinstance(kind, str) or kind not in _TYPES or not isinstance(unit, str):
        raise BadLine(
            "TG-load-shape", f"type {_shown(kind)}, unit {_shown(unit)}: known types are {', '.join(sorted(_TYPES))}"
        )
    # An empty value is the same as no label.
    return Series(name, tuple(sorted((k, v) for k, v in labels.items() if v)), kind, unit)


def _samples(samples: Any) -> tuple[Int64s, Floats]:
    try:
        if not isinstance(samples, list):
            raise TypeError
        stamps = [stamp for stamp, _ in samples]
        values = [value for _, value in samples]
    except (TypeError, ValueError):
        raise BadLine("TG-load-shape", f"samples are {_shown(samples)}, not a list of [ms, value]") from None
    if set(map(type, stamps)) - {int}:
        odd = next(stamp for stamp in stamps if type(stamp) is not int)
        raise BadLine("TG-load-time", f"timestamp {_shown(odd)} is not an integer of milliseconds")
    for stamp in (min(stamps, default=0), max(stamps, default=0)):
        if not 0 <= stamp < END_OF_TIME:
            raise BadLine("TG-load-time", f"timestamp {stamp} is outside [0, {END_OF_TIME}) ms since 1970")
    return np.array(stamps, dtype=np.int64), _values(values)


def _values(values: list[Any]) -> Floats:
    kinds = set(map(type, values))
    if kinds <= {int, float}:
        return np.array(values, dtype=np.float64)
    places = [place for place, value in enumerate(values) if type(value) not in (int, float)]
    words = []
    for place in places:
        word = values[place]
        if not isinstance(word, str) or word not in _WORDS:
            raise BadLine("TG-load-value", f"value {_shown(word)} is no number and none of {', '.join(_WORDS)}")
        words.append(_WORDS[word])
        values[place] = 0.0
    # As bits: a Python float of a staleness marker would come back as another NaN.
    bits: npt.NDArray[np.uint64] = np.array(values, dtype=np.float64).view(np.uint64)
    bits[places] = words
    return bits.view(np.float64)


def _shown(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
    text = text.strip()
    return text if len(text) <= 80 else text[:77] + "..."
