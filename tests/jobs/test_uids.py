"""A savepoint fits a job by its uids: they are pinned here. A change loses the state of everyone who upgrades."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.flink import flink_env, render
from stack.home import Home

PINNED = Path(__file__).with_name("uids.txt")

pytestmark = [pytest.mark.jvm, pytest.mark.timeout(300)]


def test_uids_are_the_pinned_ones(tmp_path: Path) -> None:
    home = Home(tmp_path)
    render(home, dict.fromkeys(("flink", "zookeeper"), 1))
    env = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGAUGE_")} | flink_env(home)
    found = []
    for name in ("gate", "store", "rollup", "alert", "reroll"):
        command = [sys.executable, "-m", "tests.jobs.uids", name]
        said = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert said.returncode == 0, said.stderr[-2000:]
        found += sorted(line for line in said.stdout.splitlines() if line.startswith(f"{name} "))
    if os.environ.get("TIDEGAUGE_PIN"):
        PINNED.write_text("\n".join(found) + "\n")
    assert found == PINNED.read_text().splitlines()
