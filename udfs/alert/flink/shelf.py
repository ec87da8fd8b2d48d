"""Where judge keeps the past of a key for hindsight."""

from pyflink.datastream.state import ListState, MapState


class KeyedShelf:
    """The Shelf of the current key (udfs/alert/hindsight.py)."""

    def __init__(self, past: MapState, late: ListState) -> None:
        self._past, self._late = past, late

    def past(self) -> dict[int, bytes]:
        """Return the past."""
        return {tick: bytes(piece) for tick, piece in self._past.items()}

    def put(self, tick: int, piece: bytes) -> None:
        """Add to the past."""
        self._past.put(tick, piece)

    def forget(self, tick: int) -> None:
        """Drop a piece of the past."""
        self._past.remove(tick)

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
        self._late.clear()
