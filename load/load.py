"""tidegauge load: a file of samples straight into ClickHouse, past the stream, and the rows that they make."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from load.block import DAY_MS, Block, by_days, series_rows
from load.jsonl import BadLine, lines
from load.progress import Progress
from load.rollups import SERIES, Loaded, roll, still_open
from load.settings import LoadSettings
from schemas.reason import Reason
from schemas.retention import SETTING, RetentionError
from schemas.tenant import is_tenant
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import DdlError, apply
from sinks.history import ClickhouseHistory
from sinks.refusal import ClickhouseError, Unavailable
from sinks.retention import RetentionSettings
from sinks.versions import raise_versions, touched

BLOCK_SAMPLES = 500_000
# What a file begins with that would be refused line by line, and what to do about it.
_UTF_16 = "it is UTF-16, `iconv -f UTF-16 -t UTF-8` makes lines of it"
_NO_LINES = {
    b"\x1f\x8b": "it is packed, `gunzip` unpacks it",
    b"\x28\xb5\x2f\xfd": "it is packed, `unzstd` unpacks it",
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
}


def write(history: Loaded, block: Block, clock_ns: Callable[[], int], since_ms: int) -> int:
    """Write a block: labels first, so that no sample is seen without them, versions behind it, then what it makes.

    Returns how many samples it stored: of those with one series and time the last.
    """
    if not block.samples:
        return 0
    clickhouse = history.clickhouse
    clickhouse.insert("series", series_rows(block.tenant, block.series()))
    frame = block.frame()
    samples = rows.samples([frame])
    for part in by_days(samples):
        clickhouse.insert("samples", part)
    raise_versions(clickhouse, touched(samples), clock_ns())
    roll(history, frame, since_ms)
    return int(samples.num_rows)


def load(
    clickhouse: Clickhouse,
    tenant: str,
    path: Path,
    progress: Progress,
    block_samples: int = BLOCK_SAMPLES,
    clock_ns: Callable[[], int] = time.time_ns,
    since_ms: int = 0,
) -> None:
    """Load a file; bad lines are told to progress. At most about block_samples and one line are held at a time.

    since_ms: older samples make no rows, since no tier keeps them.
    """
    block, history = Block(tenant), Loaded(clickhouse, 1, [], SERIES)
    with path.open("rb") as file:
        for number, size, line in lines(file):
            if isinstance(line, BadLine):
                progress.bad(size, f"{path}:{number}", line)
                continue
            block.add(line)
            progress.good(size, len(line.timestamps))
            if len(line.timestamps):
                progress.saw(int(line.timestamps.min()), int(line.timestamps.max()))
            # Series without samples take memory too.
            if block.samples >= block_samples or len(block.lines) >= block_samples // 10:
                progress.kept(write(history, block, clock_ns, since_ms), block.samples)
                block = Block(tenant)
    progress.kept(write(history, block, clock_ns, since_ms), block.samples)


def arguments(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Return the command line that load and produce share."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--tenant", default="default", help="owner of the series (default: default)")
    parser.add_argument("file", type=Path, metavar="FILE.jsonl", help="one series a line, see docs/sql.md")
    return parser


def check_tenant(tenant: str) -> str | None:
    """Return why nothing can be of such a tenant, None if it can."""
    return None if is_tenant(tenant) else f"{Reason.TENANT.id}: {tenant!r}: {Reason.TENANT.meaning}"


def check(tenant: str, path: Path) -> str | None:
    """Return what is wrong with tenant or file, if anything."""
    if fault := check_tenant(tenant):
        return fault
    if not path.is_file():
        return f"TG-load-file: {path} is not a file"
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, _NO_LINES)))
    except OSError as error:
        return f"TG-load-file: {path}: {error}"
    for mark, what in _NO_LINES.items():
        if start.startswith(mark):
            return f"TG-load-file: {path} holds no lines of UTF-8: {what}"
    return None


def short_lived(tenant: str, days: int, oldest: int | None, now_ms: int) -> str | None:
    """Return a warning if the oldest sample is older than the days that raw is kept for the tenant."""
    if oldest is None or oldest >= now_ms - days * DAY_MS:
        return None
    return (
        f"TG-load-retention: the oldest sample is {(now_ms - oldest) / DAY_MS:,.0f} days old, raw samples of tenant "
        f"{tenant} are kept for {days}: of what is older only rollups stay. A class with a longer `raw` for the "
        f"tenant in the retention policy keeps it ({SETTING}, `tidegauge retention apply`)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tidegauge load`: 0 when every line was loaded, 1 when some were refused, 2 when it could not be done."""
    args = arguments("tidegauge load", __doc__).parse_args(argv)
    if wrong := check(args.tenant, args.file):
        print(wrong, file=sys.stderr)
        return 2
    settings = LoadSettings()
    target = (settings.clickhouse, settings.clickhouse_user, settings.clickhouse_password, settings.clickhouse_database)
    progress = Progress("load", args.file.stat().st_size)
    try:
        # Before the first block: a policy that cannot be read is no reason to fail once all is loaded.
        keeps = RetentionSettings().policy().of(args.tenant)
        now_ms = time.time_ns() // 1_000_000
        with progress:
            apply(*target)
            clickhouse = Clickhouse(*target)
            try:
                load(clickhouse, args.tenant, args.file, progress, since_ms=now_ms - keeps.day * DAY_MS)
                closed = ClickhouseHistory(clickhouse, 1, []).closed()
            finally:
                clickhouse.close()
    except OSError as error:
        print(f"TG-load-file: {args.file}: {error}; {progress.so_far('loaded')}", file=sys.stderr)
        return 2
    except (ClickhouseError, Unavailable, DdlError, RetentionError) as error:
        print(f"{error}; {progress.so_far('loaded')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(progress.so_far("loaded"), file=sys.stderr)
        raise
    for said in (short_lived(args.tenant, keeps.raw, progress.oldest, now_ms), still_open(progress.newest, closed)):
        if said:
            print(said, file=sys.stderr)
    # Those in one block only: further apart nobody sees them.
    repeats = f" {progress.repeats} repeats of a time left out," if progress.repeats else ""
    print(
        f"{progress.done} samples of {progress.lines} lines loaded for tenant {args.tenant},"
        f"{repeats} {progress.rejected} lines refused, {progress.seconds:.1f} s"
    )
    return 1 if progress.rejected else 0


if __name__ == "__main__":
    sys.exit(main())
