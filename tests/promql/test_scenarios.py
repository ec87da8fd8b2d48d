from pathlib import Path

import pytest

from tests.promql.scenario import Scenario

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.test"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    assert Scenario().run(path) >= 10
