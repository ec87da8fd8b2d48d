"""A shell's limits: lifted where they can be, and refused where what is written would be cut off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.home import ROOT

LIFTED = """
import resource, sys
from stack.limits import file_size, lift
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, {hard}))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))
lift()
print(file_size(), *(resource.getrlimit(one)[0] for one in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)))
"""


@pytest.mark.parametrize(("hard", "found"), [("-1", "None -1 256"), ("1 << 21", "2097152 2097152 256")])
def test_soft_limits_are_lifted_to_the_hard_ones(hard: str, found: str) -> None:
    # In a process of its own: what is lowered stays so.
    command = [sys.executable, "-c", LIFTED.format(hard=hard)]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert text.stdout.strip() == found, text.stderr


@pytest.mark.parametrize("command", [["stack.clickhouse", "--path", "data", "--port", "0"], ["stack.fit"]])
def test_what_would_be_cut_off_is_not_begun(command: list[str], tmp_path: Path) -> None:
    shell = f"ulimit -f 1024 && cd {tmp_path} && exec {sys.executable} -m {' '.join(command)}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", shell], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert done.stderr.startswith("TG-file-size")
