"""Scenarios as text, in the manner of Prometheus's promqltest: load, eval instant, eval range, eval fail.

Below an eval stand the series of the answer, `string x`, and what it says: `warn text`, `info text`, or `silent`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from promql.annotations import Annotations
from promql.errors import PromqlError
from promql.evaluate import Matrix, Result, Scalar, String, Vector, evaluate
from promql.memory import MemorySource
from promql.parse import parse
from tests.notation import Labels, Series, parse_duration, parse_labels, parse_series, parse_values

_INSTANT = re.compile(r"eval (ordered )?instant at (\S+) (.*)")
_RANGE = re.compile(r"eval range from (\S+) to (\S+) step (\S+) (.*)")
_FAIL = re.compile(r"eval fail at (\S+) (.*)")
Key = tuple[tuple[str, str], ...]


def key(labels: Labels) -> Key:
    return tuple(sorted(labels.items()))


@dataclass
class Scenario:
    """One file: what is loaded so far, and the cases to run against it."""

    series: list[Series] = field(default_factory=list)

    def run(self, path: Path) -> int:
        """Run a file; return how many evaluations it held."""
        count = 0
        for block in re.split(r"\n\s*\n", path.read_text()):
            lines = [line for line in block.splitlines() if line.strip() and not line.strip().startswith("#")]
            if not lines:
                continue
            head, body = lines[0].strip(), [line.strip() for line in lines[1:]]
            if head == "clear":
                self.series = []
            elif head.startswith("load "):
                self.series += [parse_series(line, parse_duration(head.removeprefix("load "))) for line in body]
            else:
                self.case(head, body)
                count += 1
        return count

    def case(self, head: str, body: list[str]) -> None:
        source = MemorySource(self.series)
        if match := _FAIL.fullmatch(head):
            at = parse_duration(match[1])
            try:
                evaluate(parse(match[2]), source, at, at, 0)
            except PromqlError as error:
                assert all(word in str(error) for word in body), (head, str(error))
                return
            raise AssertionError(f"{head}: no failure")
        if match := _INSTANT.fullmatch(head):
            start = end = parse_duration(match[2])
            step, text, ordered = 0, match[3], bool(match[1])
        elif match := _RANGE.fullmatch(head):
            start, end, step = (parse_duration(match[i]) for i in (1, 2, 3))
            text, ordered = match[4], False
        else:
            raise ValueError(head)
        notes = Annotations()
        value = evaluate(parse(text), source, start, end, step, annotations=notes)
        _heard(head, notes, body)
        wanted = [line for line in body if line != "silent" and not line.startswith(("warn ", "info "))]
        if isinstance(value, String):
            assert wanted == [f"string {value.value}"], head
            return
        _compare(head, _as_vector(value), [parse_labels(line) for line in wanted], ordered)


def _as_vector(value: Result) -> Vector:
    """Return a scalar as a series without labels, and the samples of a range as if they were steps."""
    match value:
        case Scalar():
            return Vector([{}], value.values[None, :], np.ones((1, len(value.values)), np.bool_))
        case Matrix():
            found, sizes = value.columns, np.diff(value.columns.offsets)
            assert len(set(sizes)) == 1, sizes
            values = found.values.reshape(len(sizes), -1)
            return Vector(found.labels, values, np.ones(values.shape, np.bool_))
    assert isinstance(value, Vector)
    return value


def _heard(head: str, notes: Annotations, body: list[str]) -> None:
    for kind, said in (("warn ", notes.warnings), ("info ", notes.infos)):
        wanted = [line.removeprefix(kind) for line in body if line.startswith(kind)]
        if wanted or "silent" in body:
            assert list(said) == wanted, f"{head}: {said}"


def _compare(head: str, got: Vector, expected: list[tuple[Labels, str]], ordered: bool) -> None:
    rows = {key(labels): row for row, labels in enumerate(got.labels)}
    assert len(rows) == len(got.labels), f"{head}: equal label sets"
    wanted = [key(labels) for labels, _ in expected]
    assert sorted(rows) == sorted(wanted), f"{head}: {sorted(rows)}"
    if ordered:
        assert list(rows) == wanted, f"{head}: order {list(rows)}"
    for labels, text in expected:
        row = rows[key(labels)]
        values = parse_values(text)
        want = np.array([np.nan if value is None else value for value in values])
        there = np.array([value is not None for value in values])
        assert got.present[row].tolist() == there.tolist(), f"{head}: {labels} {got.present[row]}"
        np.testing.assert_allclose(got.values[row][there], want[there], rtol=1e-9, err_msg=f"{head}: {labels}")
