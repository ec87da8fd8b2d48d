"""The machine's counters at one moment, read by psutil. Nothing is computed here."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

Counters = Mapping[str, float]
Read = TypeVar("Read")

# As node_exporter's defaults: loops and RAM disks are no disks, and what containers mount is not the machine's.
_NO_DISKS = ("loop", "ram", "zram", "fd", "sr")
_NO_MOUNTS = ("/dev", "/proc", "/sys", "/run/credentials", "/var/lib/docker", "/var/lib/containers/storage")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system: bytes and inodes as statvfs gives them."""

    device: str
    fstype: str
    mountpoint: str
    counters: Counters


@dataclass(frozen=True, slots=True)
class Process:
    """One process; started is part of its identity, as pids are used again."""

    pid: int
    name: str
    started: float
    cpu_seconds: float
    resident_bytes: float


@dataclass(frozen=True, slots=True)
class Reading:
    """psutil's numbers by psutil's field names, except memory: /proc/meminfo's names and bytes.

    failed: what could not be read, and so is empty, with the reason; by the names of node_exporter's collectors.
    """

    cpus: Mapping[str, Counters]
    load: tuple[float, ...]
    memory: Counters
    swap: Counters
    stats: Counters
    mounts: tuple[Mount, ...]
    disks: Mapping[str, Counters]
    networks: Mapping[str, Counters]
    processes: tuple[Process, ...]
    boot_time: float | None
    uname: Mapping[str, str]
    failed: Mapping[str, str] = field(default_factory=dict)


COLLECTORS = ("cpu", "loadavg", "meminfo", "vmstat", "stat", "filesystem", "diskstats", "netdev", "processes")


def read() -> Reading:
    """Return the machine's counters now."""
    name, failed = os.uname(), dict[str, str]()

    def found(collector: str, look: Callable[[], Read], none: Read) -> Read:
        try:
            return look()
        except Exception as error:  # psutil raises what it meets; one odd file of /proc must not cost all the others
            failed[collector] = f"{type(error).__name__}: {error}"[:300]
            return none

    return Reading(
        cpus=found("cpu", _cpus, {}),
        load=found("loadavg", psutil.getloadavg, ()),
        memory=found("meminfo", _memory, {}),
        swap=found("vmstat", lambda: psutil.swap_memory()._asdict(), {}),
        stats=found("stat", lambda: psutil.cpu_stats()._asdict(), {}),
        mounts=found("filesystem", _mounts, ()),
        disks=found("diskstats", _disks, {}),
        networks=found("netdev", _networks, {}),
        processes=found("processes", _processes, ()),
        boot_time=found("stat", psutil.boot_time, None),
        uname={"sysname": name.sysname, "release": name.release, "machine": name.machine, "nodename": name.nodename},
        failed=failed,
    )


def meminfo(text: str) -> dict[str, float]:
    """Return /proc/meminfo as {name: bytes, or a number for the few fields without a unit}."""
    fields = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        fields[name] = float(number) * (1024 if unit == "kB" else 1)
    return fields


def _cpus() -> dict[str, Counters]:
    return {str(cpu): times._asdict() for cpu, times in enumerate(psutil.cpu_times(percpu=True))}


def _disks() -> dict[str, Counters]:
    every = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
    return {disk: counters._asdict() for disk, counters in every.items() if not disk.startswith(_NO_DISKS)}


def _networks() -> dict[str, Counters]:
    every = psutil.net_io_counters(pernic=True, nowrap=False)
    return {nic: counters._asdict() for nic, counters in every.items()}


def _memory() -> dict[str, float]:
    # psutil adds SReclaimable to cached; dashboards made for node_exporter expect the kernel's own fields.
    if sys.platform == "linux":
        return meminfo(Path("/proc/meminfo").read_text())
    memory = psutil.virtual_memory()
    return {
        "MemTotal": float(memory.total),
        "MemAvailable": float(memory.available),
        "MemFree": float(memory.free),
    }


def _mounts() -> tuple[Mount, ...]:
    found: dict[str, Mount] = {}
    partitions = psutil.disk_partitions(all=False)
    if all(part.mountpoint != "/" for part in partitions):
        # A container's root is an overlay, which psutil does not count as a disk.
        partitions += [part for part in psutil.disk_partitions(all=True) if part.mountpoint == "/"]
    for part in partitions:
        if part.device in found or f"{part.mountpoint}/".startswith(tuple(f"{mount}/" for mount in _NO_MOUNTS)):
            continue
        try:
            if not os.path.isdir(part.mountpoint):
                continue
            space = os.statvfs(part.mountpoint)
        except OSError:
            # Unmounted or forbidden between the list and the look; its series end with a staleness marker.
            continue
        counters = {
            "size": float(space.f_blocks * space.f_frsize),
            "free": float(space.f_bfree * space.f_frsize),
            "avail": float(space.f_bavail * space.f_frsize),
            "files": float(space.f_files),
            "files_free": float(space.f_ffree),
        }
        found[part.device] = Mount(part.device, part.fstype, part.mountpoint, counters)
    return tuple(found.values())


def _processes() -> tuple[Process, ...]:
    processes = []
    # Whatever is asked of a process here; one that ends before its answer is left out.
    for process in psutil.process_iter(["cpu_times", "memory_info", "name", "create_time"]):
        info = process.info
        if None in (info["cpu_times"], info["memory_info"], info["create_time"]):
            continue
        processes.append(
            Process(
                pid=process.pid,
                name=info["name"] or "",
                started=info["create_time"],
                cpu_seconds=info["cpu_times"].user + info["cpu_times"].system,
                resident_bytes=float(info["memory_info"].rss),
            )
        )
    return tuple(processes)
