"""A Prometheus of one run beside ours: started where its program is found, filled by remote write."""

import http.client
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.panels import HOUR_MS, Data
from bench.peers import find
from bench.program import end
from schemas.batch import Series
from schemas.columns import Int64s
from schemas.nan import Floats
from stack.ports import free_ports

_SERIES_A_REQUEST = 300
_START_S = 60


@contextmanager
def server(folder: Path, more: str = "") -> Iterator[str | None]:
    """Run Prometheus in a folder; yield its host:port, None if there is no program. more: of its configuration."""
    program = find("prometheus")
    if program is None:
        yield None
        return
    config, (port,) = folder / "prometheus.yml", free_ports(1)
    config.write_text(f"global: {{scrape_interval: 15s}}\n{more}")
    endpoint = f"127.0.0.1:{port}"
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--storage.tsdb.retention.time=90d",
        "--web.enable-remote-write-receiver",
        f"--web.listen-address={endpoint}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _await(endpoint, process)
        yield endpoint
    finally:
        end(process, 60)


def version() -> str:
    """Return Prometheus's version."""
    program = find("prometheus")
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
    return (said.stdout + said.stderr).split()[2]


def _await(endpoint: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection(endpoint, timeout=5)
        try:
            connection.request("GET", "/-/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise RuntimeError(f"TG-bench-prometheus: not ready within {_START_S} s; see prometheus.log")


def write(endpoint: str, data: Data, progress: Callable[[str], None]) -> None:
    """Send the raw hours, hour by hour, as senders would."""
    own = [labels(one) for one in data.series]
    hours = range(int(data.stamps[0]) // HOUR_MS * HOUR_MS, int(data.stamps[-1]) + 1, HOUR_MS)
    with closing(http.client.HTTPConnection(endpoint, timeout=60)) as connection:
        for number, hour in enumerate(hours, 1):
            progress(f"Prometheus: hour {number} of {len(hours)}")
            part = data.frame(hour, hour + HOUR_MS)
            for first in range(0, len(own), _SERIES_A_REQUEST):
                some = slice(first, first + _SERIES_A_REQUEST)
                _post(connection, request(own[some], part.timestamps, part.values[:, some]))


def send(endpoint: str, body: bytes) -> None:
    """Send one WriteRequest."""
    with closing(http.client.HTTPConnection(endpoint, timeout=60)) as connection:
        _post(connection, body)


def _post(connection: http.client.HTTPConnection, body: bytes) -> None:
    headers = {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    connection.request("POST", "/api/v1/write", pa.Codec("snappy").compress(body, asbytes=True), headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status // 100 != 2:
        raise RuntimeError(f"TG-bench-prometheus: remote write: {answer.status} {said[:200]!r}")


def request(series: Sequence[bytes], stamps: Int64s, values: Floats) -> bytes:
    """Return a WriteRequest (prompb/remote.proto) of values (T, S) at stamps (T,), ms between 1.1e12 and 4.3e12."""
    # A sample: tag and length, tag and double, tag and a varint of six bytes.
    cells = np.empty((len(series), len(stamps), 18), np.uint8)
    cells[:, :, 0:3] = (0x12, 0x10, 0x09)
    cells[:, :, 3:11] = np.ascontiguousarray(values.T).view(np.uint8).reshape(len(series), len(stamps), 8)
    cells[:, :, 11] = 0x10
    for place in range(6):
        cells[:, :, 12 + place] = (stamps >> 7 * place & 0x7F) | (0x80 if place < 5 else 0)
    parts = []
    for one, samples in zip(series, cells, strict=True):
        body = one + samples.tobytes()
        parts.append(b"\x0a" + varint(len(body)) + body)
    return b"".join(parts)


def varint(value: int) -> bytes:
    """Return a number as protobuf's varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def labels(series: Series) -> bytes:
    """Return the labels of a TimeSeries (prompb/types.proto)."""
    out = b""
    for name, value in sorted((("__name__", series.name), *series.labels)):
        pair = b"".join(
            tag + varint(len(text)) + text for tag, text in ((b"\x0a", name.encode()), (b"\x12", value.encode()))
        )
        out += b"\x0a" + varint(len(pair)) + pair
    return out
