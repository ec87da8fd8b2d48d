"""format_query: one form, and the same plan."""

from pathlib import Path

import pytest

from promql.parse import parse
from query.layout import pretty
from tests.conformance.corpus import FOLDER

TABLE = [
    ("sum(x)by(a,b)", "sum by (a, b) (x)"),
    ("sum without(a)(x)", "sum without (a) (x)"),
    ("topk(3,x)", "topk(3, x)"),
    ("sum(x)", "sum(x)"),
    ('x{b="c",a!~"d|e"}[5m] offset 1h30m', 'x{b="c",a!~"d|e"}[5m] offset 1h30m'),
    ("x offset -90s", "x offset -1m30s"),
    ("rate(x[5m]@10)", "rate(x[5m] @ 10.000)"),
    ("x @ -1.5", "x @ -1.500"),
    ("max_over_time(x[1d:30s]@end())", "max_over_time(x[1d:30s] @ end())"),
    ("a+on(b)group_left(c)d", "a + on (b) group_left (c) d"),
    ("a==bool ignoring(x) b", "a == bool ignoring (x) b"),
    ("a and b or c unless d", "a and b or c unless d"),
    ("a+on()b", "a + on () b"),
    ("-x^2", "-x ^ 2"),
    ("(((1)))", "(((1)))"),
    ("1e3 + 0x10", "1000 + 16"),
    ('{"a.b","c d"="e"}', '{__name__="a.b","c d"="e"}'),
    ("'it\"s'", '"it\\"s"'),
    ("x # comment\n+ y", "x + y"),
    ("x[365d:1w]", "x[1y:1w]"),
    ('x{a="\\t\\a\\u007f\\u200b",b=~"\\x00é"}', 'x{a="\\t\\a\\x7f\\u200b",b=~"\\x00é"}'),
    ('"\\xff\\xfe\\U000e0001"', '"\\xff\\xfe\\U000e0001"'),
    ("`a\tb\\n\nc`", '"a\\tb\\\\n\\nc"'),
    ('label_replace(x,"a","$1","b","(.*)")', 'label_replace(x, "a", "$1", "b", "(.*)")'),
]
LONG = 'name_of_a_metric_that_is_long_enough_to_fill_a_line{label_of_it="and its value, which is long too"}'


@pytest.mark.parametrize(("text", "want"), TABLE, ids=[text for text, _ in TABLE])
def test_one_line(text: str, want: str) -> None:
    assert pretty(text) == want
    assert parse(want) == parse(text)
    assert pretty(want) == want


def test_long_ones_are_broken() -> None:
    text = f"sum by (a) (rate({LONG}[5m])) / on (a) (count({LONG}) + 1)"
    want = f"""\
  sum by (a) (
    rate(
      {LONG}[5m]
    )
  )
/ on (a)
  (
      count(
        {LONG}
      )
    +
      1
  )"""
    assert pretty(text) == want
    assert parse(want) == parse(text)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the corpus is not here")
def test_every_query_of_the_corpus_keeps_its_plan() -> None:
    seen = 0
    for path in sorted(Path(FOLDER, "promqltest").glob("*.test")):
        for line in path.read_text().splitlines():
            if line.startswith("eval instant at ") and len(line.split(maxsplit=4)) == 5:
                try:
                    plan = parse(line.split(maxsplit=4)[4])
                except Exception:
                    continue
                seen += 1
                assert repr(parse(pretty(line.split(maxsplit=4)[4]))) == repr(plan), line
    assert seen > 400
