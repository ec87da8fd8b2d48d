"""The machine's counters at one moment, read by psutil. Nothing is computed here."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

Counters = Mapping[str, float]

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
    """psutil's numbers by psutil's field names, except memory: /proc/meminfo's names and bytes."""

    cpus: Mapping[str, Counters]
    load: tuple[float, float, float]
    memory: Counters
    swap: Counters
    stats: Counters
    mounts: tuple[Mount, ...]
    disks: Mapping[str, Counters]
    networks: Mapping[str, Counters]
    processes: tuple[Process, ...]
    boot_time: float
    uname: Mapping[str, str]


def read() -> Reading:
    """Return the machine's counters now."""
    name = os.uname()
    return Reading(
        cpus={str(cpu): times._asdict() for cpu, times in enumerate(psutil.cpu_times(percpu=True))},
        load=psutil.getloadavg(),
        memory=_memory(),
        swap=psutil.swap_memory()._asdict(),
        stats=psutil.cpu_stats()._asdict(),
        mounts=_mounts(),
        disks={
            disk: counters._asdict()
            for disk, counters in (psutil.disk_io_counters(perdisk=True, nowrap=False) or {}).items()
            if not disk.startswith(_NO_DISKS)
        },
        networks={
            nic: counters._asdict() for nic, counters in psutil.net_io_counters(pernic=True, nowrap=False).items()
        },
        processes=_processes(),
        boot_time=psutil.boot_time(),
        uname={"sysname": name.sysname, "release": name.release, "machine": name.machine, "nodename": name.nodename},
    )


def meminfo(text: str) -> dict[str, float]:
    """Return /proc/meminfo as {name: bytes, or a number for the few fields without a unit}."""
    fields = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        fields[name] = float(number) * (1024 if unit == "kB" else 1)
    return fields


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
    for process in psutil.process_iter(["cpu_times", "memory_info", "name"]):
        info = process.info
        if info["cpu_times"] is None or info["memory_info"] is None:
            continue
        processes.append(
            Process(
                pid=process.pid,
                name=info["name"] or "",
                started=process.create_time(),
                cpu_seconds=info["cpu_times"].user + info["cpu_times"].system,
                resident_bytes=float(info["memory_info"].rss),
            )
        )
    return tuple(processes)
