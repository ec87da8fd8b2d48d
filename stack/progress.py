"""Progress over a length of time: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_S = 5.0


class Bar:
    """Shows on stderr how much of `total` is done."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._shown = self._ended = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(TextColumn(what), BarColumn(), TimeRemainingColumn(), console=Console(file=sys.stderr))
            self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> "Bar":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = time.monotonic()
        if self._bar:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Seconds that it took."""
        return self._ended - self._began

    def told(self, done: int, total: int) -> None:
        """Show how much is done."""
        if self._bar:
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._shown >= EVERY_S:
            self._shown = time.monotonic()
            print(f"{self._what}: {100 * done // max(total, 1)} %", file=sys.stderr, flush=True)
