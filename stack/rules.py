"""`tidegauge rules …`: backtest reads ClickHouse as the query service does, all else is load.rules."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["backtest"]:
        from stack.backtest import main as backtest

        return backtest(arguments[1:])
    from load.rules import main as rules

    return rules(arguments)


if __name__ == "__main__":
    sys.exit(main())
