"""Sending where brokers come and go."""

import time

import pytest

from agent.delivery import Delivery
from agent.outbox import Outbox, Record
from tests.sinks.silent import TOPIC, Address, broker


def sent(delivery: Delivery, outbox: Outbox, name: bytes, most_s: float = 30.0) -> bool:
    """Put a record and tell whether it was sent in time."""
    before = delivery.sent_batches
    outbox.put(Record(b"host", name, 1))
    until = time.monotonic() + most_s
    while delivery.sent_batches == before and time.monotonic() < until:
        time.sleep(0.05)
    return delivery.sent_batches > before


def test_all_brokers_replaced_behind_one_name() -> None:
    """kafka-python asks for brokers only those that it knows, and these are gone."""
    named: list[Address] = []
    with broker(takes=True) as old, broker(takes=True) as new, broker(takes=False, leader=lambda: named[-1]) as front:
        named.append(("127.0.0.1", old.server_address[1]))
        outbox = Outbox(100, 1 << 20)
        delivery = Delivery(outbox, f"127.0.0.1:{front.server_address[1]}", TOPIC, delivery_s=0.6)
        delivery.start()
        assert sent(delivery, outbox, b"first")
        assert old.taken
        named.append(("127.0.0.1", new.server_address[1]))
        old.cut()
        assert sent(delivery, outbox, b"second")
        assert new.taken
        delivery.stop()
        delivery.join(10)
        assert not delivery.is_alive()
        assert (outbox.dropped_batches, len(outbox)) == (0, 0)


def test_a_clock_that_is_off_the_brokers_is_told_once_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """The gate refuses what it sends, and the broker takes it: nothing else would tell who looks after the agent."""
    caplog.set_level("INFO", "tidegauge.agent")
    ahead = [660]
    with broker(takes=True, stamp=lambda: int((time.time() - ahead[-1]) * 1000)) as server:
        outbox = Outbox(100, 1 << 20)
        delivery = Delivery(outbox, f"127.0.0.1:{server.server_address[1]}", TOPIC)
        delivery.start()
        assert sent(delivery, outbox, b"first")
        assert sent(delivery, outbox, b"second")
        assert delivery.clock.text() == "660 s ahead of"
        ahead.append(0)
        assert sent(delivery, outbox, b"third")
        delivery.stop()
        delivery.join(10)
    told = [record.message for record in caplog.records if "clock" in record.message]
    assert [one.partition(";")[0] for one in told] == [
        "TG-agent-clock: this machine's clock is 660 s ahead of the broker's",
        "the clock agrees with the broker's again",
    ]
