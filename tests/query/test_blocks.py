import pytest
from hypothesis import given
from hypothesis import strategies as st

from promql.parse import parse
from query.blocks import HOUR_MS, Steps, block_steps, finished_blocks, gaps
from query.keys import cacheable, covering

H = HOUR_MS
M = 60_000


# (query, first, last, settled) in minutes, step 3 min → first minute of each block. Blocks are an hour here.
@pytest.mark.parametrize(
    ("query", "first", "last", "settled", "want"),
    [
        ("m", 60, 177, 1000, [60, 120]),
        ("m", 69, 189, 1000, [60, 120, 180]),
        ("m", 60, 177, 177, [60, 120]),
        ("m", 60, 177, 176, [60]),
        ("m", 60, 177, 60, []),
        ("m offset 1h", 60, 177, 117, [60, 120]),
        ("m offset -1h", 60, 177, 177, [60]),
        ("rate(m[5m]) + m offset -1m", 60, 177, 177, [60]),
    ],
)
def test_only_settled_blocks(query: str, first: int, last: int, settled: int, want: list[int]) -> None:
    found = finished_blocks(Steps(first * M, last * M, 3 * M), parse(query), 5 * M, settled * M)
    assert [block.first_ms // M for block in found] == want
    assert all(block.size == 20 for block in found)


def test_the_phase_of_a_range_is_kept() -> None:
    steps = Steps(H + 7, 3 * H + 7, 3 * M)
    assert [block.first_ms for block in finished_blocks(steps, parse("m"), 0, 10 * H)] == [H + 7, 2 * H + 7, 3 * H + 7]


@given(
    first=st.integers(-(10**12), 10**12),
    step=st.integers(1, 10**8),
    size=st.integers(1, 2000),
    settled=st.integers(-(10**12), 2 * 10**12),
    held=st.sets(st.integers(0, 40)),
)
def test_blocks_and_gaps_cover_the_range_once(first: int, step: int, size: int, settled: int, held: set[int]) -> None:
    steps = Steps(first, first + (size - 1) * step, step)
    blocks = finished_blocks(steps, parse("m"), 300_000, settled)
    have = [block for number, block in enumerate(blocks) if number in held]
    covered = [at for piece in (*have, *gaps(steps, have, blocks)) for at in (piece.first_ms, piece.last_ms)]
    times: list[int] = []
    for piece in (*have, *gaps(steps, have, blocks)):
        times += range(piece.first_ms, piece.last_ms + 1, step)
    assert len(times) == len(set(times))
    assert set(range(steps.first_ms, steps.last_ms + 1, step)) <= set(times)
    assert all((at - first) % step == 0 for at in covered)
    assert all(block.last_ms <= settled and block.size == block_steps(step) for block in blocks)


@pytest.mark.parametrize(
    ("query", "want"),
    [
        ("up", True),
        ("sum(rate(up[5m])) / sum(up)", True),
        ('{__name__="up"}', True),
        ('{__name__=~"up.*"}', False),
        ('up + on() {job="x"}', False),
        ("1 + 1", False),
        ("vector(1)", False),
        ("time()", False),
    ],
)
def test_what_may_be_cached(query: str, want: bool) -> None:
    assert cacheable(parse(query)) is want


def test_a_blocks_versions_are_those_of_the_hours_it_reads() -> None:
    of_m = [(h * 3600, kind, h + 1) for h in range(6) for kind in ("data", "series")]
    versions = {"m": of_m, "other": [(0, "data", 9)]}
    block = Steps(3 * H, 4 * H - M, M)
    # The lookback reaches into hour 2. Series may have been first seen at any earlier time, 1 + 2 + 3 + 4 of them.
    want = {("m", (h * 3600, "data", h + 1)) for h in (2, 3)} | {("m", (block.last_ms // 1000, "series", 10))}
    assert set(covering(versions, parse("m"), block, 5 * M)) == want
