"""However late distributions come, beside plain samples or alone: in the end every tier is as if all came in time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rollups import Rollups
from schemas.tiers import MINUTE, TIERS
from tests.udfs.reroll.test_heal import DAY, SPAN, Stored, coarsened, minute, rolled
from tests.udfs.rollup.test_distribution import ENTRIES, One, made, weighted
from tests.udfs.rollup.test_rows import Sample, frame_of
from udfs.reroll.heal import Waiting, heal
from udfs.rollup.distribution import rollup
from udfs.rollup.window import split

STAMPS = st.integers(1, SPAN // 20_000).map(lambda n: n * 20_000)
SOME = st.lists(
    st.tuples(st.integers(0, 3), STAMPS, ENTRIES.map(tuple)), min_size=1, max_size=30, unique_by=lambda one: one[:2]
)
PLAIN = st.lists(
    st.tuples(st.integers(4, 5), STAMPS, st.integers(-9, 9).map(float)), max_size=10, unique_by=lambda one: one[:2]
)


def rolled_many(ones: list[One]) -> dict[str, list[Rollups]]:
    """Return the rows of every tier, as the rollup job makes them of these distributions."""
    frames = split(weighted(ones), MINUTE.width_ms) if ones else []
    return coarsened([rollup(made([frame]), window) for window, frame in frames])


def told(stored: Stored) -> dict[str, dict[tuple[int, int], str]]:
    # As text, since NaN is not itself.
    return {tier: {key: repr(row) for key, row in rows.items()} for tier, rows in stored.rows_of.items()}


@given(SOME, PLAIN, st.data())
@settings(max_examples=80)
def test_every_tier_ends_as_if_all_had_come_in_time(ones: list[One], plain: list[Sample], data: st.DataObject) -> None:
    stored = Stored()
    late = [one for one in ones if data.draw(st.booleans())]
    in_time = [one for one in ones if one not in late]
    closed = rolled_many(in_time)
    waiting: Waiting = {}
    times = sorted(data.draw(st.lists(st.integers(0, 2 * DAY), min_size=1, max_size=3)))
    for last, now in zip([-1, *times], [*times, 2 * DAY], strict=True):
        for tier in TIERS:
            stored.write(tier, [part for part in closed[tier.name] if last < part.window + tier.width_ms <= now])
        stored.many += [one for one in in_time if last < one[1] <= now]
        stored.closed_until = now
        # What is late comes in any pieces, some of it twice; plain samples are all late, and last.
        ripe = [one for one in late if minute(one[1]) + 60_000 <= now]
        come = ripe if now == 2 * DAY else [one for one in ripe if data.draw(st.booleans())]
        stored.many += come
        frames = [weighted([one]) for one in data.draw(st.permutations(come))]
        if now == 2 * DAY and plain:
            stored.raw += plain
            frames.append(frame_of(plain))
        healed = heal(frames, waiting, stored)
        assert not healed.unstored
        waiting = healed.waiting
    assert not waiting
    expected = Stored()
    for tier in TIERS:
        expected.write(tier, rolled_many(ones)[tier.name])
        expected.write(tier, rolled(plain)[tier.name])
    assert told(stored) == told(expected)


def test_nothing_is_written_before_the_table_has_the_late_distributions() -> None:
    stored = Stored(closed_until=2 * DAY)
    small: One = (1, 60_000, ((1.0, 2),))
    large: One = (1, 60_000, ((1.0, 2), (5.0, 1)))
    stored.many = [small]
    late = weighted([large])
    # One with its place is there, but a lesser one.
    assert heal([late, frame_of([(2, 60_000, 1.0)])], {}, stored).unstored == 2
    assert not any(stored.rows_of.values())
    stored.many += [large]
    stored.raw = [(2, 60_000, 1.0)]
    assert heal([late, frame_of([(2, 60_000, 1.0)])], {}, stored).unstored == 0
    assert {key: row["count"] for key, row in stored.rows_of["1d"].items()} == {(1, 0): 3, (2, 0): 1}
    # The lesser one, come late too, waits for nothing and changes nothing.
    before = told(stored)
    assert heal([weighted([small])], {}, stored).unstored == 0
    assert told(stored) == before


def test_patience_ends() -> None:
    stored = Stored(many=[(1, 1, ((1.0, 2),))], closed_until=2 * DAY)
    healed = heal([weighted([(1, 1, ((1.0, 2),)), (1, 1000, ((2.0, 9),))])], {}, stored, patient=False)
    assert (healed.unstored, stored.rows_of["1m"][1, 0]["count"]) == (0, 2)
    assert heal([weighted([(9, 1, ((1.0, 2),))])], {}, Stored(), patient=False).rows == 0


def test_a_series_sent_as_both_loses_no_minute() -> None:
    seconds = [start + second * 1000 for start in range(0, 300_000, 60_000) for second in range(1, 10)]
    plain: list[Sample] = [(1, stamp, 1.0) for stamp in seconds]
    stored = Stored(raw=plain, closed_until=2 * DAY)
    stored.write(MINUTE, [part for part in rolled(plain)["1m"] if part.window >= 180_000])
    # Late: three minutes of plain samples, two distributions that count less; five rows, not five minutes.
    many: list[One] = [(1, 1, ((5.0, 2),)), (1, 60_001, ((5.0, 2),))]
    stored.many = many
    assert heal([frame_of([one for one in plain if one[1] < 180_000]), weighted(many)], {}, stored).unstored == 0
    assert {key: row["count"] for key, row in stored.rows_of["5m"].items()} == {(1, 0): 45}
