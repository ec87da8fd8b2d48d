"""The dashboard benchmark's own parts: what it sends to Prometheus, and what it takes for a wrong answer."""

import json
import struct

import numpy as np

from bench.panels import HOUR_MS, PANELS, data
from bench.prometheus import request, varint
from bench.query import differences

END = 1_800_000_000_000 // HOUR_MS * HOUR_MS


def test_a_varint_is_protobufs() -> None:
    assert [varint(n) for n in (0, 127, 128, 300)] == [b"\x00", b"\x7f", b"\x80\x01", b"\xac\x02"]


def test_a_write_request_holds_the_samples() -> None:
    body = request([b"L"], np.array([END, END + 1]), np.array([[1.5], [2.5]]))
    sample = [b"\x12\x10\x09" + struct.pack("<d", v) + b"\x10" + varint(t) for t, v in ((END, 1.5), (END + 1, 2.5))]
    inside = b"L" + b"".join(sample)
    assert body == b"\x0a" + varint(len(inside)) + inside


def test_data_are_whole_hours_and_lie_beside_the_steps() -> None:
    made = data("t", 2_000_000, END + 600_000)
    assert len(made.series) == 2400
    assert (made.values >= 0).all()
    assert made.stamps[0] % HOUR_MS == 5000
    part = made.frame(END - HOUR_MS, END)
    assert len(part.timestamps) == 240
    assert made.frame(END - 48 * HOUR_MS, END - 47 * HOUR_MS).values.shape == (12, 2400)
    assert len({panel.name for panel in PANELS}) == 10


def body(*series: tuple[str, float]) -> bytes:
    rows = [{"metric": {"h": host}, "values": [[1, str(value)]]} for host, value in series]
    return json.dumps({"data": {"result": rows}}).encode()


def test_what_differs() -> None:
    assert differences(body(("a", 1)), body(("a", 1 + 1e-12))) == ""
    assert "not 1.1" in differences(body(("a", 1)), body(("a", 1.1)))
    assert "series" in differences(body(("a", 1)), body(("b", 1)))
    assert differences(body(("a", 1)), body(("b", 1)), ties=True) == ""
    assert differences(body(("a", 1)), body(("b", 2)), ties=True)
