"""What kafka-python's clients cost while a broker does not answer."""

import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from sinks.client import opened
from sinks.producer import open_producer
from tests.sinks.silent import TOPIC, silent_broker

WATCHED_S = 1.0
WAITS = {"delivery_timeout_ms": 2_500, "request_timeout_ms": 2_000}


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """Let nobody connect to a port, and nobody be refused: its queue is full, as if packets were dropped."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield
        for one in waiting:
            one.close()


def awake(before: set[threading.Thread]) -> float:
    """Return the share of a core that the threads which came since take."""
    clocks = [time.pthread_getcpuclockid(one.ident) for one in set(threading.enumerate()) - before if one.ident]
    begun = [time.clock_gettime(clock) for clock in clocks]
    time.sleep(WATCHED_S)
    return sum(time.clock_gettime(clock) - at for clock, at in zip(clocks, begun, strict=True)) / WATCHED_S


def held() -> tuple[int, int]:
    """Return (threads, descriptors) of this process."""
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def ends_in_time(producer: Any, *sent: Any) -> None:
    """Check that records which nobody takes come to an end."""
    for future in sent:
        with pytest.raises(KafkaError):
            future.get(timeout=20)
    producer.close(timeout=1)


def test_a_producer_sleeps_while_its_broker_owes_an_answer() -> None:
    with silent_broker() as broker:
        before = set(threading.enumerate())
        producer = open_producer(broker, **WAITS)
        first = producer.send(TOPIC, b"on its way", partition=0)
        time.sleep(0.2)  # more than linger_ms: the other goes with the next request
        second = producer.send(TOPIC, b"waits", partition=1)
        assert awake(before) < 0.2
        ends_in_time(producer, first, second)


def test_a_producer_sleeps_while_nobody_takes_its_connection() -> None:
    before = set(threading.enumerate())
    with silent_broker() as broker:
        producer = open_producer(broker, **WAITS)
        sent = producer.send(TOPIC, b"waits", partition=0)
    with black_hole(int(broker.split(":")[1])):
        assert awake(before) < 0.2
        ends_in_time(producer, sent)


@pytest.mark.parametrize("kind", [KafkaAdminClient, KafkaConsumer, KafkaProducer])
def test_what_finds_no_broker_leaves_nothing_open(kind: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "kafka")  # what is logged holds errors, and they what they came from
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    before = held()
    for _ in range(3):
        with pytest.raises(KafkaError):
            opened(kind, nobody, bootstrap_timeout_ms=100)
    assert held() == before
