"""A setting that nothing reads is told, with the one that was meant."""

import re
from pathlib import Path

import pytest

from stack import doctor, fit, ports
from stack.home import Home
from stack.unknown import known, unknown

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"TIDEGAUGE_[A-Z0-9]+(?:_[A-Z0-9]+)*\b(?![_…*])")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("TIDEGAUGE_GATE_MAX_SERIE", "nothing reads TIDEGAUGE_GATE_MAX_SERIE; is it TIDEGAUGE_GATE_MAX_SERIES?"),
        ("TIDEGAUGE_GATE_TOLERANC_S", "nothing reads TIDEGAUGE_GATE_TOLERANC_S; is it TIDEGAUGE_GATE_TOLERANCE_S?"),
        ("TIDEGAUGE_ZZZZZZZZZZZZZZZZZZZZ", "nothing reads TIDEGAUGE_ZZZZZZZZZZZZZZZZZZZZ"),
    ],
)
def test_a_name_that_nothing_reads(name: str, told: str) -> None:
    assert list(unknown({name: "1", "PATH": "/bin", "TIDEGAUGE_KAFKA": "h:1"})) == [f"TG-settings-unknown: {told}"]


def test_up_and_doctor_tell_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.settings({"TIDEGAUGE_KAFKA"}).good
    assert not doctor.settings({"TIDEGAUGE_GATE_MAX_SERIE"}).good
    monkeypatch.setenv("TIDEGAUGE_GATE_MAX_SERIE", "5")
    monkeypatch.delenv("TIDEGAUGE_PIN", raising=False)
    fit.check(Home(tmp_path), ports.DEFAULTS, (), starts=False)
    assert capsys.readouterr().err.splitlines() == list(unknown({"TIDEGAUGE_GATE_MAX_SERIE"}))


def test_what_the_documents_and_compose_name_is_read() -> None:
    """So no class of settings is left out here."""
    texts = [ROOT / "README.md", ROOT / "docker-compose.yml", *(ROOT / "docs").glob("*.md")]
    named = {name for text in texts for name in NAME.findall(text.read_text())}
    assert len(named) > 40
    assert named - known() - {"TIDEGAUGE_AGENT", "TIDEGAUGE_GATE"} == set()
