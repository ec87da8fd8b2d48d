"""Durations as Prometheus writes them (prometheus/common model.Duration): 30s, 5m, 1h30m; a bare 0 is 0."""

import re

# Units in this order, each at most once.
_DURATION = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?\Z"
)
_UNITS = ("y", "w", "d", "h", "m", "s", "ms")
_UNIT_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
# Prometheus counts a duration in int64 nanoseconds.
_LONGEST_MS = ((1 << 63) - 1) // 1_000_000
# Years and weeks are shown only where nothing is left over.
_WHOLE = ("y", "w")


def parse_duration(text: str) -> float:
    """Return the seconds of a Prometheus duration such as 5m, 1h30m or 0; raises ValueError."""
    if text == "0":
        return 0
    found = _DURATION.match(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is no duration; expected such as 30s, 5m or 1h30m")
    milliseconds = sum(int(number) * unit for number, unit in zip(found.groups(), _UNIT_MS, strict=True) if number)
    if milliseconds > _LONGEST_MS:
        raise ValueError(f"{text!r} is no duration; it is out of range, at most 292y")
    return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000


def show_duration(milliseconds: int) -> str:
    """Return a duration as Prometheus prints it; what parse_duration reads."""
    if milliseconds == 0:
        return "0s"
    parts = ["-"] if milliseconds < 0 else []
    left = abs(milliseconds)
    for unit, size in zip(_UNITS, _UNIT_MS, strict=True):
        if left < size or (unit in _WHOLE and left % size):
            continue
        parts.append(f"{left // size}{unit}")
        left %= size
    return "".join(parts)
