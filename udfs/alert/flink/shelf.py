"""Where judge keeps the past of a key for hindsight."""

from collections.abc import Iterator

import numpy as np
from pyflink.datastream.state import ListState, MapState, ValueState

from udfs.alert.flink.parts import cut


class KeyedShelf:
    """The Shelf of the current key (udfs/alert/hindsight.py).

    past: parts of pieces, at the tick that put them there and the milliseconds behind it, in which there are no ticks.
    index: (tick, number of parts) of each piece, as int64: RocksDB's iterators load many values at once.
    """

    def __init__(self, past: MapState, index: ValueState, late: ListState) -> None:
        self._past, self._index, self._late = past, index, late

    def ticks(self) -> list[int]:
        """Return the ticks of which the past has a piece."""
        return list(self._parts())

    def past(self) -> Iterator[tuple[int, bytes]]:
        """Yield (tick, piece) of the past."""
        for tick, parts in self._parts().items():
            yield tick, b"".join(self._past.get(tick + place) for place in range(parts))

    def put(self, tick: int, piece: bytes) -> None:
        """Add to the past."""
        index = self._parts()
        for place, part in enumerate(cut(piece)):
            self._past.put(tick + place, part)
            index[tick] = place + 1
        self._keep(index)

    def forget(self, tick: int) -> None:
        """Drop a piece of the past."""
        index = self._parts()
        for place in range(index.pop(tick)):
            self._past.remove(tick + place)
        self._keep(index)

    def _parts(self) -> dict[int, int]:
        index = self._index.value()
        if index is None:  # nothing, or what was put there before there was an index
            return dict.fromkeys(self._past.keys(), 1)
        return dict(np.frombuffer(index, "<i8").reshape(-1, 2).tolist())

    def _keep(self, index: dict[int, int]) -> None:
        if index:
            self._index.update(np.array(list(index.items()), "<i8").tobytes())
        else:
            self._index.clear()

    def late(self) -> list[bytes]:
        """Return the pieces that wait."""
        return [bytes(piece) for piece in self._late.get()]

    def wait(self, piece: bytes) -> None:
        """Add a piece that waits."""
        self._late.add(piece)

    def settled(self) -> None:
        """Drop what waited."""
        self._late.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._past.clear()
        self._index.clear()
        self._late.clear()
