"""The values that templates work on, their Go types, and how Go prints them.

int is Go's int, float its float64, dict a map[string]string, Args a map[string]interface {}, list a queryResult.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

MAX_TEXT = 256 << 10
# What a character costs where a regular expression or a callback looks at each, tenfold what it costs elsewhere.
SLOW = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of a query's answer."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Data:
    """What dot is in a rule's template."""

    labels: Mapping[str, str]
    external_labels: Mapping[str, str]
    external_url: str
    value: float


class Args(dict[str, "Value"]):
    """What args gives."""


class Html(str):
    """What safeHtml gives: a template.HTML, which is no string where one is due."""


class Missing:
    """What a key that is absent gives: no value of any type."""


MISSING = Missing()
Value = (
    None | bool | int | float | str | Mapping[str, str] | Args | Sequence[Sample] | Sample | Data | datetime | Missing
)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of templates. takes: Go types of its arguments, `any` for all, ... at the end for any number more.

    call raises ValueError for what Go's function gives as an error. weight: what a character costs it.
    """

    takes: tuple[str, ...]
    call: Callable[..., Value]
    weight: int = 1


_FIELDS = {"Labels": "labels", "ExternalLabels": "external_labels", "ExternalURL": "external_url", "Value": "value"}
_DATA = "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"


def type_of(value: Value) -> str:  # noqa: PLR0911 - one arm per type
    """Return the Go type of a value."""
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case Html():
            return "template.HTML"
        case str():
            return "string"
        case Args():
            return "map[string]interface {}"
        case Mapping():
            return "map[string]string"
        case Sample():
            return "*template.sample"
        case Data():
            return _DATA
        case datetime():
            return "*time.Time"
        case None | Missing():
            return "<nil>"
    return "template.queryResult"


def field_of(value: Value, name: str) -> Value:
    """Return a field or a map's entry; raises KeyError if the type has no such field."""
    match value:
        case Args():
            return value.get(name, MISSING)
        case Mapping():
            return value.get(name, "")
        case Data() if name in _FIELDS:
            found: Value = getattr(value, _FIELDS[name])
            return found
        case Sample() if name in ("Labels", "Value"):
            return value.labels if name == "Labels" else value.value
    raise KeyError(name)


def truth(value: Value) -> bool:
    """Tell whether Go's templates take a value for true: not zero and not empty."""
    match value:
        case None | Missing():
            return False
        case bool() | int() | float():
            return value != 0
        case Sample() | Data() | datetime():
            return True
    return len(value) > 0


def shown(value: Value, room: int = MAX_TEXT) -> str:
    """Return a value as Go's %v prints it; raises ValueError as soon as that is longer than room."""
    text = _shown(value, room)
    if len(text) > room:
        raise ValueError(f"the text is longer than {MAX_TEXT} characters")
    return text


def _shown(value: Value, room: int) -> str:  # noqa: PLR0911 - one arm per type
    match value:
        case None:
            return "<nil>"
        case Missing():
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return go_float(value)
        case str():
            return value
        case Mapping():
            return f"map[{_joined(((f'{key}:', value[key]) for key in sorted(value)), room)}]"
        case Sample():
            return f"{{{_joined((('', value.labels), ('', value.value)), room)}}}"
        case Data():
            parts = (value.labels, value.external_labels, value.external_url, value.value)
            return f"{{{_joined((('', part) for part in parts), room)}}}"
        case datetime():
            fraction = f"{value.microsecond:06d}".rstrip("0")
            return f"{value:%Y-%m-%d %H:%M:%S}{'.' if fraction else ''}{fraction} +0000 UTC"
    return f"[{_joined((('', one) for one in value), room)}]"


def _joined(parts: Iterable[tuple[str, Value]], room: int) -> str:
    """Return values, each behind its prefix. A map may hold itself many times over, so room shrinks on the way."""
    said: list[str] = []
    for prefix, value in parts:
        said.append(prefix + shown(value, room))
        room -= len(said[-1]) + 1
    return " ".join(said)


def go_float(value: float) -> str:
    """Return a float as Go's %v prints it: shortest digits, exponent form below 1e-4 and from 1e6 on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    number = Decimal(repr(value)).normalize()
    exponent = number.adjusted()
    if value and not -4 <= exponent < 6:
        return f"{number.scaleb(-exponent):f}e{exponent:+03d}"
    return f"{number:f}"
