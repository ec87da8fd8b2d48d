"""Identity of a series: a 64-bit hash of tenant, name and sorted labels."""

from collections.abc import Iterable

import xxhash


def series_id(tenant: str, name: str, labels: Iterable[tuple[str, str]]) -> int:
    """Return the xxh3-64 id of a series, in [0, 2**64).

    Labels with an empty value are left out, as Prometheus does. 0xFF never occurs in UTF-8, so joining
    by it cannot make two different series look alike.
    """
    parts = [tenant, name]
    for pair in sorted(labels):
        if pair[1]:
            parts += pair
    # The lone surrogate is what the byte 0xFF is called: one encode instead of one a part.
    return xxhash.xxh3_64_intdigest("\udcff".join(parts).encode("utf-8", "surrogateescape"))


def set_hash(series_set: bytes) -> bytes:
    """Return the 16-byte xxh3-128 hash by which an encoded series set is recognised."""
    return xxhash.xxh3_128_digest(series_set)
