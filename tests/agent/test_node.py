"""Names, labels and units of the machine's metrics; which processes are shown."""

import pytest

from agent.largest import Largest
from agent.node import node_samples
from agent.own import METRICS as OWN
from agent.own import own_samples
from agent.reading import COLLECTORS, Mount, Process, Reading, meminfo, read
from schemas.batch import Series, encode_series_set

READING = Reading(
    cpus={"0": {"user": 1.5, "nice": 0.0, "system": 2.0, "idle": 9.0, "guest": 0.25, "guest_nice": 0.0}},
    load=(0.5, 0.25, 0.125),
    memory={"MemTotal": 8e9, "MemAvailable": 5e9, "Active(anon)": 1e9, "HugePages_Total": 3.0},
    swap={"sin": 8192, "sout": 0},
    stats={"ctx_switches": 10, "interrupts": 20},
    mounts=(
        Mount("/dev/vda", "ext4", "/", {"size": 10.0, "free": 6.0, "avail": 5.0, "files": 4.0, "files_free": 3.0}),
    ),
    disks={"vda": {"read_count": 1, "write_count": 2, "read_bytes": 3, "write_bytes": 4, "read_time": 5000}},
    networks={"eth0": {"bytes_recv": 7, "bytes_sent": 8, "dropin": 1}},
    processes=(),
    boot_time=1000.0,
    uname={"sysname": "Linux"},
)


def text(samples: list[tuple[Series, float]]) -> dict[str, float]:
    return {
        f"{s.name}{{{','.join(f'{k}={v}' for k, v in s.labels if k not in ('instance', 'job'))}}}": value
        for s, value in samples
    }


@pytest.mark.parametrize(
    ("series", "value"),
    [
        ("node_cpu_seconds_total{cpu=0,mode=system}", 2.0),
        ("node_cpu_guest_seconds_total{cpu=0,mode=user}", 0.25),
        ("node_load15{}", 0.125),
        ("node_memory_MemAvailable_bytes{}", 5e9),
        ("node_memory_Active_anon_bytes{}", 1e9),
        ("node_memory_HugePages_Total{}", 3.0),
        ("node_vmstat_pswpin{}", 2.0),
        ("node_filesystem_avail_bytes{device=/dev/vda,fstype=ext4,mountpoint=/}", 5.0),
        ("node_disk_written_bytes_total{device=vda}", 4.0),
        ("node_disk_read_time_seconds_total{device=vda}", 5.0),
        ("node_network_receive_bytes_total{device=eth0}", 7.0),
        ("node_network_receive_drop_total{device=eth0}", 1.0),
        ("node_boot_time_seconds{}", 1000.0),
        ("node_time_seconds{}", 170.5),
        ("node_uname_info{sysname=Linux}", 1.0),
        ("node_processes_pids{}", 0.0),
    ],
)
def test_names_as_node_exporter_has_them(series: str, value: float) -> None:
    assert text(node_samples(READING, (), "host", 170_500))[series] == value


def test_types_and_units() -> None:
    series = {s.name: s for s, _ in node_samples(READING, (), "host", 0)}
    assert (series["node_cpu_seconds_total"].type, series["node_cpu_seconds_total"].unit) == ("counter", "seconds")
    assert (series["node_memory_MemTotal_bytes"].type, series["node_memory_MemTotal_bytes"].unit) == ("gauge", "bytes")
    assert dict(series["node_load1"].labels) == {"instance": "host", "job": "node"}


def test_this_machine_can_be_read_and_encoded() -> None:
    reading = read()
    assert len(reading.processes) > 0
    samples = node_samples(reading, reading.processes[:1], "host", 0)
    values = text(samples)
    assert values["node_cpu_seconds_total{cpu=0,mode=idle}"] > 0
    assert 0 < values["node_memory_MemAvailable_bytes{}"] < values["node_memory_MemTotal_bytes{}"]
    assert len({(s.name, s.labels) for s, _ in samples}) == len(samples)
    encode_series_set(s for s, _ in samples)


def test_meminfo_gives_bytes() -> None:
    assert meminfo("MemTotal:       1000 kB\nHugePages_Free:    7\n") == {"MemTotal": 1_024_000.0, "HugePages_Free": 7}


def test_own_metrics_are_all_there() -> None:
    with pytest.raises(KeyError):
        own_samples({}, "host")
    assert [s.name for s, _ in own_samples(dict.fromkeys(OWN, 0.0), "host")] == list(OWN)


def processes(line: str) -> list[Process]:
    """Return processes of `pid:memory:cpu ...`."""
    rows = [[float(number) for number in part.split(":")] for part in line.split()]
    return [Process(int(pid), f"p{pid:g}", 0.0, cpu, memory) for pid, memory, cpu in rows]


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        # largest by memory and by CPU since the last round, not since the start
        (["1:9:9 2:1:5 3:1:0", "1:9:9 2:1:5 3:1:1"], [[1], [1, 3]]),
        # 1 stays while it is among the first two
        (["1:9:0 2:8:0 3:7:0", "1:8:0 2:9:0 3:7:0", "1:6:0 2:9:0 3:7:0"], [[1], [1, 2], [2]]),
        (["1:9:0", "2:9:0"], [[1], [2]]),
        ([""], [[]]),
    ],
)
def test_largest(rounds: list[str], expected: list[list[int]]) -> None:
    largest = Largest(1)
    assert [[process.pid for process in largest.pick(processes(line))] for line in rounds] == expected


def test_names_that_are_no_utf_8_are_sent_as_well_as_they_can_be() -> None:
    """A process may call itself by any bytes; Python keeps them as lone surrogates."""
    name = b"caf\xe9".decode(errors="surrogateescape")
    samples = node_samples(READING, [Process(7, name, 0.0, 1.0, 2.0)], "host", 0)
    assert text(samples)["node_process_cpu_seconds_total{comm=caf\ufffd,pid=7}"] == 1.0
    assert encode_series_set(series for series, _ in samples)


def test_what_cannot_be_read_is_told_and_costs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: bool) -> None:
        raise RuntimeError("/proc/diskstats: 3 fields")

    monkeypatch.setattr("psutil.disk_io_counters", broken)
    reading = read()
    assert reading.failed == {"diskstats": "RuntimeError: /proc/diskstats: 3 fields"}
    shown = text(node_samples(reading, (), "host", 0))
    success = {name: value for name, value in shown.items() if name.startswith("node_scrape_collector_success")}
    assert len(success) == len(COLLECTORS)
    assert [name for name, value in success.items() if not value] == [
        "node_scrape_collector_success{collector=diskstats}"
    ]
    assert shown["node_load1{}"] >= 0


def test_nothing_is_needed_but_the_time() -> None:
    every = dict.fromkeys(COLLECTORS, "OSError: none")
    empty = Reading({}, (), {}, {}, {}, (), {}, {}, (), 1000.0, {"sysname": "Linux"}, every)
    named = {series.name for series, _ in node_samples(empty, (), "host", 0)}
    assert named == {"node_time_seconds", "node_boot_time_seconds", "node_uname_info", "node_scrape_collector_success"}
