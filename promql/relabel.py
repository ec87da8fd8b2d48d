"""label_replace and label_join: series with one label written from others."""

import re
from typing import Any

from promql.columns import Labels
from promql.errors import EXECUTION, PARSE, PromqlError
from promql.grid import Grid
from promql.match import capturing_regex
from promql.result import String, Vector
from promql.series import distinct, quoted
from promql.text import is_broken

# Go's Regexp.Expand: $$, $name with the longest name of word characters, ${name}.
_TEMPLATE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})", re.ASCII)


def label_replace(
    grid: Grid, vector: Vector, target: String, replacement: String, source: String, pattern: String
) -> Vector:
    """Return the vector with `target` set to the expanded replacement where the whole source label matches."""
    try:
        regex = capturing_regex(pattern.value)
    except PromqlError as error:
        if error.id != PARSE:
            raise
        why = f"invalid regular expression in label_replace(): {pattern.value}"
        raise PromqlError(EXECUTION, why) from error
    _check(target.value, "destination label name in label_replace()")
    written: dict[str, str | None] = {}
    labels = []
    for one in vector.labels:
        value = one.get(source.value, "")
        if value not in written:
            match = regex.match(value)
            written[value] = None if match is None else _expand(match, regex, replacement.value)
        text = written[value]
        labels.append(one if text is None else _with(one, target.value, text))
    return distinct(Vector(labels, vector.values, vector.present))


def label_join(grid: Grid, vector: Vector, target: String, separator: String, *sources: String) -> Vector:
    """Return the vector with `target` set to the source labels, joined."""
    _check(target.value, "destination label name in label_join()")
    for source in sources:
        _check(source.value, "source label name in label_join()")
    labels = [
        _with(one, target.value, separator.value.join(one.get(source.value, "") for source in sources))
        for one in vector.labels
    ]
    return distinct(Vector(labels, vector.values, vector.present))


def _with(labels: Labels, name: str, value: str) -> Labels:
    if value:
        return {**labels, name: value}
    return {key: text for key, text in labels.items() if key != name}


def _check(name: str, what: str) -> None:
    if not valid_name(name):
        raise PromqlError(EXECUTION, f"invalid {what}: {quoted(name)}")


def valid_name(name: str) -> bool:
    """Tell whether a label may be called that: any text since Prometheus 3, but UTF-8."""
    return bool(name) and not is_broken(name)


def _expand(match: Any, regex: Any, template: str) -> str:
    """Return the template with the groups of a match put in; unknown groups are empty."""

    def group(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        name = found[2] or found[3]
        index = regex.groupindex.get(name, -1)
        if name.isdecimal() and (len(name) == 1 or name[0] != "0"):
            index = int(name)
        return (match.group(index) or "") if 0 <= index <= regex.groups else ""

    return _TEMPLATE.sub(group, template)
