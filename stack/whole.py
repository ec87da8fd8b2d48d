"""Whole numbers of the command line, within limits that the refusal names."""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable

_DIGITS = re.compile(r"[0-9]{1,18}\Z")


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a `type` for argparse."""

    def read(text: str) -> int:
        if not _DIGITS.match(text) or not least <= int(text) <= most:
            raise ArgumentTypeError(f"{text[:80]!r} is no whole number from {least} to {most}")
        return int(text)

    return read


# 54 years: further back than 1970 ClickHouse's DateTime wraps, and a comparison with it finds nothing.
hours = whole(1, 480_000)
"""How far back a command looks."""
