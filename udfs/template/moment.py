"""Moments in templates: what toTime gives, and Go's layouts (time.Time.Format)."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from udfs.template.values import go_float

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAYOUT = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|-0700|-07:00|-07|Z0700|Z07:00|[.,](?:0+|9+)(?![0-9])"
    r"|0[1-6]|002|15|__2|_2|PM|pm|[1-5]"
)
_SPELLED: dict[str, Callable[[datetime], str]] = {
    "January": lambda at: f"{at:%B}",
    "Jan": lambda at: f"{at:%b}",
    "Monday": lambda at: f"{at:%A}",
    "Mon": lambda at: f"{at:%a}",
    "MST": lambda at: "UTC",
    "2006": lambda at: f"{at.year:04d}",
    "06": lambda at: f"{at.year % 100:02d}",
    "01": lambda at: f"{at.month:02d}",
    "1": lambda at: str(at.month),
    "02": lambda at: f"{at.day:02d}",
    "_2": lambda at: f"{at.day:2d}",
    "2": lambda at: str(at.day),
    "002": lambda at: f"{at.timetuple().tm_yday:03d}",
    "__2": lambda at: f"{at.timetuple().tm_yday:3d}",
    "15": lambda at: f"{at.hour:02d}",
    "03": lambda at: f"{(at.hour + 11) % 12 + 1:02d}",
    "3": lambda at: str((at.hour + 11) % 12 + 1),
    "04": lambda at: f"{at.minute:02d}",
    "4": lambda at: str(at.minute),
    "05": lambda at: f"{at.second:02d}",
    "5": lambda at: str(at.second),
    "PM": lambda at: "PM" if at.hour >= 12 else "AM",
    "pm": lambda at: "pm" if at.hour >= 12 else "am",
    "-0700": lambda at: "+0000",
    "-07:00": lambda at: "+00:00",
    "-07": lambda at: "+00",
    "Z0700": lambda at: "Z",
    "Z07:00": lambda at: "Z",
}


def moment(seconds: float) -> datetime:
    """Return the moment so many seconds after 1970 UTC, whole ms of it; raises ValueError where Go's int64 ns end."""
    nanos = seconds * 1e9
    if not -(2.0**63) <= nanos <= 2.0**63:
        what = "cannot be represented as a nanoseconds timestamp since it overflows int64"
        raise ValueError(f"{go_float(seconds)} {what}")
    milliseconds = abs(int(nanos)) // 1_000_000 * (-1 if nanos < 0 else 1)
    return _EPOCH + timedelta(milliseconds=milliseconds)


def formatted(at: datetime, layout: str) -> str:
    """Return a moment in a Go layout."""

    def fill(found: re.Match[str]) -> str:
        word = found[0]
        if word[0] in ".,":
            digits = f"{at.microsecond:06d}".ljust(len(word) - 1, "0")[: len(word) - 1]
            if word[1] == "9":
                digits = digits.rstrip("0")
            return word[0] + digits if digits else ""
        return _SPELLED[word](at)

    return _LAYOUT.sub(fill, layout)


METHODS: dict[str, tuple[tuple[str, ...], Callable[..., str | int | datetime]]] = {
    "Format": (("string",), formatted),
    "Unix": ((), lambda at: (at - _EPOCH) // timedelta(seconds=1)),
    "UnixMilli": ((), lambda at: (at - _EPOCH) // timedelta(milliseconds=1)),
    "UTC": ((), lambda at: at),
    "Year": ((), lambda at: at.year),
    "Month": ((), lambda at: f"{at:%B}"),
    "Day": ((), lambda at: at.day),
    "Weekday": ((), lambda at: f"{at:%A}"),
    "Hour": ((), lambda at: at.hour),
    "Minute": ((), lambda at: at.minute),
    "Second": ((), lambda at: at.second),
    "YearDay": ((), lambda at: at.timetuple().tm_yday),
}
"""Methods of a moment: the types of their arguments, and what they give."""
