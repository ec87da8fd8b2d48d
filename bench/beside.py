"""Work beside the main thread, whose end before its time is not passed over."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bench.cluster import ClusterError


class Beside:
    """Runs act(done) in a thread while the `with` block lasts; act returns soon after done is set.

    What it raised is raised by check(), and where the block ends without an error of its own: as a ClusterError.
    """

    def __init__(self, name: str, act: Callable[[threading.Event], None]) -> None:
        self._name, self._act = name, act
        self._done = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if error is None:
            self.check()

    def check(self) -> None:
        """Raise what has ended the thread."""
        if self._error is not None:
            raise ClusterError(f"TG-bench-thread: {self._name} has ended: {self._error!r}") from self._error

    def _run(self) -> None:
        try:
            self._act(self._done)
        except Exception as error:
            self._error = error
