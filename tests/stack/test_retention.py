"""`tidegauge retention` as a person runs it, on the real engine."""

from pathlib import Path

import pytest

from sinks import ddl
from stack import cli
from tests import embedded


@pytest.fixture(autouse=True)
def target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", embedded.endpoint())
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE_DATABASE", "retention_command")
    ddl.apply(embedded.endpoint(), "default", "", "retention_command")


def test_check_apply_and_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "retention.yaml"
    file.write_text("classes:\n  standard: {}\n  long: {raw: 7}\ntenants: {acme: long}\n")
    assert cli.main(["retention", "check", str(file)]) == 0
    assert "long            7      14      30      90     730  acme" in capsys.readouterr().out
    assert cli.main(["retention", "list"]) == 0
    assert "samples: for ever" in capsys.readouterr().out
    monkeypatch.setenv("TIDEGAUGE_RETENTION", str(file))
    assert cli.main(["retention", "apply"]) == 0
    assert "samples: for ever -> " in capsys.readouterr().out
    assert cli.main(["retention", "apply"]) == 0
    assert capsys.readouterr().out == "retention_command: up to date\n"
    assert cli.main(["retention", "list"]) == 0
    out = capsys.readouterr().out
    assert "has(_CAST(['acme'], 'Array(String)'), tenant), 7, 2)" in out


def test_a_bad_file_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("classes:\n  standard: {raw: 0}\n")
    assert cli.main(["retention", "apply", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("TG-retention-value: ") and "classes.standard.raw" in error
    assert cli.main(["retention", "check", str(tmp_path / "none.yaml")]) == 1
    assert "TG-retention-file" in capsys.readouterr().err
