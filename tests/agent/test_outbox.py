import pytest

from agent.delivery import backoff
from agent.outbox import Outbox, Record


def record(name: str, size: int = 10) -> Record:
    return Record(name.encode(), b"x" * size, samples=2)


def held(outbox: Outbox) -> str:
    return "".join(one.key.decode() for one in outbox.take(100, wait_s=0))


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


def test_giving_back_into_a_full_box_drops_the_oldest() -> None:
    outbox = filled("abc", max_batches=3)
    taken = outbox.take(2, wait_s=0)
    outbox.put(record("d"))
    outbox.give_back(taken)
    assert outbox.dropped_batches == 1
    assert held(outbox) == "bcd"


def test_backoff_doubles_to_its_most_and_keeps_half_of_it() -> None:
    assert [backoff(n, chance=1.0) for n in (1, 2, 3, 7, 100)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert backoff(3, chance=0.0) == 1.0
