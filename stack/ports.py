"""Which port each part listens on: fixed defaults, chosen ones, or free ones that the home remembers."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from stack.home import Home

HOST = "127.0.0.1"

DEFAULTS: Mapping[str, int] = {
    "kafka": 19092,
    "kafka-controller": 19093,
    "zookeeper": 12181,
    "clickhouse": 18123,
    "redis": 16379,
    "flink": 18081,
    "query": 19090,
    "metrics": 19100,
}
"""flink is the REST API and web page of the JobManager; metrics is the stack's own Prometheus endpoint."""

ENDPOINTS = ("kafka", "clickhouse", "redis", "flink", "query")
"""The ports that people and programs use; the others are between the parts."""


class PortError(ValueError):
    """A port that cannot be used, or a --ports argument that cannot be read."""


def is_free(port: int) -> bool:
    """Tell whether nothing listens on the loopback port."""
    with socket.socket() as probe:
        # Like the servers themselves: a connection that lingers after `down` does not make the port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Return ports that are free right now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _number(text: str, what: str) -> int:
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise PortError(f"TG-port {what} is {text!r}, expected a port of 1024 to 65535")
    return int(text)


def parse(text: str | None, remembered: Mapping[str, int]) -> dict[str, int]:
    """Return the port of each part.

    text: None keeps the remembered ports, or the defaults; `auto` keeps the remembered ones and picks free ones for
    the others; a number is the first of consecutive ports; `kafka=29092,query=29090` changes single ones. Raises
    PortError.
    """
    known = {name: port for name, port in remembered.items() if name in DEFAULTS}
    if text is None or text == "auto":
        if text == "auto" and (missing := [name for name in DEFAULTS if name not in known]):
            # A free one may be remembered, by a part that does not listen now.
            free = [port for port in free_ports(len(DEFAULTS) + len(known)) if port not in known.values()]
            known |= dict(zip(missing, free, strict=False))
        return {**DEFAULTS, **known}
    if "=" not in text:
        base = _number(text, "--ports")
        _number(str(base + len(DEFAULTS) - 1), "the last port after --ports")
        return {name: base + place for place, name in enumerate(DEFAULTS)}
    given: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in DEFAULTS:
            raise PortError(f"TG-port --ports names {name!r}, expected one of {', '.join(DEFAULTS)}")
        if name in given:
            raise PortError(f"TG-port --ports names {name} twice")
        given[name] = _number(number, name)
    return _different({**DEFAULTS, **known, **given})


def _different(chosen: dict[str, int]) -> dict[str, int]:
    for port in chosen.values():
        same = [name for name, other in chosen.items() if other == port]
        if len(same) > 1:
            raise PortError(f"TG-port {', '.join(same)} are all {port}, expected a port of its own for each")
    return chosen


def load(home: Home) -> dict[str, int]:
    """Return the ports that the home remembers; empty if it was never up. Raises PortError."""
    if not home.ports.exists():
        return {}
    try:
        ports = json.loads(home.ports.read_text())
        if not all(type(port) is int for port in ports.values()):
            raise ValueError(f"not a port: {ports}")
    except (ValueError, AttributeError) as error:
        raise PortError(
            f"TG-ports-file {home.ports} cannot be read ({error}): delete it, then `up` takes the default ports or "
            "those of --ports"
        ) from error
    return dict(ports)


def save(home: Home, ports: Mapping[str, int]) -> None:
    """Remember the ports in the home."""
    home.folder()
    write(home.ports, json.dumps(dict(ports), indent=1))


def write(path: Path, text: str) -> os.stat_result:
    """Write a file whole or not at all, also if the power fails; each process has a draft of its own.

    Returns what tells the file from another that is put in its place.
    """
    draft = path.with_suffix(f".{os.getpid()}")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        # Else the name may reach the disk before the text does.
        os.fsync(file.fileno())
        written = os.fstat(file.fileno())
    draft.replace(path)
    return written


def check(ports: Mapping[str, int]) -> None:
    """Raise PortError naming every port that is taken, and the way to choose another."""
    taken = [f"{name}={port}" for name, port in ports.items() if not is_free(port)]
    if taken:
        raise PortError(
            f"TG-port-taken {', '.join(taken)}: another program listens there; choose others with "
            "--ports NAME=PORT, or free ones with --ports auto"
        )
