"""Label matchers as Prometheus has them: RE2, anchored, a label that is absent equals the empty string."""

from functools import lru_cache
from typing import Any

import re2

from promql.columns import NAME, Labels, Matcher, Selector
from promql.errors import PARSE, PromqlError

# Groups times instructions: RE2 keeps every group at each place of its program, 20 GB for 9,000 groups of nine.
_MOST_CAPTURES = 1_000_000


def _options(captures: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    # Compiled programs are bounded, so that a pattern cannot take memory without end.
    options.max_mem = 8 << 20
    options.never_capture = not captures
    return options


_TESTING, _CAPTURING = _options(captures=False), _options(captures=True)


def anchored(pattern: str) -> str:
    """Return a pattern as Prometheus means it: it matches the whole value, and . a newline too."""
    return f"^(?s:{pattern})$"


@lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> Any:
    """Return the compiled, anchored pattern, which has no groups; raises PromqlError PARSE."""
    return _compiled(anchored(pattern), pattern, _TESTING)


@lru_cache(maxsize=256)
def capturing_regex(pattern: str) -> Any:
    """Return the same with its groups, as label_replace expands them; raises PARSE."""
    found = _compiled(anchored(pattern), pattern, _CAPTURING)
    if found.groups * found.programsize > _MOST_CAPTURES:
        raise PromqlError(PARSE, f"invalid regular expression {pattern[:80]!r}: it has too many groups for its size")
    return found


@lru_cache(maxsize=256)
def search_regex(pattern: str) -> Any:
    """Return a compiled pattern that may match anywhere, as templates' match and reReplaceAll do; raises PARSE."""
    return _compiled(pattern, pattern, _CAPTURING)


def _compiled(whole: str, pattern: str, options: re2.Options) -> Any:
    try:
        return re2.compile(whole, options=options)
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
