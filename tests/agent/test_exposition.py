"""Text in, series and values out; the fast path must say what the slow one says."""

import math

import pytest

from agent.exposition import Exposition

PROMETHEUS = """\
# HELP flink_records Records.
# TYPE flink_records counter
flink_records{job="store",host="a"} 5
# TYPE temp gauge
temp 21.5 1700000000000
temp2 NaN
# TYPE h histogram
h_bucket{le="1"} 2
h_bucket{le="+Inf"} 3
h_sum 4.5
h_count 3
esc{a="x\\"y # {}",b="p\\\\q"} 1e3
spaced{a="1 2"}   7
"""

OPENMETRICS = """\
# TYPE rpc_seconds histogram
# UNIT rpc_seconds seconds
rpc_seconds_bucket{le="1"} 2 # {trace="t 1"} 0.5
rpc_seconds_bucket{le="+Inf"} 3
rpc_seconds_count 3
rpc_seconds_sum 4.5
rpc_seconds_created 1700000000.5
# TYPE gc counter
gc_total 1.0
# EOF
"""


def shown(exposition: Exposition, text: str, openmetrics: bool = False) -> list[str]:
    lines = []
    for s, value in exposition.parse(text, openmetrics):
        labels = ",".join(f"{name}={value}" for name, value in s.labels if name not in ("job", "instance"))
        lines.append(f"{s.name}{{{labels}}} {s.type} {s.unit} {value}")
    return lines


def test_prometheus_text_keeps_names_types_and_escapes() -> None:
    assert shown(Exposition("j", "h:1"), PROMETHEUS) == [
        "flink_records{exported_job=store,host=a} counter  5.0",  # not flink_records_total
        "temp{} gauge  21.5",  # the text's own timestamp is not used
        "temp2{} unknown  nan",
        "h_bucket{le=1} histogram  2.0",
        "h_bucket{le=+Inf} histogram  3.0",
        "h_sum{} histogram  4.5",
        "h_count{} histogram  3.0",
        'esc{a=x"y # {},b=p\\q} unknown  1000.0',
        "spaced{a=1 2} unknown  7.0",
    ]


def test_openmetrics_brings_units_and_exemplars_are_no_values() -> None:
    assert shown(Exposition("j", "h:1"), OPENMETRICS, openmetrics=True) == [
        "rpc_seconds_bucket{le=1} histogram seconds 2.0",
        "rpc_seconds_bucket{le=+Inf} histogram seconds 3.0",
        "rpc_seconds_count{} histogram seconds 3.0",
        "rpc_seconds_sum{} histogram seconds 4.5",
        "rpc_seconds_created{} gauge seconds 1700000000.5",
        "gc_total{} counter  1.0",
    ]


@pytest.mark.parametrize(("text", "openmetrics"), [(PROMETHEUS, False), (OPENMETRICS, True)])
def test_memory_gives_what_parsing_gives(text: str, openmetrics: bool) -> None:
    warm = Exposition("j", "h:1")
    warm.parse(text, openmetrics)
    changed = text.replace(" 3\n", " 8\n").replace(" 5\n", " 6\n").replace("21.5", "-Inf").replace("NaN", "2")
    assert shown(warm, changed, openmetrics) == shown(Exposition("j", "h:1"), changed, openmetrics)


def test_memory_is_used_for_lines_seen_before() -> None:
    warm = Exposition("j", "h:1")
    first = warm.parse('a{x="1"} 1\nb 2\n')
    again = warm.parse('b 3\na{x="1"} 4\n')
    assert [value for _, value in again] == [3.0, 4.0]
    assert again[1][0] is first[0][0]


def test_an_exemplar_is_never_taken_for_the_value() -> None:
    text = '# TYPE h histogram\nh_bucket{{le="+Inf"}} 2 # {{t="1"}} {}\n# EOF\n'
    warm = Exposition("j", "h:1")
    warm.parse(text.format(2), openmetrics=True)
    assert [value for _, value in warm.parse(text.format(7), openmetrics=True)] == [2.0]


def test_a_new_type_is_seen_though_the_lines_are_known() -> None:
    warm = Exposition("j", "h:1")
    warm.parse("# TYPE a gauge\na 1\n")
    assert warm.parse("# TYPE a counter\na 1\n")[0][0].type == "counter"


def test_a_series_given_twice_counts_once() -> None:
    assert [value for _, value in Exposition("j", "h:1").parse('a{b="",c="1"} 1\na{c="1"} 2\n')] == [1.0]


@pytest.mark.parametrize(
    ("text", "openmetrics"),
    [
        ("a{ 1\n", False),
        ("a x\n", False),
        ("a 1_000\n", False),
        ('a{b="1",b="2"} 1\n', False),
        ("<html>\n", False),
        ("a 1\n", True),  # OpenMetrics without # EOF: the answer was cut off
        ("a 1\n# EOF\nb 1\n# EOF\n", True),
        ("a 0x10\n", False),
        ("a +NaN\n", False),
        ("a 1e400\n", False),  # not an infinity
        ("a 1 2 3\n", False),
        ('a 1 # {t="1"} 1\n', False),  # an exemplar is OpenMetrics'
        ('a{x="1\n', False),
        ('a{,x="1"} 1\n', False),
        ('a{x="1",,y="2"} 1\n', False),
        ('a{1x="1"} 1\n', False),
        ('a{x:y="1"} 1\n', False),
        ('a{__name__="b"} 1\n', False),
        ('{"a","b"} 1\n', False),
        ('{x="1"} 1\n', False),
        ("a-b 1\n", False),
        ("# TYPE a COUNTER\na 1\n", False),
        ("# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n", True),
    ],
)
def test_what_cannot_be_read_is_a_value_error(text: str, openmetrics: bool) -> None:
    for exposition in (Exposition("j", "h:1"), warmed()):
        with pytest.raises(ValueError):
            exposition.parse(text, openmetrics)


def warmed() -> Exposition:
    exposition = Exposition("j", "h:1")
    exposition.parse("a 1\n# EOF\n", openmetrics=True)
    return exposition


# Each of these Prometheus 2.42 stores, or 3 does: the parser of prometheus_client took none of them.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# TYPE a counter\na 1\n", ["a{} counter  1.0"]),
        ("# TYPE a_total counter\na_total 1\n", ["a_total{} counter  1.0"]),
        ("# TYPE a counter\na_total -1\n", ["a_total{} counter  -1.0"]),
        ("# TYPE a counter\na_total NaN\n", ["a_total{} counter  nan"]),
        ("# TYPE a gauge\na 1\na 2\n", ["a{} gauge  1.0"]),
        ("# TYPE a gauge\na 2 2\na 1 1.5\n", ["a{} gauge  2.0"]),
        (
            'a{x="1"} 1\nb 2\na{x="2"} 3\n# TYPE a gauge\n',
            ["a{x=1} gauge  1.0", "b{} unknown  2.0", "a{x=2} gauge  3.0"],
        ),
        ("# TYPE a gauge\n# TYPE a counter\na 1\n# HELP a x\n# HELP a y\n", ["a{} counter  1.0"]),
        (
            '# TYPE h histogram\nh_bucket{le="2"} 2\nh_bucket{le="1"} 3\n',
            ["h_bucket{le=2} histogram  2.0", "h_bucket{le=1} histogram  3.0"],
        ),
        ("# TYPE h histogram\nh_count 3\n", ["h_count{} histogram  3.0"]),
        ('# TYPE s summary\ns{quantile="50"} -1\n', ["s{quantile=50} summary  -1.0"]),
        ('# TYPE s stateset\ns{b="x"} 2\n', ["s{b=x} stateset  2.0"]),
        ('# TYPE a counter\na_total 1 # {id="' + "x" * 200 + '"} 1\n', ["a_total{} counter  1.0"]),
        ('a{__x="1"} 1\n', ["a{__x=1} unknown  1.0"]),  # the gate refuses the series, and says so
        ("# HELP a " + "h" * 70_000 + "\na 1\n", ["a{} unknown  1.0"]),
    ],
)
def test_what_prometheus_takes_of_openmetrics(text: str, expected: list[str]) -> None:
    assert shown(Exposition("j", "h:1"), f"{text}# EOF\n", openmetrics=True) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"a.b", "x.y"="1"} 1', "a.b{x.y=1} unknown  1.0"),
        ('a{x="q\\"q\\n\\\\n\\t"} 1', 'a{x=q"q\n\\n\\t} unknown  1.0'),
        ('  a\t{ x = "}" , y=" # " , }1\r', "a{x=},y= # } unknown  1.0"),
        ("a{} 1", "a{} unknown  1.0"),
        ('a{x="\u2028\x85\x0b"} 1', "a{x=\u2028\x85\x0b} unknown  1.0"),
        ("a -0", "a{} unknown  -0.0"),
        ("a 5. 1700000000000", "a{} unknown  5.0"),
        ("a\t1 1700000000000", "a{} unknown  1.0"),
        ("a 1\t1700000000000", "a{} unknown  1.0"),
        ("HELP 123456789012345678901234567890", "HELP{} unknown  1.2345678901234568e+29"),
        ("nan nan", "nan{} unknown  nan"),
    ],
)
def test_lines_as_prometheus_reads_them(line: str, expected: str) -> None:
    exposition = Exposition("j", "h:1")
    assert [shown(exposition, line), shown(exposition, line)] == [[expected]] * 2


def test_series_that_are_gone_are_forgotten() -> None:
    exposition = Exposition("j", "h:1")
    for pod in range(100):
        exposition.parse(f'a{{pod="{pod}"}} 1\nb 1\n')
    assert len(exposition._seen) < 10


def test_special_values() -> None:
    values = [value for _, value in Exposition("j", "h:1").parse("a +Inf\nb -Inf\nc NaN\n")]
    assert values[:2] == [math.inf, -math.inf]
    assert math.isnan(values[2])


def test_a_line_beyond_all_limits_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ValueError, match="a line of 2000009 characters, 65536 are the limit"):
        Exposition("j", "i").parse('m{a="' + '\\"' * 1_000_000 + '"} 1\n')
