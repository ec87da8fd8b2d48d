"""python -m stack.soak: watch the running stack, and fail if its memory grows or a process dies."""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from stack.home import Home
from stack.status import status

GROWTH_LIMIT = 0.05
"""Growth of the memory of everything together, from the second quarter to the last, that still counts as none."""


def growth(sizes: Sequence[int]) -> float:
    """Return by which part the last quarter's mean lies above the second quarter's; the first one warms up."""
    quarters = np.array_split(np.asarray(sizes, dtype=np.float64), 4)
    return float(quarters[3].mean() / quarters[1].mean() - 1.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Sample the status every few seconds; exit code 1 on growth, on a restart, or if the stack is not running."""
    parser = argparse.ArgumentParser(prog="python -m stack.soak", description=__doc__)
    parser.add_argument("--home", help="as of `tidegauge up`")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long to watch; default 20")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between samples; default 10")
    args = parser.parse_args(argv)
    home, end = Home.choose(args.home), time.monotonic() + args.minutes * 60
    sizes: list[int] = []
    restarts: dict[str, int] = {}
    while time.monotonic() < end or len(sizes) < 4:
        shown = status(home)
        if shown["phase"] != "running":
            print(f"TG-soak the stack in {home.path} is {shown['phase']}", file=sys.stderr)
            return 1
        sizes.append(shown["rss"])
        now = {name: one["restarts"] for name, one in shown["processes"].items()}
        died = [name for name, count in now.items() if count > restarts.get(name, count)]
        if died:
            print(f"TG-soak died meanwhile: {', '.join(died)}", file=sys.stderr)
            return 1
        restarts = now
        print(f"{time.strftime('%H:%M:%S')}  {shown['rss'] / 2**30:.3f} GiB", flush=True)
        time.sleep(args.interval)
    grown = growth(sizes)
    print(f"memory grew by {grown:+.1%} from the second to the last quarter; the limit is {GROWTH_LIMIT:.0%}")
    return 0 if grown <= GROWTH_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
