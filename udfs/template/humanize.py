"""Numbers for people, as Prometheus's templates print them (template/template.go, common/helpers/templates)."""

import math
import re
from datetime import datetime

from udfs.template.moment import moment
from udfs.template.quote import quoted
from udfs.template.values import Html, Value, shown, type_of
from udfs.template.verbs import sprintf

# What strconv.ParseFloat reads: no sign before NaN, _ between digits. Nothing is read twice: a text may be long.
_DIGITS, _HEX = r"\d++(?:_\d++)*+", r"[0-9a-f]++(?:_[0-9a-f]++)*+"
_FLOAT = re.compile(
    rf"(?:[+-]?(?:(?:{_DIGITS}(?:\.(?:{_DIGITS})?+)?+|\.{_DIGITS})(?:e[+-]?{_DIGITS})?+|inf|infinity)|nan"
    rf"|[+-]?0x(?:_?+{_HEX}(?:\.(?:{_HEX})?+)?+|\.{_HEX})p[+-]?{_DIGITS})\Z",
    re.IGNORECASE | re.ASCII,
)
_LARGE = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")


def number(value: Value) -> float:
    """Return a number, or the number that a string spells; raises ValueError in Go's words."""
    match value:
        case bool():
            pass
        case int() | float():
            return float(value)
        case str() if not isinstance(value, Html):
            if not _FLOAT.match(value):
                raise ValueError(f"strconv.ParseFloat: parsing {quoted(value)}: invalid syntax")
            plain = value.replace("_", "")
            try:
                found = float.fromhex(plain) if "0x" in plain.lower() else float(plain)
            except OverflowError:
                found = math.inf
            if math.isinf(found) and "inf" not in value.lower():
                raise ValueError(f"strconv.ParseFloat: parsing {quoted(value)}: value out of range")
            return found
    raise ValueError(f"can't convert {type_of(value)} to float")


def humanize(value: Value) -> str:
    """Return four digits with a metric prefix."""
    found = number(value)
    if found == 0 or not math.isfinite(found):
        return _four(found)
    return _small(found) if abs(found) < 1 else _large(found, _LARGE, 1000)


def humanize1024(value: Value) -> str:
    """Return four digits with a binary prefix."""
    found = number(value)
    if abs(found) <= 1 or not math.isfinite(found):
        return _four(found)
    return _large(found, tuple(f"{prefix}i" for prefix in _LARGE), 1024)


def humanize_percentage(value: Value) -> str:
    """Return a ratio as percents."""
    return _four(number(value) * 100) + "%"


def humanize_duration(value: Value) -> str:
    """Return seconds as days, hours, minutes and seconds, or with a prefix below one."""
    found = number(value)
    if not math.isfinite(found):
        return _four(found)
    if abs(found) < 1:
        return (_four(found) if found == 0 else _small(found)) + "s"
    sign, found = ("-" if found < 0 else ""), abs(found)
    minutes, seconds = divmod(int(found), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    return f"{sign}{minutes}m {seconds}s" if minutes else f"{sign}{_four(found)}s"


def humanize_timestamp(value: Value) -> str:
    """Return a time in seconds as Go prints it."""
    found = number(value)
    return shown(moment(found)) if math.isfinite(found) else _four(found)


def to_time(value: Value) -> datetime:
    """Return a moment, whose methods a template may call."""
    found = number(value)
    if not math.isfinite(found):
        raise ValueError("value is NaN or Inf")
    return moment(found)


def _four(value: float) -> str:
    return sprintf("%.4g", value)


def _large(value: float, prefixes: tuple[str, ...], step: int) -> str:
    prefix = ""
    for one in prefixes:
        if abs(value) < step:
            break
        prefix, value = one, value / step
    return _four(value) + prefix


def _small(value: float) -> str:
    prefix = ""
    for one in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = one, value * 1000
    return _four(value) + prefix
