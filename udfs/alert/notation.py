"""Series in promtool's expanding notation: values at equal distances in one line.

`7`: a value; `a+bxn`, `a-bxn`: a, a+b, … n+1 values; `axn`: a, n+1 times; `_`, `_xn`: one or n gaps; `stale`: a
staleness marker. Source: prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules and promql's own parser.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from promql.columns import NAME, Floats, Int64s, Labels
from promql.errors import PromqlError
from promql.parse import parse
from promql.plan import Select
from promql.series import quoted
from schemas.nan import STALE
from udfs.alert.rule import RuleFault

MAX_VALUES = 20_000_000
_LONGEST = len(str(MAX_VALUES))
# What stands between commas in braces; a comma in quotes is none.
_PART = re.compile(r'(?:"(?:\\.|[^"\\])*+"|\'(?:\\.|[^\'\\])*+\'|`[^`]*+`|[^,"\'`])++', re.DOTALL)
_METRIC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*+)?\s*+(\{.*\})?\Z", re.DOTALL)
_DIGITS = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_WORD = r"(?i:inf|nan)"
# As promtool's lexer has it: x right behind a word is part of that word, and what is added is so with x only.
_ITEM = re.compile(
    rf"(?:(?P<gap>_)|(?P<stale>stale(?!x))|(?P<word>[+-]?{_WORD})(?!x)|(?P<number>[+-]?{_DIGITS})"
    rf"|(?P<first>[+-]?(?:{_DIGITS}|{_WORD}))(?P<delta>[+-]{_DIGITS})(?=x))(?:x(?P<times>\d+))?\Z"
)


@dataclass(frozen=True, slots=True)
class Values:
    """One series: values [N] and where there is one [N]; item i stands at the series' start + i steps."""

    values: Floats
    present: "np.ndarray[tuple[int], np.dtype[np.bool_]]"

    def at(self, start_ms: int, step_ms: int) -> tuple[Int64s, Floats]:
        """Return the samples' times in ms, and their values."""
        places = np.flatnonzero(self.present)
        return start_ms + places.astype(np.int64) * step_ms, self.values[places]


def parse_series(text: str) -> Labels:
    """Return the labels of a series that has samples: at least one, each once. Raises RuleFault."""
    labels, names, again = _read(text)
    if not names:
        raise RuleFault("TG-test-series", f"{text!r} is no series: it has no labels")
    if again:
        raise RuleFault("TG-test-series", f"{text!r} is no series: a label is given twice")
    counts = Counter(names)
    twice = next((name for name in names if name in labels and counts[name] > 1), None)
    if twice is not None:
        raise RuleFault("TG-test-series", f"{text!r} is no series: label {twice!r} is given twice")
    return labels


def parse_labels(text: str) -> Labels:
    """Return the labels, __name__ included, of `name{a="b"}`; `` and `{}` are no labels. Raises RuleFault."""
    return _read(text)[0]


def _read(text: str) -> tuple[Labels, list[str], bool]:
    """Return the labels, the names as they are written, those of empty labels too, and whether a pair is repeated."""
    found = _METRIC.match(text.strip())
    if found is None:
        raise RuleFault("TG-test-series", f"{text!r} is no series")
    name, inside = found.groups()
    inner = (inside or "{}")[1:-1].strip()
    if not name and not inner:
        return {}, [], False
    # In braces a name may be any word, keywords of the language too.
    selector = "{" + ", ".join(part for part in (quoted(name) if name else "", inner) if part) + "}"
    try:
        plan = parse(selector)
    except PromqlError as error:
        raise RuleFault("TG-test-series", f"{text!r} is no series: {error}") from error
    if not isinstance(plan, Select) or any(op != "=" for _, op, _ in plan.matchers):
        raise RuleFault("TG-test-series", f"{text!r} is no series: a label is name=value")
    labels = {name: value for name, _, value in plan.matchers if value}
    names = [name for name, _, _ in plan.matchers] + [NAME] * bool(plan.metric)
    # A plan holds equal matchers once.
    again = sum(not part.isspace() for part in _PART.findall(selector[1:-1])) > len(names)
    return ({NAME: plan.metric, **labels} if plan.metric else labels), names, again


def parse_values(text: str) -> Values:
    """Return the values of a line; raises RuleFault."""
    parts: list[tuple[Floats, bool]] = []
    size = 0
    for item in text.split():
        if "{{" in item:
            raise RuleFault("TG-rule-unsupported", f"{item!r}: native histograms are not supported")
        found = _ITEM.match(item)
        if found is None:
            raise RuleFault("TG-test-values", f"{item!r} is no value; expected such as 1, 1+2x3, _, _x5 or stale")
        gap, stale, times, delta = found["gap"], found["stale"], found["times"], found["delta"]
        first = found["word"] or found["number"] or found["first"]
        if any(
            math.isinf(float(one)) for one in (found["number"], found["first"], delta) if one and "n" not in one.lower()
        ):
            raise RuleFault("TG-test-values", f"{item!r} is out of range")
        many = (times or "").lstrip("0")
        count = MAX_VALUES + 1 if len(many) > _LONGEST else int(many or 0) if times else int(bool(gap or stale))
        count += not gap and not stale
        size += count
        if size > MAX_VALUES:
            raise RuleFault("TG-test-size", f"a series has more than {MAX_VALUES} values")
        if gap or stale:
            parts.append((np.repeat(STALE, count), not gap))
        else:
            # Added up one by one, as promtool does: a product would round otherwise.
            steps = np.full(count, float(delta) if delta else 0.0)
            steps[0] = float(first)
            parts.append((np.cumsum(steps) if delta else np.full(count, float(first)), True))
    values = np.concatenate([np.empty(0), *(part for part, _ in parts)])
    present = np.concatenate([np.empty(0, np.bool_), *(np.full(len(part), there) for part, there in parts)])
    return Values(values, present)
