"""python -m stack.entry COMMAND [ARGUMENT …]: what a JobManager in a container does before it starts, then COMMAND."""

import os
import sys

from stack.flink import drop_broken_results
from stack.home import Home


def main(command: list[str]) -> None:
    """Become the command, with the broken job results of TIDEGAUGE_HOME deleted."""
    drop_broken_results(Home.choose(None))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
