"""Series rows are written when they are new, and once an hour."""

import numpy as np
import pytest

from schemas.batch import Batch, Series, encode_series_set
from udfs.store.register import HOUR_MS, Register

NOON = 1_800_000 * HOUR_MS
SET = encode_series_set([Series("up", (("job", "node"),))])


def batch(*stamps: int, tenant: str = "acme") -> Batch:
    ids = np.array([7], dtype=np.uint64)
    return Batch(tenant, "s", stamps[-1], SET, np.array(stamps), np.ones((len(stamps), 1)), None, ids, 0)


def test_a_new_set_is_due_and_then_not_for_an_hour() -> None:
    register = Register()
    due = register.due(batch(NOON + 5))
    assert due is not None
    assert (due.first_seen, due.last_seen) == (NOON + 5, NOON + HOUR_MS - 1)
    assert [(identity, one.name) for identity, one in due.rows] == [(7, "up")]
    assert register.due(batch(NOON + 10)) is None
    assert register.due(batch(NOON + HOUR_MS)) is not None


def test_a_late_batch_makes_its_own_hour_due() -> None:
    register = Register()
    register.due(batch(NOON))
    assert register.due(batch(NOON - HOUR_MS)) is not None
    assert register.due(batch(NOON + 1)) is None


@pytest.mark.parametrize(
    ("stamps", "seen"),
    [
        ((NOON + 5,), None),
        ((NOON + 4,), (NOON + 4, NOON + HOUR_MS - 1)),
        # Over hours, the newest of which is known.
        ((NOON - 2 * HOUR_MS, NOON + 6), (NOON - 2 * HOUR_MS, NOON + HOUR_MS - 1)),
        ((NOON - 2 * HOUR_MS, NOON + HOUR_MS), (NOON - 2 * HOUR_MS, NOON + 2 * HOUR_MS - 1)),
        # A row holds what was written before, and the time between.
        ((NOON - 2 * HOUR_MS,), (NOON - 2 * HOUR_MS, NOON + HOUR_MS - 1)),
        ((NOON + 3 * HOUR_MS,), (NOON + 5, NOON + 4 * HOUR_MS - 1)),
    ],
)
def test_older_samples_of_a_known_set_are_due_once(stamps: tuple[int, ...], seen: tuple[int, int] | None) -> None:
    register = Register()
    register.due(batch(NOON + 5))
    due = register.due(batch(*stamps))
    assert (due and (due.first_seen, due.last_seen)) == seen
    assert register.due(batch(*stamps)) is None


def test_tenants_do_not_share() -> None:
    register = Register()
    register.due(batch(NOON))
    assert register.due(batch(NOON, tenant="other")) is not None


def test_forgetting_only_writes_again() -> None:
    register = Register(capacity=1)
    register.due(batch(NOON))
    register.due(batch(NOON, tenant="other"))
    assert register.due(batch(NOON)) is not None


def test_the_set_that_was_longest_unheard_of_is_forgotten() -> None:
    register = Register(capacity=2)
    for stamp, tenant in ((0, "a"), (0, "b"), (-HOUR_MS, "a"), (0, "c")):
        assert register.due(batch(NOON + stamp, tenant=tenant)) is not None
    assert register.due(batch(NOON, tenant="a")) is None
    assert register.due(batch(NOON, tenant="b")) is not None
