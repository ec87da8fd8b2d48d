"""How fast is the machine at this moment? A fixed piece of work on every core at once, in CPU seconds.

A virtual machine's cores give half as much in a busy hour of its host: figures of two runs compare only by what the
same work cost beside each of them.
"""

import os
import subprocess
import sys

# Sorting, arithmetic and byte code: what the stack's processes spend their time on, without any of their code.
_WORK = """
import time
import numpy as np
begun = time.process_time()
values = np.random.default_rng(1).random(2_000_000)
for _ in range(4):
    np.sort(values)
    np.add.reduceat(values, np.arange(0, len(values), 7))
total = 0
for number in range(3_000_000):
    total += number & 7
print(time.process_time() - begun)
"""


def cpu_seconds() -> float:
    """Return the CPU seconds of the fixed work, the mean over one process a core."""
    command = (sys.executable, "-c", _WORK)
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        for _ in range(os.cpu_count() or 1)
    ]
    spent = []
    for one in running:
        printed, _ = one.communicate()
        if one.returncode:
            raise RuntimeError(f"TG-bench-reference: exit code {one.returncode}")
        spent.append(float(printed))
    return sum(spent) / len(spent)
