"""The example rules about limits, growth and losses fire when they say so."""

from pathlib import Path

import pytest

from load.rules import main

DATA = Path(__file__).parents[2] / "data" / "gate" / "rules_test.yaml"


def test_the_gates_example_rules(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["test", str(DATA)])
    assert code == 0, capsys.readouterr().err
