import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promql.columns import Selector
from promql.errors import PromqlError
from promql.evaluate import matches, selectors
from promql.parse import MAX_DEPTH, MAX_SYMBOLS, parse
from promql.plan import Aggregate, Binary, Call, Number, Select, Text, Window, canonical, kind


def test_a_plan_is_a_small_tree() -> None:
    assert parse('sum by (b, a) (rate(http{x="1"}[5m] offset 1m)) > bool 2') == Binary(
        ">",
        Aggregate(
            "sum",
            Call("rate", (Window(Select("http", (("x", "=", "1"),), 60_000), 300_000),), "vector"),
            None,
            ("a", "b"),
            False,
        ),
        Number(2.0),
        True,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sum(up)", "sum (  up ) # spaces"),
        ("up", "(up)"),
        ('up{a="1",b="2"}', "up{b='2', a=`1`}"),
        ('{__name__="up"}', "up"),
        ("rate(up[5m])", "rate(up[300s])"),
        ("up", "up offset 0"),
        ("rate(up[5m])", "rate(up[5m] OFFSET -0s)"),
        ("up @ 5 offset 0s", "up @ 5.0"),
        ("max_over_time(up[5m:])", "max_over_time((up)[300:])"),
        ("up + 1000", "up + 1_000"),
        ("up + 31", "up + 0x_1F"),
        ('up{a="é"}', 'up{a="\\xc3\\xa9"}'),
        ("up offset 5m", "up offset # was 10m\n 5m"),
        ("up offset 5m", "up offset#0s\r5m"),
        ("up @ 20", "up @ # 10 was\n 20"),
        ("up @ 20", "up @ # it's\n # \"10\n 20"),
        ('up{a=~"y"}', 'up{a=~ # "x" was\n "y"}'),
        ('up{a="#b"}', "up{a='#b'} # '"),
        ("up @ start()", "up @ START()"),
        ("up @ end()", "up @ End # or start()\n ( )"),
        ("up[1h:] @ end()", "up[1h:]@eND()"),
    ],
)
def test_equal_queries_have_one_canonical_text(one: str, other: str) -> None:
    assert canonical(parse(one)) == canonical(parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('x{a="b\\",c=\\"d"}', 'x{a="b",c="d"}'),
        ("up offset 5m", "up offset -5m"),
        ("sum by () (up)", "sum without () (up)"),
        ("a - b", "b - a"),
        ('up{a="1"}', 'up{a=~"1"}'),
        ("a > b", "a > bool b"),
    ],
)
def test_different_queries_never_do(one: str, other: str) -> None:
    assert canonical(parse(one)) != canonical(parse(other))


@pytest.mark.parametrize(
    ("text", "error_id"),
    [
        ("", "TG-promql-parse"),
        ("sum(", "TG-promql-parse"),
        ("sum(up) offset 0", "TG-promql-parse"),
        ("up offset 300y", "TG-promql-parse"),
        ("nofunction(up)", "TG-promql-parse"),
        ('up{a=~"*"}', "TG-promql-parse"),
        ('up{a="1" or b="2"}', "TG-promql-parse"),
        ("rate(up)", "TG-promql-parse"),
        ("up @ inf", "TG-promql-parse"),
        ("up @ 1e30", "TG-promql-parse"),
        ("up @ up", "TG-promql-parse"),
        ("up[300y]", "TG-promql-parse"),
        ("up[0]", "TG-promql-parse"),
        ("up offset " + "9" * 400, "TG-promql-parse"),
        ("up[5m:0]", "TG-promql-parse"),
        ("up[0s:1m]", "TG-promql-parse"),
        ('up{a=~"x\n"}', "TG-promql-parse"),
        ("up[5m] @ 3 @ 4", "TG-promql-parse"),
        ('up{a="\\q"}', "TG-promql-parse"),
        ('up{a="\\', "TG-promql-parse"),
        ('"x\ny"', "TG-promql-parse"),
        ("up # it's\n 'x", "TG-promql-parse"),
        ("up offset #30s", "TG-promql-parse"),
        ("up @ # 10", "TG-promql-parse"),
        ("up{a!~#`b c`}", "TG-promql-parse"),
        ("1e400", "TG-promql-parse"),
        ("up > -1_0.0e400", "TG-promql-parse"),
        ("9" * 400, "TG-promql-parse"),
        ("up @ 1e400", "TG-promql-parse"),
        ("start()", "TG-promql-parse"),
        ("1 + end()", "TG-promql-parse"),
        ("mad_over_time(up[5m])", "TG-promql-unsupported"),
        ("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1), "TG-promql-nesting"),
        ("1" + "+1" * (MAX_SYMBOLS + 1), "TG-promql-nesting"),
        ("1" + "+1" * (MAX_DEPTH + 1), "TG-promql-nesting"),
    ],
)
def test_what_is_refused_says_so_by_its_id(text: str, error_id: str) -> None:
    with pytest.raises(PromqlError) as caught:
        parse(text)
    assert caught.value.id == error_id
    assert error_id in str(caught.value)


HEADS = ("", "m ", "m @ ", "m @ -", "m @ 1", "m offset ", "m offset 0", "m{a=~", 'm{a="', "m[")
PIECES = ("#", "##\n", " #", " ", "\n", "0", "1_", "1m", "0.0", ".", "1e1", '"', '\\"', "`'", "@ ", "@ start ", "=~ ")


# Nothing else runs while an expression of Python's re does.
@pytest.mark.parametrize("piece", PIECES)
def test_any_text_is_read_at_once(piece: str) -> None:
    for text in (head + piece * (10_000 // len(piece)) + end for head in HEADS for end in ("", "x", "\n!")):
        begin = time.process_time()
        with suppress(PromqlError):
            parse(text)
        assert time.process_time() - begin < 1, text[:20]


def test_an_at_sign_in_a_string_is_no_modifier() -> None:
    assert parse('up{mail="a@b"}') == Select("up", (("mail", "=", "a@b"),))


@pytest.mark.parametrize(
    ("text", "want"),
    [("1", "scalar"), ('"x"', "string"), ("up[5m]", "matrix"), ("-up", "vector"), ("1 + up", "vector")],
)
def test_kind(text: str, want: str) -> None:
    assert kind(parse(text)) == want


def test_selectors_tell_what_must_be_kept() -> None:
    expr = parse("rate(a[10m] offset 1m) + b + b")
    assert selectors(expr) == [Selector("a", (), -660_000, -60_000), Selector("b", (), -300_000, 0)]
    assert selectors(expr, 1_000_000, 2_000_000, 60_000) == [
        Selector("a", (), 340_000, 1_940_000),
        Selector("b", (), 940_000, 2_000_000),
    ]


@pytest.mark.parametrize(
    ("text", "labels", "want"),
    [
        ("up", {"__name__": "up"}, True),
        ("up", {"__name__": "upper"}, False),
        ('{a="1"}', {"__name__": "x", "a": "1"}, True),
        ('up{a!="1"}', {"__name__": "up"}, True),
        ('up{a=~".*"}', {"__name__": "up", "a": "x\ny"}, True),
        ('up{a=~"x"}', {"__name__": "up", "a": "xx"}, False),
        ('up{a!~"x|y"}', {"__name__": "up", "a": "y"}, False),
        ('{__name__=~"up.*",a=""}', {"__name__": "upper"}, True),
    ],
)
def test_matches(text: str, labels: dict[str, str], want: bool) -> None:
    assert matches(selectors(parse(text))[0], labels) is want


# What Prometheus 3.5 answers only with a feature flag, what came later, and what is for native histograms.
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("double_exponential_smoothing(up[5m], 0.1, 0.1)", "double_exponential_smoothing()"),
        ("info(up)", "info()"),
        ("mad_over_time(up[5m])", "mad_over_time()"),
        ('sort_by_label(up, "a")', "sort_by_label()"),
        ('sort_by_label_desc(up, "a")', "sort_by_label_desc()"),
        ("ts_of_min_over_time(up[5m])", "ts_of_min_over_time()"),
        ("ts_of_max_over_time(up[5m])", "ts_of_max_over_time()"),
        ("ts_of_last_over_time(up[5m])", "ts_of_last_over_time()"),
        ("first_over_time(up[5m])", "first_over_time()"),
        ("limitk(1, up)", "limitk"),
        ("limit_ratio(0.5, up)", "limit_ratio"),
        ("histogram_avg(up)", "histogram_avg()"),
        ("histogram_count(up)", "histogram_count()"),
        ("histogram_stddev(up)", "histogram_stddev()"),
        ("histogram_stdvar(up)", "histogram_stdvar()"),
        ("histogram_sum(up)", "histogram_sum()"),
        ("up + fill(0) up", "fill()"),
        ("step()", "step()"),
    ],
)
def test_what_is_not_supported_is_named(text: str, name: str) -> None:
    with pytest.raises(PromqlError, match="TG-promql-unsupported") as caught:
        parse(text)
    assert name in str(caught.value)


SOUP = r"""
up m {a="b"} {a=~"x.*"} {} [5m] [5m:1m] [0] [5m:] ( ) { } [ ] , : @ @5 @-1 @start() @end() @1e400 @inf
+ - * / % ^ == != > < >= <= and or unless atan2 bool on ignoring (a) () group_left group_right by without
offset 5m -1h 0 1 1_0 0x1F 1e999 NaN inf 99999999999999999999 99999999999y sum topk rate absent time
"x" 'y' `z` "\xff" "\x" "\u00e9" "\ud800" # é $ = =~ !~ ! \ " ' `
"""
WORDS = (*SOUP.split(), "9" * 400, "\0", "\n", "\U0010ffff")


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.sampled_from(["", " "]))
@settings(max_examples=500, deadline=None)
def test_any_text_has_a_plan_or_an_error(words: list[str], gap: str) -> None:
    try:
        plan = parse(gap.join(words))
    except PromqlError:
        return
    assert canonical(plan)
    selectors(plan, 0, 1000)


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_string_comes_back_as_it_is(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    escaped = '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'
    assert parse(quoted) == parse(escaped) == Text(text)
    assert parse(f"up{{a={escaped}}}") == Select("up", (("a", "=", text),))
