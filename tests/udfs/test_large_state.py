"""State of one key may be larger than any record of a topic: it must be read again after a restart."""

import numpy as np
import pytest

from schemas.batch import Batch, Series, encode_series_set
from schemas.codec import RECORD_BYTES, CodecError
from schemas.frame import Frame
from schemas.policy import Policy
from udfs.alert.lifecycle import Instance
from udfs.alert.memory import Memory
from udfs.alert.window import Window
from udfs.gate.budget import Budget
from udfs.reroll.dirty import dirty


def test_a_budget_of_half_a_million_series() -> None:
    ids = np.arange(1, 500_001, dtype=np.uint64)
    one = Series("m", (("h", "x"),))
    budget = Budget("acme")
    for part in np.split(ids, 50):
        budget.decide([one] * len(part), part, "s", Policy(tenant="acme", max_series=1_000_000), 10**12)
    state = budget.snapshot()
    assert len(state) > RECORD_BYTES
    again = Budget.restore("acme", [state])
    assert (again.total, again.counts()) == (500_000, {"m": (500_000, 0)})


def test_alerts_of_tens_of_thousands_of_series() -> None:
    labels = [(("alertname", "Down"), ("pod", f"{number:0>300}")) for number in range(30_000)]
    memory = Memory(instances=tuple(Instance(one) for one in labels))
    state = memory.encode()
    assert len(state) > RECORD_BYTES
    assert Memory.decode(state) == memory


def test_a_window_of_tens_of_thousands_of_series() -> None:
    series = [Series("up", (("pod", f"{number:0>300}"),)) for number in range(30_000)]
    ids = np.arange(len(series), dtype=np.uint64)
    stamps = np.full(len(series), 10**12)
    piece = Batch("t", "s", 0, encode_series_set(series), stamps[:1], np.ones((1, len(series))), None, ids)
    state = Window.empty("t").append([piece]).batch().encode()
    assert len(state) > RECORD_BYTES
    assert len(Window.decode(state).ids) == len(series)


def test_dirty_windows_of_a_large_tenant() -> None:
    many = 500_000
    frame = Frame("t", 0, ["m"], np.zeros(many, np.uint32), np.arange(many, dtype=np.uint64), np.array([10**12]),
                  np.ones((1, many)))  # fmt: skip
    state = dirty([frame], 60_000).frame().encode()
    assert len(state) > RECORD_BYTES
    assert len(dirty([Frame.decode(state, 1 << 30)], 60_000)) == many
    with pytest.raises(CodecError):
        Frame.decode(state)
