"""A value of the current key that may be large, in parts: the heap holds several copies of what passes through it."""

from collections.abc import Iterator
from itertools import count

from pyflink.datastream.state import MapState, ValueState

# Of one part, bytes.
PART = 8 << 20


def cut(data: bytes) -> Iterator[bytes]:
    """Yield the parts of a value; an empty one has one."""
    view = memoryview(data)
    for start in range(0, max(len(data), 1), PART):
        yield bytes(view[start : start + PART]) if len(data) > PART else data


class Parted:
    """first: the value, or its first part, which is then full; more: the others by their place, from 1 on.

    A value from before there were parts lies in first, however large.
    """

    def __init__(self, first: ValueState, more: MapState) -> None:
        self._first, self._more = first, more
        self._cut = False

    def value(self) -> bytes | None:
        """Return the value, None if there is none."""
        first: bytes | None = self._first.value()
        self._cut = first is not None and len(first) == PART
        if first is None or not self._cut:
            return first
        parts = [first]
        for place in count(1):
            part = self._more.get(place)
            if part is None:
                break
            parts.append(part)
        return b"".join(parts)

    def update(self, data: bytes) -> None:
        """Set the value, of the key whose value() was asked last."""
        first, *more = cut(data)
        if self._cut:
            self._more.clear()
        self._first.update(first)
        for place, part in enumerate(more, 1):
            self._more.put(place, part)

    def clear(self) -> None:
        """Drop the value."""
        self._first.clear()
        self._more.clear()
