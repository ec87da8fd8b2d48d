"""What the engine has failed at, by its own count.

chdb's streamed insert says done, rows and all, whether or not the table took the block: seen with a full disk
(NOT_ENOUGH_SPACE) and with too many parts (TOO_MANY_PARTS), where every block was lost and nobody was told. So the
errors that the engine counts (system.errors) are compared before and behind it, and the inserts that have failed by its
count (system.events): what the file system refuses, as on a disk that is read-only or has no inodes left, is among no
errors. Another's failure meanwhile looks the same: the block is then sent again, which the keys make harmless.
"""

from collections.abc import Mapping

_INSERT = 0  # no error has this code
COUNTED = f"""
SELECT code, value, name, last_error_message FROM system.errors
UNION ALL
SELECT {_INSERT}, value, 'an insert has failed', '' FROM system.events WHERE event = 'FailedInsertQuery'"""

# What a statement can be wrong about: people at a console make these all day. An insert that meets one of them has
# failed by the other count.
_OF_STATEMENTS = frozenset(
    {
        *(26, 27, 36, 38, 41, 42, 43, 44, 46, 47, 53, 57, 60, 62, 63, 70, 72, 81, 82, 115, 117),
        *(158, 159, 160, 164, 179, 184, 215, 307, 386, 394, 395, 396, 452, 456, 457, 497, 516),
        696,  # a part was merged away while a query still loaded its marks
    }
)

Counts = Mapping[int, tuple[int, str]]
"""By code: how often it happened, and its name and last message."""


def counts(lines: str) -> Counts:
    """Return the answer of COUNTED, as TSV."""
    found = (line.split("\t", 2) for line in lines.splitlines())
    return {int(code): (int(value), text.rstrip("\t").replace("\t", ": ")) for code, value, text in found}


def since(before: Counts, now: Counts) -> str | None:
    """Return what has happened since, None if nothing has that an insert could be about."""
    fresh = {code: text for code, (value, text) in now.items() if value > before.get(code, (0, ""))[0]}
    failed = fresh.pop(_INSERT, None)
    told = [f"code {code}, {text}" for code, text in fresh.items() if failed or code not in _OF_STATEMENTS]
    return "; ".join(told) or failed
