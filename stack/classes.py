"""`python -m stack.classes`: makes the class data archives that are missing, by a stack that starts and stops.

What starts next does so with a third less CPU: a minute once, before many starts, as those of the tests.
"""

import sys
import tempfile
from pathlib import Path

from stack.archive import ALL
from stack.home import Home
from stack.jars import folder
from stack.up import down, up


def main() -> int:
    """Return the exit code."""
    if all(one.path.exists() for one in ALL):
        return 0
    with tempfile.TemporaryDirectory(prefix="tidegauge-classes-") as temporary:
        home = Home(Path(temporary))
        try:
            up(home, "auto", off=("agent", "query"), detached=True)
        finally:
            down(home)
    missing = [one.role for one in ALL if not one.path.exists()]
    print(f"class data archives in {folder()}" + (f"; not written: {', '.join(missing)}" if missing else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
