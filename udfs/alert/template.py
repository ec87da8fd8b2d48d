"""The templates of labels and annotations: Go's text/template with Prometheus's functions and variables.

Source: prometheus.io/docs/prometheus/latest/configuration/template_reference. A template that cannot be expanded gives
`<error expanding template: …>` with the words of Prometheus, and the alert goes on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from promql.columns import NAME
from udfs.alert.lifecycle import Labels
from udfs.alert.rule import Rule, RuleFault
from udfs.template.errors import ExecError, ParseError
from udfs.template.functions import NAMES, functions
from udfs.template.lex import lex
from udfs.template.parse import parse
from udfs.template.run import run
from udfs.template.tree import Tree
from udfs.template.values import Data, Sample, go_float

__all__ = ["Sample", "Scene", "alert_labels", "asks", "check_template", "expand", "go_float", "missing"]

# Prometheus sets its variables in front of the text; errors count their columns from there.
_PREFIX = (
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a template knows beside its alert: the rule's name, the labels and address of the outside, queries.

    query raises ValueError or PromqlError.
    """

    name: str = ""
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""
    query: Callable[[str], Sequence[Sample]] | None = None


_NOWHERE = Scene()
_ELSEWHERE = ("query", "$externalLabels", ".ExternalLabels", "$externalURL", ".ExternalURL")


def asks(texts: Iterable[tuple[str, str]]) -> bool:
    """Tell whether a label's or annotation's template may query."""
    return any("{{" in text and "query" in text for _, text in texts)


def missing(text: str) -> str:
    """Return what a template asks for that the stream has not, "" if there is nothing: query, $externalLabels, …URL."""
    if "{{" not in text:
        return ""
    try:
        words = {token.text for token in lex(text) if token.kind in ("word", "variable", "field")}
    except ParseError:
        return ""  # check_template says so
    return next((one for one in _ELSEWHERE if one in words), "")


def check_template(text: str) -> None:
    """Raise RuleFault TG-rule-template if the text is no template."""
    try:
        _tree(text)
    except ParseError as error:
        raise RuleFault("TG-rule-template", f"line {error.line} of the text: {error.reason}") from error


def expand(text: str, labels: Mapping[str, str], value: float, scene: Scene = _NOWHERE) -> str:
    """Return a text with its actions filled in; an absent label is empty, as in Prometheus."""
    if "{{" not in text:
        return text
    name = f"__alert_{scene.name}"
    try:
        tree = _tree(text)
    except ParseError as error:
        return f"<error expanding template: error parsing template {name}: {error.named(name)}>"
    data = Data(labels, scene.external_labels, scene.external_url, value)
    known = functions(scene.query, scene.external_url)
    try:
        return run(tree, name, data, known, {})
    except ExecError as error:
        return f"<error expanding template: error executing template {name}: {error}>"


def alert_labels(rule: Rule, labels: Mapping[str, str], value: float, scene: Scene = _NOWHERE) -> Labels:
    """Return an alert's labels: the result's without __name__, the rule's over them, alertname; empty ones are none."""
    own = {name: expand(text, labels, value, scene) for name, text in rule.labels}
    merged = {**labels, **own, "alertname": rule.alert}
    return tuple(sorted((name, text) for name, text in merged.items() if text and name != NAME))


@lru_cache(maxsize=8192)
def _tree(text: str) -> Tree:
    return parse(_PREFIX + text, NAMES) if "{{" in text else parse(text, NAMES)
