"""What the arrays of an evaluation take, about: told to whoever bounds the memory of all evaluations together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Bytes a cell, by tracemalloc's peak: of a selector; of windows and a function over them; of an operator between two
# vectors, both of them included; of a value that is there. And a sample, as a subquery makes it of a value.
SELECTED, WINDOWED, PAIRED, VALUE, SAMPLE = 40, 120, 64, 9, 32

# What an evaluation calls with the bytes that it takes now. It raises where those are more than it may have.
Hold = Callable[[int], None]


def unheld(size: int) -> None:
    """Let an evaluation take what it takes."""


@dataclass(slots=True)
class Holding:
    """Of one evaluation. waiting: bytes of the values that wait for others, as a left-hand side does."""

    hold: Hold
    waiting: int = 0

    def need(self, size: int) -> None:
        """Tell that so many bytes more are taken now."""
        self.hold(self.waiting + size)

    @contextmanager
    def beside(self, size: int) -> Iterator[None]:
        """Let so many bytes wait for what comes within."""
        self.waiting += size
        try:
            yield
        finally:
            self.waiting -= size
