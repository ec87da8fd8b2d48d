"""The rank errors that docs/digest.md states, for twelve kinds of data, read by Python and by ClickHouse."""

import json
from pathlib import Path

import chdb
import numpy as np
import pytest

from bench.digest import BARS, DISTRIBUTIONS, LEVELS, merged_in_sql, minutes, rank_error, united
from udfs.rollup.digest import Floats, decode, encode, of_values, quantiles

# What ClickHouse's own uniting adds when it merges: a centroid of it may be 4 * 0.01 * q * (1 - q) of the count.
SQL_BARS = np.array([0.01, 0.001, 0.0002])


def draw(name: str, per_minute: int) -> Floats:
    return DISTRIBUTIONS[name](np.random.default_rng(11), 1440 * per_minute)


@pytest.mark.parametrize("per_minute", [6, 300])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_day_of_minutes(name: str, per_minute: int) -> None:
    values = draw(name, per_minute)
    states = minutes(values)
    hours = united(*states, 24)
    values.sort()
    for day, _ in (united(*hours, 1), united(*states, 1)):
        error = rank_error(values, quantiles(decode(day.tobytes()), LEVELS)[0])
        assert (error <= BARS).all(), error


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_many_values_in_one_window(name: str) -> None:
    values = draw(name, 100)
    digest = of_values(np.array([0, len(values)]), values)
    error = rank_error(np.sort(values), quantiles(digest, LEVELS)[0])
    assert (error <= BARS).all(), error


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_sql_that_merges_keeps_the_bound(name: str, tmp_path: Path) -> None:
    values = draw(name, 300)
    states, ends = minutes(values)
    hours = united(states, ends, 24)
    cases = [(states, ends), hours, united(*hours, 1), (hours[0][: hours[1][3]], hours[1][:4])]
    for count, (part, places) in zip((1440, 1440, 1440, 180), cases, strict=True):
        answer = merged_in_sql(part, places, tmp_path / "states.parquet")
        error = rank_error(np.sort(values[: 300 * count]), answer)
        assert (error <= SQL_BARS).all(), (count, error)


def test_below_200_values_sql_reads_what_python_reads() -> None:
    levels = np.array([0, 0.01, 0.25, 0.5, 0.6, 0.9, 0.99, 0.999, 1])
    kind = f"AggregateFunction(quantilesTDigest({', '.join(map(str, levels))}), Float64)"
    for name in DISTRIBUTIONS:
        for size in (1, 2, 7, 60, 199):
            values = DISTRIBUTIONS[name](np.random.default_rng(size), size)
            state = encode(of_values(np.array([0, size]), values))[0].tobytes()
            text = chdb.query(f"SELECT finalizeAggregation(CAST(unhex('{state.hex()}') AS {kind})) AS q", "JSON")
            got: Floats = np.array(json.loads(str(text))["data"][0]["q"])
            wanted = quantiles(decode(state), levels)[0]
            # ClickHouse interpolates in Float32.
            np.testing.assert_allclose(
                got, wanted, rtol=1e-5, atol=float(np.ptp(values)) * 1e-5, err_msg=f"{name} {size}"
            )


def test_the_median_of_many_zeros_and_some_spikes_is_zero(tmp_path: Path) -> None:
    """Without fences it would be a fiftieth of a spike."""
    values = draw("spikes", 300)
    states, ends = minutes(values)
    hour, places = united(states[: ends[60]], ends[:61], 1)
    assert quantiles(decode(hour.tobytes()), np.array([0.5, 0.9])).tolist() == [[0, 0]]
    assert merged_in_sql(hour, places, tmp_path / "states.parquet")[0] == 0
