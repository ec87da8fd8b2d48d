"""What table samples keeps of values: they come back bit by bit, and neighbours have one divisor."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.columns import Int64s
from schemas.frame import Frame
from schemas.nan import STALE_BITS, Floats
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply, migrations
from sinks.digits import DIVISORS, Divisors, split, stored
from tests import embedded

SHORT = st.builds(lambda whole, divisor: whole / divisor, st.integers(-(10**7), 10**7), st.sampled_from(DIVISORS))
LARGE = st.sampled_from([2.0**53, 2.0**53 + 2, -(2.0**53), 1e15 + 0.5, 2.0**53 / 100, 1e300, 5e-324])
VALUES = st.lists(SHORT | LARGE | st.floats(allow_subnormal=True), max_size=40)


def restored(digits: Int64s, divisors: Divisors) -> Floats:
    """Return what the column `value` says, by its own words."""
    return np.array(
        [
            np.int64(one).view(np.float64) if divisor == 0 else float(one) / float(divisor)
            for one, divisor in zip(digits.tolist(), divisors.tolist(), strict=True)
        ]
    )


@example([0.0, -0.0], [])
@example([np.nan, 1.5], [])
@given(VALUES, st.lists(st.sampled_from(["series", "metric", ""]), max_size=40))
def test_values_come_back_bit_by_bit(values: list[float], turns: list[str]) -> None:
    array = np.array(values)
    marks = ["metric", *turns, *[""] * len(values)][: len(values)]
    names = np.array([mark == "metric" for mark in marks], np.bool_)
    series = np.array([mark != "" for mark in marks], np.bool_)
    digits, divisors = split(array, series, names)
    assert digits.dtype == np.int64
    assert set(divisors.tolist()) <= {0, *DIVISORS}
    np.testing.assert_array_equal(restored(digits, divisors).view(np.uint64), array.view(np.uint64))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("1 2 3 | 4", "1 1 1 | 1"),
        ("1 2.5 3 | 4", "100 100 100 | 100"),  # what one value of a metric needs
        ("1 2.5 | 4 || 7 8", "100 100 | 100 || 1 1"),  # another metric needs nothing
        ("1 2.125 | 0.25", "1000 1000 | 1000"),
        ("1 0.3333333333333333 2 | 4.5", "0 0 0 | 100"),  # a series that will not stay with few decimals
        ("1 nan 2.5 inf", "100 0 100 0"),  # what is no number decides nothing
        ("nan | 1", "0 | 1"),
        ("9007199254740993 1", "1 1"),
        ("9007199254740992 0.5", "0 100"),  # too many digits for the divisor that the other needs
        ("-0.0 1", "0 1"),
        ("1e300 1", "0 0"),
    ],
)
def test_neighbours_have_one_divisor(values: str, expected: str) -> None:
    found = []
    marks = []
    for metric in values.split("||"):
        for place, run in enumerate(metric.split("|")):
            numbers = [float(one) for one in run.split()]
            found += numbers
            marks += ["series" if place else "metric", *[""] * (len(numbers) - 1)]
    _, divisors = split(
        np.array(found), np.array([one != "" for one in marks]), np.array([one == "metric" for one in marks])
    )
    assert divisors.tolist() == [int(one) for one in expected.replace("|", " ").split()]


def frame(tenant: str, values: Floats) -> Frame:
    """A frame of two metrics, a series of each, a value a second."""
    ids, stamps = np.array([1, 2], np.uint64), np.arange(1, len(values) + 1) * 1000
    return Frame(tenant, 0, ["a", "b"], np.array([0, 1], np.uint32), ids, stamps, values)


def test_metrics_and_tenants_have_divisors_of_their_own() -> None:
    halves, wholes = np.array([[1.0, 1.5], [2.0, 2.5]]), np.array([[1.0, 3.0], [2.0, 4.0]])
    table = stored(rows.samples([frame("acme", halves), frame("zeta", wholes)]))
    assert table["divisor"].to_pylist() == [1, 1, 100, 100, 1, 1, 1, 1]
    assert table["digits"].to_pylist() == [1, 2, 150, 250, 1, 2, 3, 4]
    assert "value" not in table.column_names


_STALE = np.uint64(STALE_BITS).view(np.float64)
ODD = np.array([[1.0, 0.1], [_STALE, 2.25], [-0.0, np.inf], [2.0**53, 2.0**54], [-7.0, np.nan]])
FLOATS = """
CREATE TABLE samples (tenant LowCardinality(String), metric LowCardinality(String), series_id UInt64,
    ts DateTime64(3, 'UTC'), value Float64)
ENGINE = ReplacingMergeTree ORDER BY (tenant, metric, series_id, ts)
"""


@pytest.fixture
def of_floats(caplog: pytest.LogCaptureFixture) -> Iterator[Clickhouse]:
    """A database whose table samples is of before, filled."""
    server = Clickhouse(embedded.endpoint(), database="")
    server.command("DROP DATABASE IF EXISTS digits_old SYNC")
    server.close()
    apply(embedded.endpoint(), "default", "", "digits_old", [])
    client = Clickhouse(embedded.endpoint(), database="digits_old")
    client.command(FLOATS)
    apply(embedded.endpoint(), "default", "", "digits_old")
    with caplog.at_level("WARNING"):
        for _ in range(2):
            client.insert("samples", rows.samples([frame("acme", ODD)]))
    assert [one.getMessage().partition(":")[0] for one in caplog.records] == ["TG-samples-floats"]
    yield client
    client.close()


def bits(client: Clickhouse) -> list[dict[str, object]]:
    """Return what people read."""
    asked = "SELECT name, time, hex(reinterpretAsUInt64(value)) AS bits FROM v_samples ORDER BY name, time"
    found: list[dict[str, object]] = client.query(asked).to_pylist()
    return found


def test_a_table_of_before_goes_on_keeping_floats(of_floats: Clickhouse) -> None:
    apply(embedded.endpoint(), "default", "", "digits_new")
    client = Clickhouse(embedded.endpoint(), database="digits_new")
    client.insert("samples", rows.samples([frame("acme", ODD)]))
    assert len(bits(client)) == ODD.size
    assert bits(of_floats) == bits(client)
    client.close()


def test_a_table_of_before_is_changed_as_the_docs_say(of_floats: Clickhouse) -> None:
    before = bits(of_floats)
    text = (Path(__file__).parents[2] / "docs" / "sizing.md").read_text()
    aside, back = (block.split(";") for block in re.findall(r"```sql\n(.*?)```", text, re.DOTALL))
    for statement in filter(str.strip, aside):
        of_floats.command(statement)
    assert apply(embedded.endpoint(), "default", "", "digits_old") == [one.name for one in migrations()]
    for statement in filter(str.strip, back):
        of_floats.command(statement)
    assert bits(of_floats) == before
    assert set(of_floats.query("SELECT divisor FROM samples")["divisor"].to_pylist()) == {0, 1}
