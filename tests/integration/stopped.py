"""Processes that hang, as a machine does."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.integration.pipeline import Pipeline


@contextmanager
def stopped(pipeline: Pipeline, names: Sequence[str]) -> Iterator[None]:
    """Hold processes still, as if their machine were gone: nothing answers, and no supervisor starts them anew."""
    pids = [pipeline.stack.status()["processes"][name]["pid"] for name in names]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
