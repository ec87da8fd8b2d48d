"""What the engine has failed at, by its own count.

chdb's streamed insert says done, rows and all, whether or not the table took the block: seen with a full disk
(NOT_ENOUGH_SPACE) and with too many parts (TOO_MANY_PARTS), where every block was lost and nobody was told. So the
errors that the engine counts (system.errors) are compared before and behind it. Another's failure meanwhile looks the
same: the block is then sent again, which the keys make harmless.
"""

from collections.abc import Mapping

COUNTED = "SELECT code, value, name, last_error_message FROM system.errors"

# What a statement can be wrong about, and no insert of ours: people at a console make these all day.
_OF_STATEMENTS = frozenset(
    {
        *(26, 27, 36, 38, 41, 42, 43, 44, 46, 47, 53, 57, 60, 62, 63, 70, 72, 81, 82, 115, 117),
        *(158, 159, 160, 164, 179, 184, 215, 307, 386, 394, 395, 396, 452, 456, 457, 497, 516),
    }
)

Counts = Mapping[int, tuple[int, str]]
"""By code: how often it happened, and its name and last message."""


def counts(lines: str) -> Counts:
    """Return the answer of COUNTED, as TSV."""
    found = (line.split("\t", 2) for line in lines.splitlines())
    return {int(code): (int(value), text.replace("\t", ": ")) for code, value, text in found}


def since(before: Counts, now: Counts) -> str | None:
    """Return what has happened since, None if nothing has that an insert could be about."""
    fresh = [
        f"code {code}, {text}"
        for code, (value, text) in now.items()
        if code not in _OF_STATEMENTS and value > before.get(code, (0, ""))[0]
    ]
    return "; ".join(fresh) or None
