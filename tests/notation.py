"""Series in Prometheus's expanding notation, for tests of every part.

`http_total{job="a"} 0+5x10 _ stale 7`: a value; `a+bxn`: a, a+b, …, n+1 values; `axn`: a, n+1 times; `_` a gap;
`_xn`: n gaps; `stale`: a staleness marker; NaN, Inf, -Inf. Item i stands at start + i * step.
"""

import re

import numpy as np

from schemas.nan import STALE, Floats

Labels = dict[str, str]
Series = tuple[Labels, "np.ndarray[tuple[int], np.dtype[np.int64]]", Floats]

_METRIC = re.compile(r"\s*([a-zA-Z_:][\w:]*)?\s*(?:\{(.*?)\})?(?=\s|$)(.*)", re.DOTALL)
_LABEL = re.compile(r'\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_NUMBER = r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+|Inf|NaN)"
_ITEM = re.compile(rf"({_NUMBER})(?:([+-](?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))?(?:x(\d+))?\Z")
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_duration(text: str) -> int:
    """Return ms of 1h30m; a bare 0 is 0, any other bare number seconds."""
    if re.fullmatch(r"-?\d+", text):
        return int(text) * 1000
    parts = _DURATION.findall(text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        raise ValueError(f"no duration: {text!r}")
    return sum(int(n) * _UNIT_MS[unit] for n, unit in parts)


def parse_labels(text: str) -> tuple[Labels, str]:
    """Return the labels, __name__ included, and what follows them."""
    match = _METRIC.match(text)
    if match is None:
        raise ValueError(f"no series: {text!r}")
    name, inside, rest = match.groups()
    labels = {"__name__": name} if name else {}
    position = 0
    while inside and position < len(inside):
        label = _LABEL.match(inside, position)
        if label is None:
            raise ValueError(f"no label at {inside[position:]!r}")
        labels[label[1]] = label[2].encode().decode("unicode_escape") if "\\" in label[2] else label[2]
        position = label.end()
    return labels, rest


def parse_values(text: str) -> list[float | None]:
    """Return the values of a notation, None for a gap; a staleness marker is the string's own NaN, see STALE."""
    values: list[float | None] = []
    for item in text.split():
        gap = re.fullmatch(r"_(?:x(\d+))?", item)
        stale = re.fullmatch(r"stale(?:x(\d+))?", item)
        if gap:
            values += [None] * int(gap[1] or 1)
        elif stale:
            values += [_Stale()] * int(stale[1] or 1)
        else:
            number = _ITEM.match(item)
            if number is None:
                raise ValueError(f"no value: {item!r}")
            first, delta, times = float(number[1]), float(number[2] or 0), int(number[3] or 0)
            values += [first + delta * i for i in range(times + 1)]
    return values


class _Stale(float):
    """A place for the staleness marker: a Python float would lose its bits."""

    def __new__(cls) -> "_Stale":
        return super().__new__(cls, "nan")


def parse_series(text: str, step_ms: int, start_ms: int = 0) -> Series:
    """Return (labels, timestamps int64 ms, values float64) of one line."""
    labels, rest = parse_labels(text)
    items = [(start_ms + i * step_ms, value) for i, value in enumerate(parse_values(rest)) if value is not None]
    values = np.array([value for _, value in items], np.float64)
    for i, (_, value) in enumerate(items):
        if isinstance(value, _Stale):
            values[i : i + 1] = STALE
    return labels, np.array([at for at, _ in items], np.int64), values
