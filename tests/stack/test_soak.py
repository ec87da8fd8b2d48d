import pytest

from stack.soak import growth


@pytest.mark.parametrize(
    ("sizes", "grown"),
    [
        ([100, 100, 100, 100], 0.0),
        ([10, 100, 100, 100], 0.0),
        ([10, 20, 100, 100, 105, 105, 110, 110], 0.1),
        ([100, 100, 100, 90], -0.1),
    ],
)
def test_growth_leaves_out_the_warm_up(sizes: list[int], grown: float) -> None:
    assert growth(sizes) == pytest.approx(grown)
