"""Lines of series: what they may say and how they are refused."""

import io
import json

import numpy as np
import pytest

from load.jsonl import BadLine, Line, lines, parse
from schemas.batch import Series
from schemas.nan import NORMAL_BITS, STALE_BITS


def line(samples: str, labels: str = '{"__name__": "m"}', more: str = "") -> bytes:
    return f'{{"labels": {labels}, "samples": {samples}{more}}}\n'.encode()


@pytest.mark.parametrize(
    ("written", "bits"),
    [
        ("0", 0),
        ("-0", 1 << 63),
        ("-0.0", 1 << 63),
        (" -0 ", 1 << 63),
        ("5e-324", 1),
        ("-5e-324", 1 << 63 | 1),
        ('"NaN"', NORMAL_BITS),
        ('"stale"', STALE_BITS),
        ('"+Inf"', 0x7FF0000000000000),
        ('"-Inf"', 0xFFF0000000000000),
        ("0.1", int(np.float64(0.1).view(np.uint64))),
        ("9007199254740993", int(np.float64(9007199254740992).view(np.uint64))),
        ("18446744073709551615", int(np.float64(2.0**64).view(np.uint64))),
        ("1.7976931348623157e308", 0x7FEFFFFFFFFFFFFF),
    ],
)
def test_values_keep_their_bits(written: str, bits: int) -> None:
    values = parse(line(f"[[1, 1.5], [2, {written}], [3, -1]]")).values
    assert values.view(np.uint64).tolist() == [
        int(np.float64(1.5).view(np.uint64)),
        bits,
        int(np.float64(-1).view(np.uint64)),
    ]


def test_labels_are_sorted_and_empty_ones_are_none() -> None:
    found = parse(
        line(
            "[]",
            '{"b": "-0, x", "__name__": "m.n:o", "a": "é", "c": "", "__t__": "t"}',
            ', "type": "gauge", "unit": "s"',
        )
    )
    assert found.series == Series("m.n:o", (("__t__", "t"), ("a", "é"), ("b", "-0, x")), "gauge", "s")
    assert len(found.timestamps) == len(found.values) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"nonsense", "TG-load-json: .* in nonsense"),
        (b"[1]", "TG-load-shape: expected an object"),
        (line("[]", more=', "type": []'), r"TG-load-shape: type \[\]"),
        (line("[]", more=', "type": {"a": 1}'), "TG-load-shape: type {'a': 1}"),
        (line("[]", more=', "unit": []'), r"TG-load-shape: type 'unknown', unit \[\]"),
        (b'{"samples": []}', "TG-load-shape"),
        (line("[]", more=', "tenant": "x"'), "TG-load-shape: unknown key 'tenant'"),
        (line("[]", more=', "type": "gage"'), "TG-load-shape: type 'gage'"),
        (line("{}"), "TG-load-shape: samples are {}"),
        (line("[[1]]"), r"TG-load-shape: samples are \[\[1\]\]"),
        (line("[[1, 2, 3]]"), "TG-load-shape"),
        (line("7"), "TG-load-shape"),
        (line('[[1, "Nan"]]'), "TG-load-value: value 'Nan'"),
        (line("[[1, null]]"), "TG-load-value: value None"),
        (line("[[1, true]]"), "TG-load-value: value True"),
        (line("[[1, 1e999]]"), "TG-load-json"),
        (line("[[1.5, 1]]"), "TG-load-time: timestamp 1.5"),
        (line('[["1", 1]]'), "TG-load-time: timestamp '1'"),
        (line("[[-1, 1]]"), "TG-load-time: timestamp -1 is outside"),
        (line("[[4294967296000, 1]]"), "TG-load-time"),
        (line("[]", "{}"), "TG-metric-name"),
        (line("[]", '{"__name__": "1m"}'), "TG-metric-name: __name__ is '1m'"),
        (line("[]", '{"__name__": "m\\n"}'), "TG-metric-name"),
        (line("[]", '{"__name__": "m", "a-b": "x"}'), "TG-label-name: label 'a-b'"),
        (line("[]", '{"__name__": "m", "1x": "x"}'), "TG-label-name"),
        (line("[]", '{"__name__": "m", "a": 1}'), "TG-label-value: label a is 1"),
        (line("[]", '{"__name__": "m", "a": "\\u0000"}'), "TG-label-value"),
    ],
)
def test_refusals_name_what_they_saw(text: bytes, message: str) -> None:
    with pytest.raises(BadLine, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (line("[]", '{"__name__": "m", "a": "1", "a": "2"}'), "'a'"),
        (line("[]", '{"__name__": "m", "a": "1", "\\u0061": "1"}'), "'a'"),
        (line("[]", '{"__name__": "m", "__name__": "n"}'), "'__name__'"),
        (line("[]", '{"__name__": "m", "a": {"b": 1}, "a": "2"}'), "'a'"),
        (line('[[1, "stale"], [2, -0]]', '{"a": "\\"", "__name__": "m", "a": ""}'), "'a'"),
        (line("[[1, 1]]", more=', "samples": [[2, 2]]'), "'samples'"),
        (line("[]", more=', "labels": {"__name__": "n"}'), "'labels'"),
        (line("[]", more=', "type": 1, "type": "gauge"'), "'type'"),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: bytes, key: str) -> None:
    with pytest.raises(BadLine, match=f"TG-load-json: key {key} stands twice in "):
        parse(text)


def test_quotes_and_words_are_no_keys() -> None:
    found = parse(line('[[1, "stale"], [2, "NaN"]]', '{"__name__": "m", "a": "a\\": \\"a"}', ', "unit": "\\""'))
    assert found.series == Series("m", (("a", 'a": "a'),), "unknown", '"')
    assert found.values.view(np.uint64).tolist() == [STALE_BITS, NORMAL_BITS]


def test_a_mark_of_utf_8_before_the_first_line_is_none_of_its_text() -> None:
    text = b"\xef\xbb\xbf" + line("[[1, 1]]")
    found = list(lines(io.BytesIO(text + text)))
    assert [(number, size, type(one)) for number, size, one in found] == [
        (1, len(text), Line),
        (2, len(text), BadLine),
    ]


# Read by json where a -0 is in the line, and by orjson where none is.
@pytest.mark.parametrize("beside", ["0", "-0"])
@pytest.mark.parametrize(
    ("value", "labels", "more"),
    [
        ("NaN", '{"__name__": "m"}', ""),
        ("1e400", '{"__name__": "m"}', ""),
        ("-1e400", '{"__name__": "m"}', ""),
        ("9" * 400, '{"__name__": "m"}', ""),
        ("9" * 5000, '{"__name__": "m"}', ""),
        ("1", '{"__name__": "m", "a": "\\ud800"}', ""),
        ("1", '{"__name__": "m", "a": "\\udcff"}', ""),
        ("1", '{"__name__": "m\\ud800"}', ""),
        ("1", '{"__name__": "m", "a\\ud800": "x"}', ""),
        ("1", '{"__name__": "m"}', ', "type": "\\ud800"'),
        ("1", '{"__name__": "m"}', ', "unit": "\\ud800"'),
        *[("1", '{"__name__": "m"}', f', "unit": {"[" * depth}{"]" * depth}') for depth in (1000, 100_000)],
        ("[" * 1000 + "]" * 1000, '{"__name__": "m"}', ""),
        ("1", f'{{"__name__": "m", "a": {"[" * 1000}{"]" * 1000}}}', ""),
    ],
)
def test_what_is_no_json_for_one_reader_is_none_for_the_other(beside: str, value: str, labels: str, more: str) -> None:
    with pytest.raises(BadLine, match="TG-load-json: "):
        parse(line(f"[[1, {beside}], [2, {value}]]", labels, more))


def test_lines_are_counted_and_bad_ones_do_not_stop_the_rest() -> None:
    text = line("[[1, 1]]") + b"\n  \nbad\n" + line("[[2, 2]]").strip()
    found = list(lines(io.BytesIO(text)))
    assert [(number, type(one)) for number, _, one in found] == [(1, Line), (4, BadLine), (5, Line)]
    assert sum(size for _, size, _ in found) == len(text) - len(b"\n  \n")


def test_a_line_past_the_limit_is_skipped_in_pieces() -> None:
    text = line("[[1, 1]]") + b"x" * 1000 + b"\n" + line("[[2, 2]]")
    found = list(lines(io.BytesIO(text), max_bytes=100))
    assert [number for number, _, _ in found] == [1, 2, 3]
    assert "TG-load-line-size: 1001 bytes, the limit is 100" in str(found[1][2])
    assert isinstance(found[2][2], Line)


def test_a_long_line_is_read_whole() -> None:
    samples = [[1_700_000_000_000 + i, i / 100] for i in range(100_000)]
    found = parse(line(json.dumps(samples)))
    np.testing.assert_array_equal(found.values, np.arange(100_000) / 100)
    assert found.timestamps.dtype == np.int64
