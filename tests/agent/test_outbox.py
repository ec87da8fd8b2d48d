import pytest

from agent.delivery import backoff
from agent.outbox import Outbox, Record


def record(name: str, size: int = 10) -> Record:
    return Record(name.encode(), b"x" * size, samples=2)


def held(outbox: Outbox) -> str:
    taken = outbox.take(100, wait_s=0)
    for one in taken:
        outbox.settle(one, sent=True)
    return "".join(one.key.decode() for one in taken)


def filled(names: str, **limits: int) -> Outbox:
    outbox = Outbox(**({"max_batches": 100, "max_bytes": 1000} | limits))
    for name in names:
        outbox.put(record(name))
    return outbox


@pytest.mark.parametrize(
    ("limits", "kept", "dropped"),
    [({}, "abcde", 0), ({"max_batches": 3}, "cde", 2), ({"max_bytes": 25}, "de", 3), ({"max_bytes": 5}, "", 5)],
)
def test_the_oldest_go_first_and_are_counted(limits: dict[str, int], kept: str, dropped: int) -> None:
    outbox = filled("abcde", **limits)
    assert (outbox.dropped_batches, outbox.dropped_samples) == (dropped, 2 * dropped)
    assert outbox.bytes == 10 * len(kept)
    assert held(outbox) == kept
    assert outbox.bytes == 0


def test_what_is_given_back_is_sent_first() -> None:
    outbox = filled("abc")
    taken = outbox.take(2, wait_s=0)
    outbox.put(record("d"))
    outbox.give_back(taken)
    assert outbox.bytes == 40
    assert held(outbox) == "abcd"


def test_a_full_box_drops_what_is_not_in_flight() -> None:
    outbox = filled("abc", max_batches=3)
    taken = outbox.take(2, wait_s=0)
    outbox.put(record("d"))  # over the limit with those in flight, which cannot be dropped
    assert outbox.dropped_batches == 1
    outbox.give_back(taken)
    assert held(outbox) == "abd"


def test_what_is_in_flight_still_counts() -> None:
    outbox = filled("abc")
    first, _ = outbox.take(2, wait_s=0)
    assert (len(outbox), outbox.bytes) == (3, 30)
    outbox.settle(first, sent=False)
    assert (len(outbox), outbox.bytes, outbox.dropped_batches, outbox.dropped_samples) == (2, 20, 1, 2)


def test_backoff_doubles_to_its_most_and_keeps_half_of_it() -> None:
    assert [backoff(n, chance=1.0) for n in (1, 2, 3, 7, 100)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert backoff(3, chance=0.0) == 1.0
