"""The part of Prometheus's templates that labels and annotations get for now: {{ $labels.name }} and {{ $value }}.

Source: prometheus.io/docs/prometheus/latest/configuration/template_reference. Every other action is refused by name
when the rule is read, so that no page ever shows half a template.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal

from udfs.alert.rule import RuleFault

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_LABEL = re.compile(r"(?:\$labels|\.Labels)\.([a-zA-Z_][a-zA-Z0-9_]*)\Z")
_VALUE = ("$value", ".Value")


def check_template(text: str) -> None:
    """Raise RuleFault if the text holds a template action that is not supported."""
    for action in _ACTION.findall(text):
        if action not in _VALUE and not _LABEL.match(action):
            raise RuleFault(
                "TG-rule-template",
                f"template action {{{{ {action} }}}} is not supported; {{{{ $labels.name }}}} and {{{{ $value }}}} are",
            )
    if "{{" in _ACTION.sub("", text):
        raise RuleFault("TG-rule-template", "a template action is not closed by }}")


def expand(text: str, labels: Mapping[str, str], value: float) -> str:
    """Return a checked text with its actions filled in; an absent label is empty, as in Prometheus."""

    def fill(found: re.Match[str]) -> str:
        label = _LABEL.match(found[1])
        return labels.get(label[1], "") if label else go_float(value)

    return _ACTION.sub(fill, text) if "{{" in text else text


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
