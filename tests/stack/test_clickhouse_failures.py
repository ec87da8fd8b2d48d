"""The engine's own count of its errors, as what it tells of a streamed insert."""

import pytest

from stack.clickhouse_failures import counts, since

FULL = "243\t1\tNOT_ENOUGH_SPACE\tCannot reserve 1.00 MiB\n"
TYPO = "62\t1\tSYNTAX_ERROR\tSyntax error: failed at position 1\n"


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("", "", None),
        ("", FULL, "code 243, NOT_ENOUGH_SPACE: Cannot reserve 1.00 MiB"),
        (FULL, FULL, None),
        (FULL, FULL.replace("\t1\t", "\t2\t"), "code 243, NOT_ENOUGH_SPACE: Cannot reserve 1.00 MiB"),
        ("", TYPO, None),
        (TYPO, TYPO + FULL, "code 243, NOT_ENOUGH_SPACE: Cannot reserve 1.00 MiB"),
    ],
)
def test_what_has_happened_since(before: str, now: str, told: str | None) -> None:
    assert since(counts(before), counts(now)) == told
