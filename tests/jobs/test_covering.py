"""What must reach every subtask of a keyed operator does, by Flink's own assignment of keys."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_subtask_gets_a_key_at_whatever_parallelism_the_job_comes_to_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.jobs.covering"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(found) == 12 * 13 // 2
    assert [one for one in found if one[1] != one[3]] == []
