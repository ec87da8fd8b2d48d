"""What the first tier makes of a pane in which plain samples and distributions lie side by side."""

from schemas.tiers import MINUTE, TIERS
from sinks import rows
from tests.udfs.rollup.test_distribution import weighted
from tests.udfs.rollup.test_rows import frame_of
from udfs.rollup.flink.closing import OfFrames, OfRows
from udfs.rollup.rows import rollup

PLAIN = frame_of([(1, 0, 5.0), (1, 1000, 7.0), (4, 0, 1.0)])
MANY = weighted([(2, 0, ((5.0, 2), (6.0, 1))), (3, 0, ((1.0, 4),))])


def counts(payloads: list[bytes]) -> dict[int, int]:
    table = OfFrames().rows(0, payloads)
    if table is None:
        return {}
    # Through state into the next tier, as a closed pane goes.
    coarse = OfRows(TIERS[1]).rows(0, [rows.pack(table)])
    assert coarse is not None
    return dict(zip(coarse["series_id"].to_pylist(), coarse["count"].to_pylist(), strict=True))


def test_each_by_its_own_rule_in_one_block() -> None:
    assert counts([PLAIN.encode(), MANY.encode(), PLAIN.encode(), MANY.encode()]) == {1: 2, 4: 1, 2: 3, 3: 4}
    assert counts([MANY.encode()]) == {2: 3, 3: 4}


def test_a_pane_of_plain_samples_is_the_rollup_itself() -> None:
    made = rollup([PLAIN], 0)
    assert made is not None
    assert OfFrames().rows(0, [PLAIN.encode()]) == rows.rollup(made)
    assert OfFrames().tier == MINUTE
    assert counts([]) == {}


def test_of_a_series_that_was_sent_as_both_the_fuller_row_stands() -> None:
    both = [frame_of([(2, 0, 5.0), (2, 1000, 5.0)]).encode(), MANY.encode()]
    assert counts(both) == counts(both[::-1]) == {2: 3, 3: 4}
