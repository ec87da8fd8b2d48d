"""Memory of large arrays is used again instead of being taken from the system anew."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, threading
import numpy as np
from query.allocator import keep_memory
if sys.argv[1] == "yes" and not keep_memory():
    raise SystemExit("no glibc")

def work():
    for _ in range(40):
        arrays = [np.ones(500_000) for _ in range(30)]  # 120 MB, more than an arena's heap
        del arrays

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(kept: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, kept], capture_output=True, text=True, check=False)
    if "no glibc" in done.stderr:
        pytest.skip("this C library is not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_pages_are_taken_once() -> None:
    kept, given_back = faults("yes"), faults("no")
    # 120 MB are 30,000 pages; the interpreter and numpy take some thousands.
    assert kept < 60_000
    assert given_back > 1.5 * kept
