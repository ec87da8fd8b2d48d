"""The `tidegauge` command."""

import argparse
import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence

from stack.home import Home
from stack.ports import DEFAULTS, PortError
from stack.whole import whole

ELSEWHERE = {
    "agent": ("agent.__main__", "send this machine's metrics, and those of Prometheus endpoints"),
    "load": ("load.load", "write a file of series straight to ClickHouse"),
    "produce": ("load.produce", "send a file of series to metrics.raw"),
    "rules": ("stack.rules", "check, apply, list, test and backtest rules"),
    "why": ("stack.why", "replay the decision behind an alert's event, from what was known then"),
    "policy": ("stack.policy", "check, apply, list and remove what tenants may send"),
    "cardinality": ("stack.cardinality", "show which metrics make new series, by which label and source"),
    "lag": ("stack.lag", "show how far each job is in its topics, and what Kafka deleted unread"),
    "retention": ("stack.retention", "check, apply and list how long ClickHouse keeps what"),
}
"""Commands of other packages: module with main(argv), one line of help."""


def _up(args: argparse.Namespace) -> int:
    from stack.up import up

    home = Home.choose(args.home)
    off = {*args.without, *(() if args.agent else ("agent",))}
    up(home, args.ports, off=off, detached=args.detach, checked=args.checked)
    if args.detach:
        print("ready; `tidegauge status` shows it, `tidegauge down` stops it")
    return 0


def _down(args: argparse.Namespace) -> int:
    from stack.state import running
    from stack.up import down

    home = Home.choose(args.home)
    ran = running(home) is not None
    left = down(home)
    if left:
        print("ended what a killed supervisor left behind:", ", ".join(left))
    print("stopped" if ran or left else "nothing ran")
    return 0


def _status(args: argparse.Namespace) -> int:
    from stack.status import amiss, status, text

    shown = status(Home.choose(args.home))
    print(json.dumps(shown, indent=1) if args.json else text(shown))
    if shown["phase"] == "stopped":
        return 3
    # Who reads JSON judges by himself, and mostly while something is down.
    return 4 if amiss(shown) and not args.json else 0


def _logs(args: argparse.Namespace) -> int:
    from stack.logs import lines, missing, names

    home = Home.choose(args.home)
    if args.name not in names(home):
        print(missing(home, args.name), file=sys.stderr)
        return 2
    for line in lines(home, args.name, args.lines, follow=args.follow):
        print(line, end="", flush=True)
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from stack.doctor import examine, text

    findings = examine(Home.choose(args.home), args.ports)
    print(text(findings))
    return 0 if all(one.good for one in findings) else 1


def _run(args: argparse.Namespace) -> int:
    from stack.run import run

    run(Home.choose(args.home), args.ports)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    ports_help = f"NAME=PORT,... or the first of {len(DEFAULTS)} ports or `auto` for free ones; kept in the home. "
    ports_help += "Defaults: " + ", ".join(f"{name}={port}" for name, port in DEFAULTS.items())
    top = argparse.ArgumentParser(prog="tidegauge", description="A metrics pipeline on Apache Flink.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, act: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("--home", help="folder of all state (TIDEGAUGE_HOME, else .tidegauge in the checkout)")
        one.set_defaults(act=act)
        return one

    up = command("up", _up, "start the local stack, or bring a running one to the code in the checkout")
    up.add_argument("--detach", action="store_true", help="return when everything is ready; the stack runs on")
    up.add_argument("--agent", action="store_true", help="run the agent too")
    up.add_argument("--without", action="append", default=[], choices=["jobs", "query"], help="leave this part out")
    up.add_argument("--checked", action="store_true", help=argparse.SUPPRESS)
    command("down", _down, "stop everything of this home")
    status = command("status", _status, "show what runs; exit code 3 if nothing does, 4 if a part of it does not")
    status.add_argument("--json", action="store_true", help="as JSON; exit code 0 whatever part of it does not run")
    logs = command("logs", _logs, "show the log of one process")
    logs.add_argument("name", metavar="NAME", help="a process as `tidegauge status` names it")
    logs.add_argument("-f", "--follow", action="store_true", help="wait for more")
    logs.add_argument(
        "-n", "--lines", type=whole(0, 1_000_000_000), default=50, help="how many lines of the end; default 50"
    )
    doctor = command("doctor", _doctor, "check Java, ports, disk, jars, versions and the clock")
    run = command("run", _run, "start everything with this machine's metrics, show three queries with their answers")
    for one in (up, doctor, run):
        one.add_argument("--ports", metavar="PORTS", help=ports_help)
    for name, (_, text) in ELSEWHERE.items():
        commands.add_parser(name, help=text, add_help=False)
    return top


def _explained(error: Exception) -> tuple[int, list[str]]:
    """Return the exit code for an error and what to tell of it; no lines if it is a fault of the program."""
    from stack.fit import UnfitError
    from stack.found import NoStackError
    from stack.supervisor import AlreadyRunning
    from stack.up import StackError

    if isinstance(error, UnfitError):
        return error.code, [str(error)]
    if told := _settings(error):
        return 2, told
    if isinstance(error, OSError) and not str(error).startswith("TG-"):
        what = error.filename or "the output, or what a command reads or writes"
        return 1, [f"TG-os: {what}: {error.strerror or error}"]
    explained = StackError | NoStackError | PortError | AlreadyRunning | OSError
    return 1, [str(error)] if isinstance(error, explained) else []


def _settings(error: Exception) -> list[str]:
    """Return what an error says of the environment, a line for each setting; nothing if it is about something else."""
    # What they cost to import is for those who have the error.
    from pydantic import ValidationError

    from query.errors import ConfigError
    from schemas.setting import faults
    from sinks.clickhouse import AddressError

    if isinstance(error, ValidationError):
        return faults(error)
    return [str(error)] if isinstance(error, AddressError | ConfigError) else []


def _run_command(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in ELSEWHERE:
        import logging

        from stack.found import find

        find(arguments)
        # It logs that a server is away, without a handler and besides the error that the command tells.
        logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
        return int(importlib.import_module(ELSEWHERE[arguments[0]][0]).main(arguments[1:]) or 0)
    args = parser().parse_args(arguments)
    return int(args.act(args))


def _flush() -> None:
    """Write what was printed, and raise here if that cannot be: Python would only complain of it as it ends."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else it tries, and complains, once more
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    With one message 1 for what can be explained, 2 for a setting that cannot be; without any 130 for Ctrl-C, 141 if
    nobody reads the output any more.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and labels may hold what the terminal's encoding has not, or are no text at all.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run_command(list(sys.argv[1:] if argv is None else argv))
        finally:
            _flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        code, told = _explained(error)
        if not told:
            raise
        print("\n".join(told), file=sys.stderr)
        return code


if __name__ == "__main__":
    sys.exit(main())
