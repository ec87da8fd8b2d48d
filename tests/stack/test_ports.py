import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ports, state
from stack.choice import choice
from stack.home import Home


def test_defaults_are_all_different_and_not_privileged() -> None:
    assert len(set(ports.DEFAULTS.values())) == len(ports.DEFAULTS)
    assert all(1024 < port < 32768 for port in ports.DEFAULTS.values())
    assert set(ports.ENDPOINTS) <= set(ports.DEFAULTS)


@pytest.mark.parametrize(
    ("text", "remembered", "changed"),
    [
        (None, {}, {}),
        (None, {"kafka": 5000}, {"kafka": 5000}),
        ("kafka=29092", {}, {"kafka": 29092}),
        ("kafka=29092, query=29090", {"redis": 5000}, {"kafka": 29092, "query": 29090, "redis": 5000}),
        ("auto", dict.fromkeys(ports.DEFAULTS, 5000), dict.fromkeys(ports.DEFAULTS, 5000)),
        ("30000", {"kafka": 5000}, {name: 30000 + place for place, name in enumerate(ports.DEFAULTS)}),
    ],
)
def test_parse(text: str | None, remembered: dict[str, int], changed: dict[str, int]) -> None:
    assert ports.parse(text, remembered) == {**ports.DEFAULTS, **changed}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kafak=29092", "names 'kafak', expected one of kafka"),
        ("kafka=", "kafka is ''"),
        ("kafka=80", "expected a port of 1024 to 65535"),
        ("65535", "the last port"),
        ("many", "--ports is 'many'"),
        ("kafka=20000,clickhouse=20000", "kafka, clickhouse are all 20000"),
        ("kafka=18123", "kafka, clickhouse are all 18123"),
        ("kafka=20000,kafka=20001", "names kafka twice"),
    ],
)
def test_parse_refuses(text: str, says: str) -> None:
    with pytest.raises(ports.PortError, match=says):
        ports.parse(text, {})


def test_auto_picks_free_ports() -> None:
    chosen = ports.parse("auto", {})
    assert len(set(chosen.values())) == len(chosen)
    assert all(ports.is_free(port) for port in chosen.values())


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ports.PortError, match=rf"TG-port-taken redis={port}.*--ports auto"):
            ports.check({"redis": port})


def test_remembered_ports_are_written_whole(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    ports.save(home, {"kafka": 5000})
    assert ports.load(home) == {"kafka": 5000}
    assert list(home.path.iterdir()) == [home.ports]
    home.ports.with_suffix(f".{os.getpid()}").mkdir()  # nothing can be written there, as on a full disk
    with pytest.raises(OSError, match="directory"):
        ports.save(home, {"kafka": 6000})
    assert ports.load(home) == {"kafka": 5000}


@pytest.mark.parametrize("text", ["", '{"kafka": 50', "[19092]", "null", '{"kafka": "19092"}', "\x00"])
def test_unreadable_ports_are_one_line_with_the_remedy(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.ports.write_text(text)
    with pytest.raises(ports.PortError, match=r"^TG-ports-file .*ports\.json .*: delete it") as raised:
        ports.load(home)
    assert "\n" not in str(raised.value)


def test_a_home_remembers_its_ports(tmp_path: Path) -> None:
    from stack.up import choose_ports

    home = Home(tmp_path / "home")
    assert ports.load(home) == {}
    chosen = choose_ports(home, "auto")
    assert choose_ports(home, None) == chosen
    assert choose_ports(home, "auto") == chosen


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program has."""
    with socket.create_server((ports.HOST, 0)) as server:
        yield server.getsockname()[1]


def test_auto_replaces_what_others_have_taken_and_nothing_else(taken: int, tmp_path: Path) -> None:
    home = Home(tmp_path)
    before = {**ports.parse("auto", {}), "kafka": taken}
    ports.save(home, before)
    assert choice(home, None) == before  # it was not asked for: TG-port-taken says so
    after = choice(home, "auto")
    assert after == {**before, "kafka": after["kafka"]}
    assert after["kafka"] not in before.values()
    ports.check(after)


@pytest.mark.parametrize("left", ["supervisor", "kafka"])
def test_auto_keeps_what_this_home_listens_on(left: str, taken: int, tmp_path: Path) -> None:
    """Also if its supervisor was killed: `up` ends the others first."""
    home = Home(tmp_path)
    before = {**ports.parse("auto", {}), "kafka": taken}
    ports.save(home, before)
    own = state.Running("up", os.getpid(), state.started_at(os.getpid()))
    if left == "supervisor":
        state.save(home, state.State(own, "running", before))
    else:
        state.save(home, state.State(phase="running", processes={left: own}))
    assert choice(home, "auto") == before
