"""Records of the control topics, as gate and alert get them by broadcast."""

from collections.abc import Sequence


def entry(record: Sequence[bytes | None]) -> tuple[str, bytes | None]:
    """Return (key, value) of a record's first two columns; None is a deletion."""
    key, value = record[0], record[1]
    return bytes(key or b"").decode("utf-8", "replace"), None if value is None else bytes(value)
