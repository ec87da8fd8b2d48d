"""How large an answer may be: as text it takes several times what its numbers do, and all of it stands in memory."""

from contextvars import ContextVar

from query.errors import refused
from query.spent import work

# `[1714608000,"0.3333333333"],` and a little more. Shortest 16, longest 45.
POINT_BYTES = 32

_MOST: ContextVar[int | None] = ContextVar("most_bytes", default=None)


def allow(most: int) -> None:
    """Set the bytes that the answer of the running request may have."""
    _MOST.set(most)


def fits(size: int) -> None:
    """Raise QueryError if so many bytes, estimated or made, are more than the running request may have."""
    most = _MOST.get()
    if most is not None and size > most:
        limit = f"{most:,} (TIDEGAUGE_QUERY_MAX_BYTES)"
        why = "ask for fewer series, a longer step or a shorter range"
        raise refused(
            "TG-query-bytes", f"the answer has about {size:,} bytes or more, over the limit of {limit}: {why}"
        )
    # Its parts, and the whole that is made of them.
    work(2 * size)
