"""Attacks: records that declare what they do not hold, or hold what nobody can want. No crash, no memory, no time."""

import gzip
import io
import random
import time
import tracemalloc

import fastavro
import numpy as np
import pytest
from fastavro import schemaless_reader
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Batch, Series, decode_series_set, encode_series_set
from schemas.codec import CodecError, codec, load_schema
from schemas.reason import Reason
from tests.udfs.gate.pair import LIMITS, NOW, Pair, record, series
from udfs.gate.gate import Gate, Passed, Refused
from udfs.gate.growth import EXACT

HUGE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"  # 2^62 - 1
MINUS = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
MILLION = b"\x80\x89\x7a"
EMPTY_SERIES = b"\0\0\0\0"


def carrying(series_set: bytes) -> bytes:
    return Batch("acme", "s", NOW, series_set, np.array([NOW]), np.ones((1, 1))).encode()


def batch_header() -> bytes:
    return codec("metric_batch").header


def container(codec_name: str) -> bytes:
    """Return an Avro file whose one block unpacks to 64 MB."""
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema("bytes"), [b"\0" * (64 << 20)], codec=codec_name)
    return out.getvalue()


BOMBS: list[tuple[str, Reason, bytes]] = [
    ("length of the tenant", Reason.TRUNCATED, batch_header() + HUGE + b"x" * 100),
    ("negative length", Reason.TRUNCATED, batch_header() + b"\x01" + b"x" * 100),
    ("length of the series set", Reason.TRUNCATED, batch_header() + b"\x02t\x02s\0" + HUGE + b"x" * 100),
    ("length of the values", Reason.TRUNCATED, batch_header() + b"\x02t\x02s\0\0\0" + HUGE + b"x" * 100),
    ("count of series", Reason.SERIES_COUNT, carrying(HUGE + EMPTY_SERIES * 100)),
    ("a million series of nothing", Reason.SERIES_COUNT, carrying(MILLION + EMPTY_SERIES * 1_000_000)),
    ("negative count of series", Reason.SERIES_COUNT, carrying(MINUS + b"\0" + EMPTY_SERIES * 100)),
    ("number of more than 64 bits", Reason.MALFORMED, carrying(b"\xff" * 1_000_000)),
    ("length of a name", Reason.TRUNCATED, carrying(b"\x02" + HUGE + b"x" * 100)),
    ("negative length of a name", Reason.MALFORMED, carrying(b"\x02\x01" + b"x" * 100)),
    ("count of labels", Reason.LABEL_COUNT, carrying(b"\x02\x02m\0\0" + HUGE + b"\0" * 1000)),
    ("a million labels", Reason.LABEL_COUNT, carrying(b"\x02\x02m\0\0" + MILLION + b"\0\0" * 1_000_000 + b"\0\0")),
    (
        "many labels in many series",
        Reason.LABEL_COUNT,
        carrying(b"\xd0\x0f" + (b"\x02m\0\0\xd0\x0f" + b"\0\0" * 1000 + b"\0") * 1000),
    ),
    (
        "a point with a million labels",
        Reason.OVERSIZED,
        codec("metric").header + b"\x02t\x02s\x02m" + MILLION * 200_000,
    ),
    ("no end of blocks", Reason.TRUNCATED, carrying(b"\x02\x02m\0\0\0" * 50)),
    # Nothing is ever unpacked: what is compressed is no single object.
    ("an Avro file that unpacks to 64 MB", Reason.NOT_AVRO, container("deflate")),
    ("gzip of 64 MB", Reason.NOT_AVRO, gzip.compress(b"\0" * (64 << 20))),
    ("a series set that is gzip of 64 MB", Reason.MALFORMED, carrying(gzip.compress(b"\0" * (64 << 20)))),
    ("eight megabytes of nothing", Reason.NOT_AVRO, b"\0" * (8 << 20)),
    ("more than eight megabytes", Reason.OVERSIZED, b"\0" * (30 << 20)),
]


@pytest.mark.parametrize(("what", "reason", "bomb"), BOMBS, ids=[row[0] for row in BOMBS])
def test_a_bomb_is_refused_in_10_ms_and_64_mb(what: str, reason: Reason, bomb: bytes) -> None:
    def attack() -> list[object]:
        pair = Pair()
        pair.send(bomb)
        return [one.refusal.reason for one in pair.refused]

    assert attack() == [reason]
    seconds = []
    for _ in range(5):
        begun = time.process_time()
        attack()
        seconds.append(time.process_time() - begun)
    tracemalloc.start()
    attack()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    assert min(seconds) < 0.010


GOOD = [
    record([series("up", job="node"), Series("latency", (("a", "b"),), "distribution")]),
    codec("metric").encode(
        {
            "tenant": "acme",
            "source": "s",
            "name": "up",
            "labels": {"a": "b"},
            "timestamp": NOW,
            "value": 3.0,
            "type": "gauge",
            "unit": "",
        }
    ),
]


def fuzzed(dice: random.Random) -> bytes:
    """Return a good record with some of its bytes changed, cut out, doubled or made huge."""
    data = bytearray(dice.choice(GOOD))
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(10 if dice.random() < 0.95 else 0, len(data))
        what = dice.randrange(5)
        if what == 0:
            data[at] = dice.randrange(256)
        elif what == 1:
            del data[at : at + dice.randrange(1, 9)]
        elif what == 2:
            data[at:at] = data[at : at + dice.randrange(1, 40)]
        elif what == 3:
            data[at:at] = dice.choice([HUGE, MINUS, MILLION, b"\0", b"\xff\xff"])
        else:
            data[at:] = bytes(dice.randrange(256) for _ in range(len(data) - at))
        if len(data) < 12:
            break
    return bytes(data)


def test_ten_thousand_fuzzed_records_crash_nothing_and_are_accounted_for() -> None:
    dice = random.Random(20_000)
    pair = Pair()
    for number in range(10_000):
        if number == 9000:
            tracemalloc.start()  # which makes everything slower
        pair.send(fuzzed(dice))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pair.accounts) == 10_000  # each balances: Pair looks
    assert any(one.forwarded for one in pair.accounts)
    assert len({one.refusal.reason for one in pair.refused}) >= 8
    assert peak < 64 << 20, (held, peak)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_series_set_or_an_error(data: bytes) -> None:
    try:
        found = decode_series_set(data)
    except CodecError:
        return
    assert decode_series_set(encode_series_set(found)) == found
    schema = load_schema("series_set")
    assert schemaless_reader(io.BytesIO(data), schema) == schemaless_reader(
        io.BytesIO(encode_series_set(found)), schema
    )


@pytest.mark.timeout(300)
def test_a_flood_of_values_costs_its_own_tenant_only_and_heals() -> None:
    flood = {"window": "1m", "metrics": [{"name": "hits", "per_label_value_limits": {"user": 100}, "action": "fold"}]}
    pair = Pair(flood)
    quiet = [series("up", host=f"h{number}") for number in range(100)]
    pair.send(record(quiet, tenant="quiet"))
    for number in range(100):  # 100,000 in a minute
        at = NOW + number * 500
        rows = [Series("hits", (("user", f"u{number}-{one}"),)) for one in range(1000)]
        list(pair.gates[0].judge(record(rows, at), at))
        pair.owner.budget = pair.budgets.setdefault("acme", pair.owner.budget.__class__("acme"))
        outcomes = list(pair.slow.judge(record(rows, at), at))
        assert sum(one.batch.values.size for one in outcomes if isinstance(one, Passed)) <= 101
        pair.owner.budget.changes()
        assert pair.send(record(quiet, at, tenant="quiet"), at) == "fast"
    budget = pair.budgets["acme"]
    assert budget.counts() == {"hits": (100, 1)}
    assert (len(budget.members), [count for _, count in budget.values.counts()]) == (101, [100])
    assert {one.forwarded for one in pair.accounts} == {100}
    grown = (codec("growth").decode(one) for one in pair.owner.grown)
    told = [one for one in grown if one["tenant"] == "acme"]
    assert (told[0]["metric"], told[0]["label"], told[0]["last_seen"] - NOW) == ("hits", "user", 0)
    assert told[-1]["values"] == pytest.approx(100_000, rel=0.1)
    assert told[-1]["values"] > EXACT
    later = NOW + 130_000
    pair.send(record([series("hits", user="new")], later), later)
    assert "hits{user=new}" in pair.stored


def test_a_good_gate_lets_the_good_ones_pass() -> None:
    for one in GOOD:
        outcomes = list(Gate.open(4, LIMITS).judge(one, NOW))
        assert any(isinstance(outcome, Passed) for outcome in outcomes)
        assert not any(isinstance(outcome, Refused) for outcome in outcomes)
