"""`python -m jobs submit`: no job begins empty because its name was mistyped."""

import pytest

from jobs.__main__ import main
from tests.stack.test_direct import Answering, serving


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["gaet"], "no job named gaet"),
        (["--from", "rolup=/s/x"], "--from rolup: NAME=SAVEPOINT is due"),
        (["--from", "tidegauge-rollup=/s/x"], "--from tidegauge-rollup:"),
        (["--from", "/s/x"], "--from /s/x:"),
        (["--from", "rollup="], "--from rollup:"),
        (["gate", "--from", "rollup=/s/x"], "--from rollup: NAME=SAVEPOINT is due, NAME one of gate"),
    ],
)
def test_what_is_mistyped_is_refused(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["submit", *args])
    assert end.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["gate"], 0, "job gate: already running"),
        (["gate", "--from", "gate=/s/x"], 1, "TG-submit-from gate: already running"),
    ],
)
def test_a_savepoint_for_a_job_that_runs_is_not_passed_over(
    args: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(Answering) as port:
        monkeypatch.setenv("TIDEGAUGE_FLINK", f"127.0.0.1:{port}")
        assert main(["submit", *args]) == code
    out = capsys.readouterr()
    assert said in out.out + out.err
