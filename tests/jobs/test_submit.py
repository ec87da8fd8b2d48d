"""`python -m jobs submit`: no job begins empty because its name was mistyped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jobs.__main__ import main
from stack.flink import flink_env, render
from stack.home import Home
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


@pytest.mark.jvm
@pytest.mark.timeout(300)
def test_a_job_is_told_what_flink_asks_of_it_and_not_of_the_cluster(tmp_path: Path) -> None:
    home = Home(tmp_path)
    render(home, dict.fromkeys(("flink", "zookeeper"), 1))
    env = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGAUGE_")} | flink_env(home)
    said = subprocess.run(
        [sys.executable, "-m", "tests.jobs.told"], capture_output=True, text=True, env=env, check=False
    )
    assert said.returncode == 0, said.stderr[-2000:]
    told = dict(line.split(" ", 1) for line in said.stdout.splitlines())
    options = yaml.safe_load((Path(env["FLINK_CONF_DIR"]) / "config.yaml").read_text())
    # Else a JobManager that brings jobs back on a busy machine gives up: it asks itself, 10 s long, by the job's own.
    for key in ("pekko.ask.timeout", "pipeline.object-reuse"):
        assert told.get(key) == str(options[key]).lower(), key
