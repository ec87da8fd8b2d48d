"""The Book of one operator, kept equal to its broadcast state."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from udfs.alert.book import Book
from udfs.alert.rule import RuleFault

_log = logging.getLogger("tidegauge.alert")

Stored = Callable[[], Mapping[str, bytes]]


class State(Protocol):
    """Broadcast state: the text of each rule by its key."""

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield what is there."""
        ...

    def put(self, key: str, value: str) -> None:
        """Set one rule."""
        ...

    def remove(self, key: str) -> None:
        """Forget one rule."""
        ...


class Keeper:
    """stored: what control.rules holds now, asked once if there is no state yet: at the first start ever.

    Without it samples would be dropped that are read before the first rules are. refused: counts faults.
    """

    def __init__(self, stored: Stored, refused: Callable[[], Any]) -> None:
        self.book = Book()
        self._stored, self._refused = stored, refused
        self._loaded = False

    def load(self, state: Callable[[], State]) -> Book:
        """Return the book; the first call after a start reads the state, which costs a call into Java."""
        if not self._loaded:
            self._loaded = True
            found = {key: text.encode() for key, text in state().items()}
            for key, value in (found or self._stored()).items():
                self._put(key, value)
        return self.book

    def take(self, key: str, value: bytes | None, state: State) -> None:
        """Take one record of control.rules."""
        self.load(lambda: state)
        if self._put(key, value):
            if value is None:
                state.remove(key)
            else:
                state.put(key, value.decode())

    def _put(self, key: str, value: bytes | None) -> bool:
        try:
            self.book.put(key, value)
        except RuleFault as fault:
            self._refused()
            _log.warning("rule %r refused, what was in force stays: %s", key, fault)
            return False
        return True
