"""Request parameters as Prometheus reads them (web/api/v1/api.go): times, durations, selectors."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from query.errors import bad_data

# Digits that no time needs are refused unread: Python makes no int of more than 4,300.
_DURATION = re.compile(
    "".join(rf"(?:(\d{{1,18}}){unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms")) + r"\Z", re.ASCII
)
_UNITS_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
# The times that ClickHouse's DateTime64(3) holds, with room for ranges and offsets.
MIN_MS, MAX_MS = -(10**12), 10**13
# What Go's ParseFloat takes, but for hexadecimal, underscores, infinities and NaN, which no client means.
_SECONDS = re.compile(r"[-+]?(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?\d++)?+\Z", re.ASCII)
# Go's time.RFC3339Nano, whose fraction may have a comma.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d++))?(Z|[-+]\d\d:\d\d)\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNT = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
_ESCAPE = re.compile(r"_(?:_|([0-9a-fA-F]{1,5})_)")
_ESCAPED = re.compile(rf"U__((?:[^_]|{_ESCAPE.pattern})*)", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}


def required(params: Mapping[str, str], name: str) -> str:
    """Return a parameter that must be there."""
    value = params.get(name, "")
    if not value:
        raise bad_data("TG-query-parameter", f'invalid parameter "{name}": it is missing')
    return value


def time_ms(params: Mapping[str, str], name: str, default: int | None) -> int:
    """Return a time as ms since 1970 UTC: unix seconds, with a fraction if need be, or RFC 3339."""
    text = params.get(name, "")
    if not text:
        if default is None:
            raise bad_data("TG-query-parameter", f'invalid parameter "{name}": it is missing')
        return default
    stamp = _ms(text) if _SECONDS.match(text) else _rfc3339(text, name)
    if not MIN_MS <= stamp <= MAX_MS:
        raise bad_data("TG-query-time", f'invalid parameter "{name}": {text[:50]!r} is out of range')
    return stamp


def _ms(text: str) -> int:
    """Return seconds as ms, what no time can be as one that is out of range."""
    seconds = float(text)
    return round(seconds * 1000) if math.isfinite(seconds * 1000) else MAX_MS + 1


def _rfc3339(text: str, name: str) -> int:
    try:
        match = _RFC3339.match(text)
        if match is None:
            raise ValueError("another form")
        whole = datetime.fromisoformat(match[1] + match[3]) - _EPOCH
    except (ValueError, OverflowError):
        message = f'invalid parameter "{name}": cannot parse {text[:50]!r} to a valid timestamp'
        raise bad_data("TG-query-time", message) from None
    # Go cuts what is less than a millisecond.
    return whole // timedelta(milliseconds=1) + int((match[2] or "")[:3].ljust(3, "0"))


def rfc3339(time_ms: int) -> str:
    """Return ms since 1970 as people read it, UTC."""
    moment = (_EPOCH + timedelta(milliseconds=time_ms)).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds") + "Z"


def flag(params: Mapping[str, str], name: str) -> bool:
    """Return a parameter that is true, 1, false or 0; absent is false."""
    text = params.get(name, "")
    if text not in _FLAGS:
        raise bad_data("TG-query-flag", f'invalid parameter "{name}": {text[:50]!r} is not true, 1, false or 0')
    return _FLAGS[text]


def duration_ms(params: Mapping[str, str], name: str) -> int:
    """Return a positive duration in ms: seconds as a number, or Prometheus's 1h30m."""
    text = required(params, name)
    if _SECONDS.match(text):
        length = _ms(text)
    else:
        match = _DURATION.match(text)
        if match is None:
            message = f'invalid parameter "{name}": cannot parse {text[:50]!r} to a valid duration'
            raise bad_data("TG-query-duration", message)
        length = sum(int(part) * unit for part, unit in zip(match.groups(), _UNITS_MS, strict=True) if part)
    if length <= 0:
        raise bad_data(
            "TG-query-duration",
            f'invalid parameter "{name}": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer",
        )
    if length > MAX_MS:
        raise bad_data("TG-query-duration", f'invalid parameter "{name}": {text[:50]!r} is out of range')
    return length


def limit(params: Mapping[str, str], name: str = "limit") -> int:
    """Return how many at most; 0, the default, means all."""
    text = params.get(name, "") or "0"
    if not _COUNT.match(text):
        raise bad_data("TG-query-limit", f'invalid parameter "{name}": {text[:50]!r} is not a number of 0 or more')
    return int(text)


def label_name(text: str) -> str:
    """Return the label name that a path names: U__ begins one in which __ is _, and _HEX_ the character of that code.

    Prometheus's model.UnescapeName: what is not well-formed stays as it is, a code of six digits too.
    """
    match = _ESCAPED.fullmatch(text)
    if match is None:
        return text
    name = _ESCAPE.sub(lambda one: chr(int(one[1], 16)) if one[1] else "_", match[1])
    return text if _SURROGATE.search(name) else name


def timeout_s(params: Mapping[str, str], most_s: float) -> float:
    """Return the time that a request may take: its parameter timeout, or most_s if that is less."""
    return min(most_s, duration_ms(params, "timeout") / 1000) if params.get("timeout", "") else most_s
