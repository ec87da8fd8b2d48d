"""docs/errors.md has a heading for every TG- id that the code says, and for no other. By text alone."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
CODE = ("agent", "bench", "jobs", "load", "promql", "query", "schemas", "sinks", "stack", "udfs")
# What ends with - is the beginning of several.
ID = re.compile(r"TG-[a-z0-9]+(?:-[a-z0-9]+)*(?![\w-])")
SOURCES = {path: path.read_text() for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))}
SAID = {one for text in SOURCES.values() for one in ID.findall(text)}


def test_every_id_has_a_heading_and_every_heading_an_id() -> None:
    headings = re.findall(r"^##+ (TG-.*)$", (ROOT / "docs" / "errors.md").read_text(), re.M)
    told = [one for heading in headings for one in ID.findall(heading)]
    assert sorted(told) == sorted(SAID)


def test_no_id_is_put_together_where_no_search_would_find_it() -> None:
    assert not [f"{path}: {one}" for path, text in SOURCES.items() for one in re.findall(r"TG-[\w-]*[{%].*", text)]


def test_no_document_speaks_of_an_id_that_is_not_there() -> None:
    documents = [ROOT / "README.md", ROOT / "bench" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    assert not [(path.name, one) for path in documents for one in ID.findall(path.read_text()) if one not in SAID]
