"""The Book of one operator, kept equal to its broadcast state."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from udfs.alert.book import Book
from udfs.alert.rule import RuleFault

_log = logging.getLogger("tidegauge.alert")

Stored = Callable[[], Mapping[str, bytes]]

# Refused for what other rules are: one record of an edit of several rules may come before those that make it right.
_OTHERS = ("TG-rule-loop", "TG-rule-span")
# In front of a key under which such a record stands in state. No rule's key begins so.
_WAITING = "\0"


class State(Protocol):
    """Broadcast state: the text of each rule by its key."""

    def items(self) -> Iterable[tuple[str, str]]:
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
        self._waiting: dict[str, bytes] = {}

    def load(self, state: Callable[[], State]) -> Book:
        """Return the book; the first call after a start reads the state, which costs a call into Java."""
        if not self._loaded:
            self._loaded = True
            found = {key: text.encode() for key, text in state().items()}
            waiting = {key.removeprefix(_WAITING): found.pop(key) for key in list(found) if key.startswith(_WAITING)}
            records = found or self._stored()
            for key, fault in self.book.load(records).items():
                self._refuse(key, records[key], fault)
            self._waiting.update(waiting)
            # Here the state may be read only: what comes into force now does so again after the next start.
            self._retry(None)
        return self.book

    def take(self, key: str, value: bytes | None, state: State) -> None:
        """Take one record of control.rules."""
        self.load(lambda: state)
        self._waiting.pop(key, None)
        state.remove(_WAITING + key)
        if not self._put(key, value):
            if key in self._waiting and value is not None:
                state.put(_WAITING + key, value.decode())
            return
        if value is None:
            state.remove(key)
        else:
            state.put(key, value.decode())
        self._retry(state)

    def _put(self, key: str, value: bytes | None) -> bool:
        try:
            self.book.put(key, value)
        except RuleFault as fault:
            self._refuse(key, value, fault)
            return False
        return True

    def _refuse(self, key: str, value: bytes | None, fault: RuleFault) -> None:
        self._refused()
        _log.warning("rule %r refused, what was in force stays: %s", key, fault)
        if fault.id in _OTHERS and value is not None:
            self._waiting[key] = value

    def _retry(self, state: State | None) -> None:
        """Take what waits, as far as other rules let it now."""
        before = len(self._waiting) + 1
        while before > len(self._waiting):
            before = len(self._waiting)
            for key, value in list(self._waiting.items()):
                with suppress(RuleFault):
                    self.book.put(key, value)
                    del self._waiting[key]
                    if state is not None:
                        state.remove(_WAITING + key)
                        state.put(key, value.decode())
