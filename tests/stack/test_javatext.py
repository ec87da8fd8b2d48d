"""A home may lie on any path: what Java reads of it is what Python wrote."""

from pathlib import Path

import pytest

from stack.javatext import local, properties, uri

PATHS = ("/srv/home", "/srv/my home/x", "/srv/hö mé", "/srv/100%20", "/srv/a\\b", "/srv/日本/😀")


@pytest.mark.parametrize("path", PATHS)
def test_a_uri_names_the_path_as_it_is(path: str) -> None:
    assert uri(Path(path)) == f"file://{path}"
    assert local(uri(Path(path))) == local(f"file:{path}") == Path(path)


def test_properties_are_ascii_with_escapes() -> None:
    written = properties({"a.b": "/srv/hö mé/😀", "c": "x\\y", "d": 1})
    assert written == "a.b=/srv/h\\u00f6 m\\u00e9/\\ud83d\\ude00\nc=x\\\\y\nd=1\n"
