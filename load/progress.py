"""Progress of reading a file: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY_S = 5.0


class Progress:
    """Counts lines, samples and refusals, and shows them on `out` while a file of `total` bytes is read.

    clock: monotonic seconds.
    """

    def __init__(
        self, verb: str, total: int, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._verb = verb
        self._total = max(total, 1)
        self._out = out or sys.stderr
        self._clock = clock
        self._began = self._shown = clock()
        self._read = 0
        self.lines = 0
        self.samples = 0
        self.rejected = 0
        self.done = 0
        """Samples that have arrived where they go."""
        self.repeats = 0
        """Samples left out for a later one of the same series and time."""
        self.oldest: int | None = None
        self.newest: int | None = None
        """Times of the oldest and the newest sample, ms since 1970 UTC."""
        self._bar: Bar | None = None
        if self._out.isatty():
            columns = (TextColumn(verb), BarColumn(), DownloadColumn(), TextColumn("{task.fields[samples]:,} samples"))
            self._bar = Bar(*columns, TimeRemainingColumn(), console=Console(file=self._out))
            self._task = self._bar.add_task(verb, total=self._total, samples=0)

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def good(self, size: int, samples: int) -> None:
        """Count a line of `size` bytes and its samples in."""
        self.lines += 1
        self.samples += samples
        self._step(size)

    def kept(self, arrived: int, given: int) -> None:
        """Take note that of samples given some have arrived, which are all but repeats."""
        self.done += arrived
        self.repeats += given - arrived

    def so_far(self, verb: str) -> str:
        """Return how far it came, if it ended before its time."""
        return f"{self.done} samples {verb} for certain, {self.lines} lines read; once more from the start does no harm"

    def saw(self, first: int, last: int) -> None:
        """Take note of the times, ms, of a line's samples."""
        self.oldest = first if self.oldest is None else min(self.oldest, first)
        self.newest = last if self.newest is None else max(self.newest, last)

    def bad(self, size: int, where: str, why: Exception) -> None:
        """Count a refused line in; say where and why."""
        self.rejected += 1
        self.say(f"{where}: {why}")
        self._step(size)

    def say(self, text: str) -> None:
        """Print a line of its own."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._out, flush=True)

    def _step(self, size: int) -> None:
        self._read += size
        if self._bar:
            self._bar.update(self._task, completed=self._read, samples=self.samples)
        elif self._clock() - self._shown >= EVERY_S:
            self._shown = self._clock()
            self.say(f"{self._verb}: {100 * self._read // self._total} %, {self.samples:,} samples")
