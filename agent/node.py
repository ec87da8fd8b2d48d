"""A reading of the machine as samples, by node_exporter's names."""

from collections.abc import Iterable, Mapping

from agent.reading import COLLECTORS, Counters, Process, Reading
from agent.target import relabel
from schemas.batch import Series

JOB = "node"

# name: (OpenMetrics type, unit). Names and meanings are node_exporter's where it has them; node_process_* are ours.
METRICS: Mapping[str, tuple[str, str]] = {
    "node_boot_time_seconds": ("gauge", "seconds"),
    "node_time_seconds": ("gauge", "seconds"),
    "node_uname_info": ("gauge", ""),
    "node_cpu_seconds_total": ("counter", "seconds"),
    "node_cpu_guest_seconds_total": ("counter", "seconds"),
    "node_context_switches_total": ("counter", ""),
    "node_intr_total": ("counter", ""),
    "node_load1": ("gauge", ""),
    "node_load5": ("gauge", ""),
    "node_load15": ("gauge", ""),
    "node_vmstat_pswpin": ("counter", ""),  # pages read from swap since boot
    "node_vmstat_pswpout": ("counter", ""),
    "node_filesystem_size_bytes": ("gauge", "bytes"),
    "node_filesystem_free_bytes": ("gauge", "bytes"),
    "node_filesystem_avail_bytes": ("gauge", "bytes"),
    "node_filesystem_files": ("gauge", ""),
    "node_filesystem_files_free": ("gauge", ""),
    "node_disk_reads_completed_total": ("counter", ""),
    "node_disk_writes_completed_total": ("counter", ""),
    "node_disk_read_bytes_total": ("counter", "bytes"),
    "node_disk_written_bytes_total": ("counter", "bytes"),
    "node_disk_read_time_seconds_total": ("counter", "seconds"),
    "node_disk_write_time_seconds_total": ("counter", "seconds"),
    "node_disk_io_time_seconds_total": ("counter", "seconds"),
    "node_network_receive_bytes_total": ("counter", "bytes"),
    "node_network_transmit_bytes_total": ("counter", "bytes"),
    "node_network_receive_packets_total": ("counter", ""),
    "node_network_transmit_packets_total": ("counter", ""),
    "node_network_receive_errs_total": ("counter", ""),
    "node_network_transmit_errs_total": ("counter", ""),
    "node_network_receive_drop_total": ("counter", ""),
    "node_network_transmit_drop_total": ("counter", ""),
    "node_processes_pids": ("gauge", ""),
    "node_scrape_collector_success": ("gauge", ""),  # 0: what the collector reads could not be read
    "node_process_cpu_seconds_total": ("counter", "seconds"),  # user and system time of one of the largest processes
    "node_process_resident_memory_bytes": ("gauge", "bytes"),
    "node_process_start_time_seconds": ("gauge", "seconds"),
}

_CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_PAGE = 4096  # psutil gives swapped pages as bytes of this size, whatever the machine's page is

# node_exporter's suffix: (psutil's field, factor)
_DISK = {
    "reads_completed_total": ("read_count", 1.0),
    "writes_completed_total": ("write_count", 1.0),
    "read_bytes_total": ("read_bytes", 1.0),
    "written_bytes_total": ("write_bytes", 1.0),
    "read_time_seconds_total": ("read_time", 1e-3),
    "write_time_seconds_total": ("write_time", 1e-3),
    "io_time_seconds_total": ("busy_time", 1e-3),
}
_NETWORK = {
    "receive_bytes_total": ("bytes_recv", 1.0),
    "transmit_bytes_total": ("bytes_sent", 1.0),
    "receive_packets_total": ("packets_recv", 1.0),
    "transmit_packets_total": ("packets_sent", 1.0),
    "receive_errs_total": ("errin", 1.0),
    "transmit_errs_total": ("errout", 1.0),
    "receive_drop_total": ("dropin", 1.0),
    "transmit_drop_total": ("dropout", 1.0),
}
_FILESYSTEM = {
    "size_bytes": "size",
    "free_bytes": "free",
    "avail_bytes": "avail",
    "files": "files",
    "files_free": "files_free",
}


class _Samples(list[tuple[Series, float]]):
    """The samples of one machine; put() looks type and unit up and adds job and instance."""

    def __init__(self, instance: str) -> None:
        super().__init__()
        self.instance = instance

    def put(self, name: str, value: float, **labels: str) -> None:
        kind, unit = METRICS[name]
        known = {label: _text(name) for label, name in labels.items()}
        self.append((Series(name, relabel(known, JOB, self.instance), kind, unit), float(value)))


def _text(name: str) -> str:
    """Return what the kernel calls something, which may be any bytes, as text that can be sent."""
    return name if name.isascii() else name.encode(errors="surrogateescape").decode(errors="replace")


def node_samples(reading: Reading, shown: Iterable[Process], instance: str, now_ms: int) -> list[tuple[Series, float]]:
    """Return the samples of a reading. shown: the processes to report, now_ms: the round's time, ms since 1970 UTC."""
    out = _Samples(instance)
    out.put("node_time_seconds", now_ms / 1000)
    if reading.boot_time is not None:
        out.put("node_boot_time_seconds", reading.boot_time)
    out.put("node_uname_info", 1.0, **reading.uname)
    for name, load in zip(("node_load1", "node_load5", "node_load15"), reading.load, strict=False):
        out.put(name, load)
    _cpu(out, reading.cpus)
    for name, counter in (("node_context_switches_total", "ctx_switches"), ("node_intr_total", "interrupts")):
        if counter in reading.stats:
            out.put(name, reading.stats[counter])
    _memory(out, reading.memory)
    for name, counter in (("node_vmstat_pswpin", "sin"), ("node_vmstat_pswpout", "sout")):
        if counter in reading.swap:
            out.put(name, reading.swap[counter] / _PAGE)
    for mount in reading.mounts:
        labels = {"device": mount.device, "fstype": mount.fstype, "mountpoint": mount.mountpoint}
        for suffix, counter in _FILESYSTEM.items():
            out.put(f"node_filesystem_{suffix}", mount.counters[counter], **labels)
    _devices(out, "node_disk", _DISK, reading.disks)
    _devices(out, "node_network", _NETWORK, reading.networks)
    if "processes" not in reading.failed:
        out.put("node_processes_pids", len(reading.processes))
    for process in shown:
        labels = {"pid": str(process.pid), "comm": process.name}
        out.put("node_process_cpu_seconds_total", process.cpu_seconds, **labels)
        out.put("node_process_resident_memory_bytes", process.resident_bytes, **labels)
        out.put("node_process_start_time_seconds", process.started, **labels)
    for collector in COLLECTORS:
        out.put("node_scrape_collector_success", collector not in reading.failed, collector=collector)
    return list(out)


def _cpu(out: _Samples, cpus: Mapping[str, Counters]) -> None:
    for cpu, times in cpus.items():
        for mode in _CPU_MODES:
            if mode in times:
                out.put("node_cpu_seconds_total", times[mode], cpu=cpu, mode=mode)
        for mode, counter in (("user", "guest"), ("nice", "guest_nice")):
            if counter in times:
                out.put("node_cpu_guest_seconds_total", times[counter], cpu=cpu, mode=mode)


def _memory(out: _Samples, memory: Counters) -> None:
    # node_exporter makes one metric of each line of /proc/meminfo; HugePages_* count pages, all others are bytes.
    for field, value in memory.items():
        name = field.replace("(", "_").replace(")", "")
        unit = "" if name.startswith("HugePages_") else "bytes"
        full = f"node_memory_{name}_{unit}" if unit else f"node_memory_{name}"
        out.append((Series(full, relabel({}, JOB, out.instance), "gauge", unit), value))


def _devices(
    out: _Samples, prefix: str, fields: Mapping[str, tuple[str, float]], devices: Mapping[str, Counters]
) -> None:
    for device, counters in devices.items():
        for suffix, (counter, factor) in fields.items():
            if counter in counters:
                out.put(f"{prefix}_{suffix}", counters[counter] * factor, device=device)
