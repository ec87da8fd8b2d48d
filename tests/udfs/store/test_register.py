"""Series rows are written when they are new, and once an hour."""

import numpy as np

from schemas.batch import Batch, Series, encode_series_set
from udfs.store.register import HOUR_MS, Register

NOON = 1_800_000 * HOUR_MS
SET = encode_series_set([Series("up", (("job", "node"),))])


def batch(stamp: int, tenant: str = "acme", series_set: bytes = SET) -> Batch:
    ids = np.array([7], dtype=np.uint64)
    return Batch(tenant, "s", stamp, series_set, np.array([stamp]), np.array([[1.0]]), None, ids, 0)


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


def test_tenants_do_not_share() -> None:
    register = Register()
    register.due(batch(NOON))
    assert register.due(batch(NOON, tenant="other")) is not None


def test_forgetting_only_writes_again() -> None:
    register = Register(capacity=1)
    register.due(batch(NOON))
    register.due(batch(NOON + HOUR_MS))
    assert register.due(batch(NOON)) is not None
