"""One answer for all who ask at once, none of them an older one than from after their own asking."""

import itertools
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Calls `ask` for one caller at a time; who came before a call began takes its answer. For any number of threads.

    A failed call is the failure of its caller alone: the next one asks again.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._answer: tuple[int, T] | None = None
        self.waiting = 0

    def get(self) -> T:
        """Return an answer of a call that began after this one came."""
        came = next(self._order)
        with self._counting:
            self.waiting += 1
        with self._lock:
            with self._counting:
                self.waiting -= 1
            if self._answer is not None and self._answer[0] > came:
                return self._answer[1]
            began = next(self._order)
            answer = self._ask()
            self._answer = began, answer
            return answer
