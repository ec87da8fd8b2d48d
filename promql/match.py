"""Label matchers as Prometheus has them: RE2, anchored, a label that is absent equals the empty string."""

from functools import lru_cache
from typing import Any

import re2

from promql.columns import NAME, Labels, Matcher, Selector
from promql.errors import PARSE, PromqlError

# Compiled programs are bounded, so that a pattern cannot take memory without end.
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 8 << 20


def anchored(pattern: str) -> str:
    """Return a pattern as Prometheus means it: it matches the whole value, and . a newline too."""
    return f"^(?s:{pattern})$"


@lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> Any:
    """Return the compiled, anchored pattern; raises PromqlError PARSE."""
    return _compiled(anchored(pattern), pattern)


@lru_cache(maxsize=256)
def search_regex(pattern: str) -> Any:
    """Return a compiled pattern that may match anywhere, as templates' match and reReplaceAll do; raises PARSE."""
    return _compiled(pattern, pattern)


def _compiled(whole: str, pattern: str) -> Any:
    try:
        return re2.compile(whole, options=_OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if error.args else "invalid"
        raise PromqlError(PARSE, f"invalid regular expression {pattern!r}: {reason}") from error


def matches_value(op: str, pattern: str, value: str) -> bool:
    """Tell whether a label's value satisfies one matcher."""
    match op:
        case "=":
            return value == pattern
        case "!=":
            return value != pattern
        case "=~":
            return compile_regex(pattern).match(value) is not None
        case "!~":
            return compile_regex(pattern).match(value) is None
    raise ValueError(f"no such matcher: {op}")


def matches_all(matchers: tuple[Matcher, ...], labels: Labels) -> bool:
    """Tell whether a label set satisfies every matcher."""
    return all(matches_value(op, pattern, labels.get(name, "")) for name, op, pattern in matchers)


def matches(selector: Selector, labels: Labels) -> bool:
    """Tell whether a label set (with __name__) is one of the selector's."""
    if selector.metric and labels.get(NAME, "") != selector.metric:
        return False
    return matches_all(selector.matchers, labels)
