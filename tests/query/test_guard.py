"""What is refused before anything is looked up."""

import pytest

from promql.errors import PromqlError
from promql.plan import Select
from query.answers import Request
from query.errors import QueryError
from query.guard import Guard

GUARD = Guard(100, 10)


@pytest.mark.parametrize("text", ["rate(up[5m])", "up[5m]", "up offset 5m", "up @ 5", "up @ end()", "1"])
def test_a_match_is_a_selector(text: str) -> None:
    with pytest.raises(QueryError, match="not a series selector"):
        GUARD.selector(text)


def test_a_match_that_is_no_promql() -> None:
    with pytest.raises(PromqlError):
        GUARD.selector("up{")


@pytest.mark.parametrize(
    ("text", "error_id"),
    [
        ("x" * 101, "TG-query-text"),
        ("ü" * 51, "TG-query-text"),
        ("\ud83d", "TG-query-utf8"),
        ('x{a=~"' + "b" * 11 + '"}', "TG-query-regex-length"),
        ('sum(rate(x{a!~"' + "ü" * 6 + '"}[5m]))', "TG-query-regex-length"),
    ],
)
def test_limits(text: str, error_id: str) -> None:
    with pytest.raises(QueryError) as caught:
        GUARD.plan(Request("t", {"query": text}, {}, 0))
    assert (caught.value.id, caught.value.status) == (error_id, 400)


def test_only_a_regex_is_held_to_the_limit_of_regexes() -> None:
    assert GUARD.selector('x{a="' + "b" * 50 + '"}') == Select("x", (("a", "=", "b" * 50),))
    assert GUARD.selector('x{a=~"' + "b" * 10 + '"}').metric == "x"


@pytest.mark.parametrize("text", ["(a+)+$", "(x{1000}){1000}", "a{1001}", "(?P<x>a)\\\\1"])
def test_a_regex_is_re2(text: str) -> None:
    """Those that RE2 cannot run in linear time and bounded memory are refused; the others are harmless."""
    try:
        Guard(1000, 100).selector(f'x{{a=~"{text}"}}')
    except PromqlError as error:
        assert error.id == "TG-promql-parse"
    else:
        assert text == "(a+)+$"


def test_a_panic_of_the_parser_is_a_bad_query() -> None:
    with pytest.raises(PromqlError, match="parser cannot take it"):
        Guard(1000, 100).selector("up offset " + "9" * 300)
