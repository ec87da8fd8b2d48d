"""Bytes a row say nothing where rows are lost."""

from typing import Any

import pytest

from bench.storage import HOUR_MS, lost, tsbs

ROWS = {"1m": 60_000, "5m": 12_000, "1h": 1000, "1d": 1000}


@pytest.mark.parametrize(
    ("samples", "tiers", "words"),
    [
        (360_000, ROWS, []),
        (359_999, ROWS, ["samples has 359999 rows, not 360000"]),
        (359_999, None, ["samples"]),
        (360_000, ROWS | {"1h": 0, "1d": 2000}, ["rollup_1h has 0 rows", "rollup_1d has 2000 rows"]),
    ],
)
def test_rows_are_counted(samples: int, tiers: dict[str, int] | None, words: list[str]) -> None:
    data = tsbs("integers", 1, 400_000 * HOUR_MS)
    got: dict[str, Any] = {"rows": samples}
    if tiers is not None:
        got["tiers"] = {name: {"rows": rows} for name, rows in tiers.items()}
    found = lost("tsbs", data, got)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))
