"""tidegauge produce: a file of samples as batches to metrics.raw, through the whole stream.

Samples go in the order of time within a stretch of the file, so that one pass over all its series does not make the
rest of them late. A file longer than one stretch should be sorted by time itself.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from pydantic import Field

from load.jsonl import BadLine, Line, lines
from load.load import arguments, check
from load.progress import Progress
from load.settings import LoadSettings
from schemas.batch import Batch, Series, encode_series_set
from schemas.topics import RAW
from sinks.producer import open_producer

STRETCH_SAMPLES = 4_000_000
BATCH_SAMPLES = 20_000
SERIES_PER_SET = 1_000
IN_FLIGHT = 64
ACKNOWLEDGED_WITHIN_S = 60.0


class ProduceSettings(LoadSettings):
    """What the gate will do with the samples is worth a warning beforehand."""

    gate_tolerance_s: int = Field(default=7200, description="How old a sample may be. As the gate's. s. Default: 7200.")


class Sent(Protocol):
    """A record on its way."""

    def get(self, timeout: float) -> object:
        """Wait until it is acknowledged; raises what went wrong."""


class Producer(Protocol):
    """The part of KafkaProducer that is needed here."""

    def send(self, topic: str, value: bytes, key: bytes) -> Sent:
        """Hand a record over."""


def batches(found: Sequence[Line], tenant: str, source: str, clock_ms: Callable[[], int]) -> Iterator[Batch]:
    """Yield the samples of lines as sparse batches, by rising time; series keep to sets of at most SERIES_PER_SET."""
    # Type and unit are no part of a series' identity: the first line that tells a type tells it for all.
    place: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    known: list[Series] = []
    which = []
    for line in found:
        number = place.setdefault((line.series.name, line.series.labels), len(place))
        which.append(number)
        if number == len(known):
            known.append(line.series)
        elif known[number].type == "unknown":
            known[number] = line.series
    if not which:
        return
    stamps = np.concatenate([line.timestamps for line in found])
    values = np.concatenate([line.values for line in found])
    series = np.repeat(np.array(which, dtype=np.int64), [len(line.timestamps) for line in found])
    groups = series // SERIES_PER_SET
    sets = [encode_series_set(known[i : i + SERIES_PER_SET]) for i in range(0, len(known), SERIES_PER_SET)]
    order = np.argsort(stamps, kind="stable")
    # Slices of time are cut for all groups alike, so that no group runs ahead of the others.
    for start in range(0, len(order), BATCH_SAMPLES * len(sets)):
        part = order[start : start + BATCH_SAMPLES * len(sets)]
        for group, encoded in enumerate(sets):
            mine = part[groups[part] == group]
            for first in range(0, len(mine), BATCH_SAMPLES):
                cut = mine[first : first + BATCH_SAMPLES]
                index = (series[cut] - group * SERIES_PER_SET).astype(np.uint32)
                yield Batch(tenant, source, clock_ms(), encoded, stamps[cut], values[cut], index)


def produce(
    producer: Producer,
    tenant: str,
    source: str,
    path: Path,
    progress: Progress,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    stretch_samples: int = STRETCH_SAMPLES,
) -> int:
    """Send a file; return the number of batches. Raises what the producer's futures raise."""
    sent = 0
    waiting: deque[tuple[Sent, int]] = deque()

    def acknowledged(most: int) -> None:
        while len(waiting) > most:
            record, samples = waiting.popleft()
            record.get(timeout=ACKNOWLEDGED_WITHIN_S)
            progress.kept(samples, samples)

    for stretch in _stretches(path, progress, stretch_samples):
        for batch in batches(stretch, tenant, source, clock_ms):
            record = producer.send(RAW, value=batch.encode(), key=source.encode())
            waiting.append((record, len(batch.timestamps)))
            sent += 1
            acknowledged(IN_FLIGHT - 1)
    acknowledged(0)
    return sent


def _stretches(path: Path, progress: Progress, most: int) -> Iterator[list[Line]]:
    stretch: list[Line] = []
    held = 0
    with path.open("rb") as file:
        for number, size, line in lines(file):
            if isinstance(line, BadLine):
                progress.bad(size, f"{path}:{number}", line)
                continue
            stretch.append(line)
            held += len(line.timestamps)
            progress.good(size, len(line.timestamps))
            if len(line.timestamps):
                progress.saw(int(line.timestamps.min()), int(line.timestamps.max()))
            if held >= most:
                yield stretch
                stretch, held = [], 0
    yield stretch


@contextmanager
def _opened(bootstrap: str) -> Iterator[Producer]:
    producer = open_producer(bootstrap, max_block_ms=10_000)
    try:
        yield producer
    except BaseException:
        # close() alone would wait for what nobody wants sent any more, raise in place of this, and leave its thread.
        producer._sender.force_close()
        raise
    finally:
        producer.close(timeout=10)


def too_old(tolerance_s: int, oldest: int | None, began_ms: int) -> str | None:
    """Return a warning if the oldest sample was too old for the gate when sending began."""
    if oldest is None or oldest >= began_ms - tolerance_s * 1000:
        return None
    return (
        f"TG-produce-old: the oldest sample is {(began_ms - oldest) / 3_600_000:,.1f} hours old; the gate refuses what "
        f"is older than {tolerance_s} s (TG-too-old in v_rejections; TIDEGAUGE_GATE_TOLERANCE_S, `tolerance_s` of the "
        "tenant's policy). `tidegauge load` stores old samples, past the stream"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tidegauge produce`: 0 when every line was sent, 1 when some were refused, 2 when it could not be done."""
    parser = arguments("tidegauge produce", __doc__)
    parser.add_argument("--source", default="", help="name of the sender, Kafka key (default: the file's name)")
    args = parser.parse_args(argv)
    if wrong := check(args.tenant, args.file):
        print(wrong, file=sys.stderr)
        return 2
    from kafka.errors import KafkaError

    settings = ProduceSettings()
    began_ms = time.time_ns() // 1_000_000
    source = args.source or args.file.name
    progress = Progress("produce", args.file.stat().st_size)
    try:
        with progress, _opened(settings.kafka) as producer:
            sent = produce(producer, args.tenant, source, args.file, progress)
    except OSError as error:
        print(f"TG-load-file: {args.file}: {error}; {progress.so_far('sent')}", file=sys.stderr)
        return 2
    except KafkaError as error:
        told = f"TG-kafka-unavailable: {settings.kafka}: {type(error).__name__}: {error}"
        print(f"{told}; {progress.so_far('sent')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(progress.so_far("sent"), file=sys.stderr)
        raise
    if warning := too_old(settings.gate_tolerance_s, progress.oldest, began_ms):
        print(warning, file=sys.stderr)
    print(
        f"{progress.done} samples of {progress.lines} lines sent in {sent} batches for tenant {args.tenant},"
        f" {progress.rejected} lines refused, {progress.seconds:.1f} s"
    )
    return 1 if progress.rejected else 0


if __name__ == "__main__":
    sys.exit(main())
