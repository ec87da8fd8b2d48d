"""What YAML is refused, and where the fault is."""

from datetime import date

import pytest

from schemas.strict import YamlFault, load, nodes

# 9^12 values.
LAUGHS = "a0: &a0 {b: 1}\n" + "".join(f"a{n + 1}: &a{n + 1}\n" + f"- *a{n}\n" * 9 for n in range(12))
BAD = [
    ("a: 1\nb: 2\na: 1", "line 3: key 'a' is given twice"),
    ("a:\n  - {b: 1,\n     'b': 2}", "line 3: key 'b' is given twice"),
    ("a: &a {b: 1}\nc: {<<: *a, <<: *a}", "line 2: key '<<' is given twice"),
    ("a: 2024-02-30", "line 1: '2024-02-30' is no valid timestamp"),
    ("a: !!timestamp soon", "line 1: 'soon' is no valid timestamp"),
    ("a:\n  !!int abc", "line 2: 'abc' is no valid int"),
    ("!!int ''", "line 1: '' is no valid int"),
    ("!!bool abc", "line 1: 'abc' is no valid bool"),
    ("!!float 1" + ":1" * 400, "line 1: '1:1:"),
    ("9" * 4301, "line 1: '999"),
    ("0x" + "f" * 4301, "line 1: '0xfff"),
    ("{9999-99-99: 1}", "line 1: '9999-99-99' is no valid timestamp"),
    ('"\\ud800"', "line 1: '\\ud800' is no valid str"),
    ("!!python/name:os.system x", "line 1: could not determine a constructor"),
    ("? [a]\n: b", "line 1: found unhashable key"),
    ("a: *x", "line 1: found undefined alias 'x'"),
    ("a: 1\n---\nb: 2", "line 2: but found another document"),
    ("a: [", "line 1: "),
    ("a: " + "[" * 5000, "it is nested too deeply"),
    (LAUGHS, "its aliases make more than 1048576 values of it"),
    (LAUGHS.replace("- ", "- <<: "), "its aliases make more than 1048576 values of it"),
    ('"\\UFFFFFFFF"', "Python int too large"),
    ('"\\U00110000"', "chr() arg not in range"),
    ("%YAML " + "9" * 4301 + ".1\n---\na", "Exceeds the limit (4300 digits)"),
    ("\0", "unacceptable character #x0000"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text[:30] for text, _ in BAD])
def test_a_fault_names_its_line(text: str, message: str) -> None:
    with pytest.raises(YamlFault) as caught:
        load(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 320


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("{a: 1, b: {a: 2}, 1: x, '1': y}", {"a": 1, "b": {"a": 2}, 1: "x", "1": "y"}),
        # What << brings is no key of the mapping, wherever it is used first.
        ("a: {b: &b {<<: &c {x: 1}, x: 2}}\nd: {<<: *b, x: 3}", {"a": {"b": {"x": 2}}, "d": {"x": 3}}),
        ("{<<: [{x: 1}, {x: 2}]}", {"x": 1}),
        ("[&a [1, 2], *a, *a]", [[1, 2]] * 3),
        ("[2024-02-29, 9" + "0" * 4299 + "]", [date(2024, 2, 29), 9 * 10**4299]),
    ],
)
def test_what_is_right_is_taken(text: str, value: object) -> None:
    assert load(text) == value


def test_nodes_may_repeat_a_key_for_their_reader_to_tell() -> None:
    root = nodes("{a: 1, a: 2}")
    assert root is not None and len(root.value) == 2
    assert nodes("") is None
