"""What README and docs tell people to type is what the programs take."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stack.cli import ELSEWHERE, parser
from tests.sinks.silent import TOPIC, broker

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOO_LARGE = 10
"""Kafka's error code, one that is not tried again."""
BLOCKS = [
    block
    for page in PAGES
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S)
    if not language or language == "sh"
]


def of(program: str) -> list[list[str]]:
    """Return the arguments of each call of a program in the blocks without a language."""
    found = []
    for block in BLOCKS:
        for line in re.split(r"\n(?=\S)", block.replace("\\\n", " ")):
            for part in re.split(r" && (?=tidegauge)", line):
                if part.startswith(f"{program} "):
                    found.append(shlex.split(part, comments=True)[1:])
    return found


@pytest.mark.parametrize("arguments", of("curl"), ids=" ".join)
def test_urls_are_urls(arguments: list[str]) -> None:
    """Curl takes none with a space in it, and `curl -s` does not say so."""
    urls = [one for one in arguments if one.startswith("http")]
    assert urls
    assert not any(re.search(r"\s", one) for one in urls)


@pytest.mark.parametrize("arguments", of("tidegauge"), ids=" ".join)
def test_commands_are_commands(arguments: list[str]) -> None:
    if arguments[0] not in ELSEWHERE:
        parser().parse_args(arguments)


def test_there_are_some() -> None:
    assert len(of("curl")) >= 3
    assert len(of("tidegauge")) >= 5


@pytest.mark.parametrize(("fault", "code"), [(0, 0), (TOO_LARGE, 1)])
def test_who_sends_as_told_hears_of_what_the_broker_did_not_take(fault: int, code: int) -> None:
    (example,) = re.findall(r"^```python\n(import time\n.*?)^```", PAGES[0].read_text(), re.M | re.S)
    with broker(takes=True, fault=fault) as server:
        address = f"127.0.0.1:{server.server_address[1]}"
        text = example.replace("127.0.0.1:19092", address).replace('"metrics.raw"', f'"{TOPIC}"')
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert server.taken == 1
    assert done.returncode == code, done.stderr
