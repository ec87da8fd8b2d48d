"""Patterns that would take memory without end."""

import pytest

from promql.errors import PromqlError
from promql.match import capturing_regex, compile_regex, matches_value

# 63 kB; with its groups kept at each place, 20 GB.
GROUPS = "(a?){9}" * 9000


def test_a_matcher_keeps_no_groups() -> None:
    assert compile_regex(GROUPS).groups == 0
    assert matches_value("=~", GROUPS, "a" * 100)
    assert matches_value("!~", GROUPS, "b")


def test_groups_that_are_kept_are_few_for_their_size() -> None:
    assert capturing_regex("(a)(b?)(.*)").match("axyz").group(3) == "xyz"
    with pytest.raises(PromqlError, match="too many groups for its size"):
        capturing_regex(GROUPS)
