"""Lines of Prometheus's text format 0.0.4 and of OpenMetrics 1.0, each by itself, as Prometheus reads them."""

import re
from math import isfinite

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
# Each alternative begins with another character, so that no text takes more than its length.
_TEXT = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_METRIC = re.compile(rf"({_NAME})[ \t]*")
# A text is a name of any characters: with a value a label's, without one the metric's.
_PART = re.compile(rf"[ \t]*([a-zA-Z_][a-zA-Z0-9_]*|{_TEXT})[ \t]*(?:=[ \t]*({_TEXT})[ \t]*)?([,}}])")
_END = re.compile(r"[ \t]*\}")
_ESCAPE = re.compile(r'\\(["\\n])')
_WORD = re.compile(r"(?:[+-]?inf(?:inity)?|nan)\Z", re.IGNORECASE)
_META = re.compile(r"#[ \t]*(HELP|TYPE|UNIT)[ \t]+(.*)\Z")
_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "untyped", "unknown"})
_OPENMETRICS_TYPES = (_TYPES - {"untyped"}) | {"info", "stateset", "gaugehistogram"}


def series(line: str) -> tuple[str, dict[str, str], str]:
    """Return (name, labels, what stands behind them) of a sample's line; raises ValueError."""
    found = _METRIC.match(line)
    name, at = (found[1], found.end()) if found else ("", 0)
    labels: dict[str, str] = {}
    if line[at : at + 1] == "{":
        at += 1
        while not (end := _END.match(line, at)):
            part = _PART.match(line, at)
            if part is None:
                raise ValueError(f"no label at character {at + 1} of {shown(line)}")
            key, value, at = _unquoted(part[1]), part[2], part.end()
            if value is None:
                if name or part[1] == key:
                    raise ValueError(f"{key} has no value in {shown(line)}")
                name = key
            elif key in labels or key == "__name__":
                raise ValueError(f"label {key} stands twice in {shown(line)}")
            else:
                labels[key] = _unescaped(value)
            if part[3] == "}":
                break
        else:
            at = end.end()
    if not name:
        raise ValueError(f"no metric name in {shown(line)}")
    return name, labels, line[at:].strip(" \t")


def number(text: str) -> float:
    """Return a value; raises ValueError for what only Python takes for a number, and for what no float can hold."""
    value = float(text)
    if "_" in text or not text.isascii() or (not isfinite(value) and not _WORD.match(text)):
        raise ValueError(f"{shown(text)} is no number")
    return value


def value(text: str, openmetrics: bool = False) -> float:
    """Return the value of `value [timestamp] [# exemplar]`; raises ValueError. Exemplars are OpenMetrics only."""
    if openmetrics:
        text = text.partition(" # ")[0]
    words = text.split()
    if not 1 <= len(words) <= 2:
        raise ValueError(f"expected a value, and a timestamp at most, found {shown(text)}")
    if len(words) == 2:
        # Milliseconds are whole numbers, seconds need not be.
        number(words[1]) if openmetrics else int(words[1])
    return number(words[0])


def meta(line: str, openmetrics: bool = False) -> tuple[str, str, str] | None:
    """Return (TYPE or UNIT, name, which) of a comment, None if it is another; raises ValueError."""
    found = _META.match(line)
    if found is None or found[1] == "HELP":
        return None
    words = found[2].split()
    name = _unquoted(words[0]) if words else ""
    if found[1] == "UNIT":
        unit = words[1] if len(words) == 2 else ""
        if openmetrics and unit and not name.endswith(f"_{unit}"):
            raise ValueError(f"{name} does not end in its unit: {shown(line)}")
        return "UNIT", name, unit
    if len(words) != 2 or words[1] not in (_OPENMETRICS_TYPES if openmetrics else _TYPES):
        raise ValueError(f"no type that is known: {shown(line)}")
    return "TYPE", name, words[1]


def shown(text: str) -> str:
    """Return the text as an error may have it."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _unquoted(name: str) -> str:
    return _unescaped(name) if name.startswith('"') else name


def _unescaped(quoted: str) -> str:
    text = quoted[1:-1]
    # Other escapes stand for themselves.
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text) if "\\" in text else text
