"""The example rules about limits, growth, losses and lag fire when they say so."""

from pathlib import Path

import pytest

from load.rules import main

DATA = Path(__file__).parents[2] / "data" / "gate"


@pytest.mark.parametrize("name", ["rules_test.yaml", "lag_test.yaml"])
def test_the_example_rules(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["test", str(DATA / name)])
    assert code == 0, capsys.readouterr().err
