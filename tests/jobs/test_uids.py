"""A savepoint fits a job by its uids: they are pinned here. A change loses the state of everyone who upgrades."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.__main__ import NAMES
from schemas.tiers import TIERS
from stack.flink import flink_env, render
from stack.home import Home

PINNED = Path(__file__).with_name("uids.txt")
FORMER = Path(__file__).with_name("uids_of_8_shards.txt")

pytestmark = [pytest.mark.jvm, pytest.mark.timeout(300)]


def built(tmp_path: Path, *names: str) -> list[str]:
    """Return what tests.jobs.uids prints of the jobs, built one after the other in one process."""
    home = Home(tmp_path)
    render(home, dict.fromkeys(("flink", "zookeeper"), 1))
    env = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGAUGE_")}
    env |= flink_env(home)
    command = [sys.executable, "-m", "tests.jobs.uids", *names]
    said = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    return said.stdout.splitlines()


def vertices(lines: list[str], *names: str) -> list[str]:
    """Return `job vertex-id` of the jobs."""
    return [line for name in names for line in sorted(one for one in lines if one.startswith(f"{name} "))]


def test_uids_are_the_pinned_ones_and_what_is_rare_goes_on_at_once(tmp_path: Path) -> None:
    lines = built(tmp_path, *NAMES)
    found = vertices(lines, *NAMES)
    if os.environ.get("TIDEGAUGE_PIN"):
        PINNED.write_text("\n".join(found) + "\n")
    assert found == PINNED.read_text().splitlines()
    # Each other output has a thread that looks for records a hundred times a second: it pays where they are many.
    at_once = {tuple(line.split()[1:3]) for line in lines if line.startswith("at-once ")}
    assert at_once >= {("gate", "asked"), ("alert", "judge"), ("alert", "beat")}
    assert not at_once & {("gate", "gate"), ("alert", "match"), ("alert", "pieces")}


def test_a_job_built_alone_has_the_same_uids_but_with_other_shards_other_ones(tmp_path: Path) -> None:
    pinned, former = PINNED.read_text().splitlines(), FORMER.read_text().splitlines()
    lines = built(tmp_path, "reroll", "rollup@8", "reroll@8")
    assert vertices(lines, "reroll") == [line for line in pinned if line.startswith("reroll ")]
    # What was made before shards were named goes on: with eight.
    assert [line.replace("@8", "") for line in vertices(lines, "rollup@8", "reroll@8")] == former
    assert len(set(former) - set(pinned)) >= len(TIERS) + 1
