import threading

import pytest

from bench.beside import Beside
from bench.cluster import ClusterError


def _raises(done: threading.Event) -> None:
    raise OSError("broker gone")


def test_what_ended_the_thread_is_raised_at_the_end() -> None:
    with (
        pytest.raises(ClusterError, match=r"TG-bench-thread: the sender has ended.*broker gone"),
        Beside("the sender", _raises),
    ):
        pass


def test_the_blocks_own_error_stands() -> None:
    with pytest.raises(KeyError), Beside("the sender", _raises):
        raise KeyError


def test_it_lasts_as_long_as_the_block() -> None:
    seen = []

    def act(done: threading.Event) -> None:
        done.wait()
        seen.append("done")

    with Beside("the sender", act) as beside:
        beside.check()
        assert seen == []
    assert seen == ["done"]
