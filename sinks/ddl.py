"""Brings a ClickHouse database to the schema of this code and its TTLs to the policy: python -m sinks.ddl.

schemas/clickhouse/NNN_*.sql are applied in order and written down in schema_migrations. Every statement of theirs is
idempotent, so two that run at once do the same twice, and one that was killed half-way is repeated.
"""

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from pydantic import ValidationError

from schemas.retention import RetentionError
from schemas.setting import faults
from sinks import retention
from sinks.clickhouse import AddressError, Clickhouse
from sinks.refusal import ClickhouseError, Unavailable

_FILE = re.compile(r"(\d{3})_\w+\.sql\Z")
_DATABASE = re.compile(r"[A-Za-z_]\w{0,62}\Z")
_ALSO = re.compile(r"^-- also: ([0-9a-f]{64})$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)

_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version    UInt32,
    name       String,
    sha256     String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY version
"""


class DdlError(Exception):
    """A database that this code must not touch; the message starts with a TG- id."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of schemas/clickhouse."""

    version: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the text as it is written, before codecs are filled in."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def hashes(self) -> set[str]:
        """Hashes of all texts that leave a database which this code can use: this one, and those that it names."""
        return {self.sha256, *_ALSO.findall(self.text)}

    def statements(self, value_codec: str, without_statistics: str = "") -> list[str]:
        """Return the statements. Files hold no semicolon inside a statement."""
        bare = _COMMENT.sub("", self.text).replace("{value_codec}", value_codec)
        bare = bare.replace("{without_statistics}", without_statistics)
        return [one.strip() for one in bare.split(";") if one.strip()]


def migrations() -> list[Migration]:
    """Return the migrations of this code, in order."""
    found = []
    for entry in resources.files("schemas").joinpath("clickhouse").iterdir():
        number = _FILE.match(entry.name)
        if number:
            found.append(Migration(int(number.group(1)), entry.name, entry.read_text()))
    found.sort(key=lambda one: one.version)
    return found


def value_codec(clickhouse: Clickhouse) -> tuple[str, dict[str, str]]:
    """Return the codec for Float64 columns and the settings it needs, from what the server knows.

    Those of rollups and distributions; table samples keeps digits (sinks/digits.py). Measured by bench/storage.py when
    it kept floats, 4.3 M samples of TSBS, bytes a sample with all columns, integers / two decimals, and the scan of a
    row: ALP 0.80 / 1.70, 2.3 ns; ALP, ZSTD(1) 0.78 / 1.63, 3.9 ns; Gorilla, ZSTD(1) 0.70 / 5.32, 8 to 19 ns; Delta,
    ZSTD(3) 0.85 / 2.21, 14 ns. Inserts cost the same within 5 %.
    """
    try:
        known = clickhouse.command("SELECT count() FROM system.codecs WHERE name = 'ALP'").strip()
    except ClickhouseError:  # system.codecs came with 25.x
        known = "0"
    if known != "1":
        return "ZSTD(1)", {}
    beta = clickhouse.command("SELECT count() FROM system.settings WHERE name = 'enable_alp_codec'").strip()
    return "ALP, ZSTD(1)", {"enable_alp_codec": "1"} if beta == "1" else {}


def without_statistics(clickhouse: Clickhouse) -> str:
    """Return the table setting that turns column statistics off, if the server keeps any by itself.

    Queries here go by primary key and gain nothing from them; they cost a tenth of an insert and a third of a merge.
    """
    asked = "SELECT count() FROM system.merge_tree_settings WHERE name = 'auto_statistics_types'"
    return ", auto_statistics_types = ''" if clickhouse.command(asked).strip() == "1" else ""


def apply(
    endpoint: str, user: str, password: str, database: str, known: Sequence[Migration] | None = None
) -> list[str]:
    """Bring the database up to date; return the names of the files applied now.

    Raises DdlError if the database is newer than this code or a file has changed since it was applied,
    ClickhouseError and Unavailable as the client does.
    """
    if not _DATABASE.match(database):
        raise DdlError(f"TG-ddl-database: {database!r} is not a database name (TIDEGAUGE_CLICKHOUSE_DATABASE)")
    known = migrations() if known is None else known
    server = Clickhouse(endpoint, user, password, "")
    clickhouse = Clickhouse(endpoint, user, password, database)
    try:
        server.command(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        return _apply(clickhouse, known)
    finally:
        server.close()
        clickhouse.close()


def _apply(clickhouse: Clickhouse, known: Sequence[Migration]) -> list[str]:
    clickhouse.command(_MIGRATIONS)
    rows = clickhouse.query("SELECT version, name, sha256 FROM schema_migrations FINAL ORDER BY version").to_pylist()
    applied = {row["version"]: row for row in rows}
    _check(applied, known, clickhouse.database)
    codec, settings = value_codec(clickhouse)
    statistics = without_statistics(clickhouse)
    done = []
    for migration in known:
        if migration.version in applied:
            continue
        for statement in migration.statements(codec, statistics):
            clickhouse.command(statement, settings=settings)
        clickhouse.command(
            "INSERT INTO schema_migrations (version, name, sha256)"
            " SELECT {version:UInt32}, {name:String}, {sha256:String}",
            {"version": migration.version, "name": migration.name, "sha256": migration.sha256},
        )
        done.append(migration.name)
    return done


def _check(applied: dict[int, dict[str, str]], known: Sequence[Migration], database: str) -> None:
    newest = max((one.version for one in known), default=0)
    if applied and max(applied) > newest:
        name = applied[max(applied)]["name"]
        raise DdlError(
            f"TG-ddl-newer: database {database} has {name}, this code knows up to {newest:03d}: use newer code"
        )
    for migration in known:
        row = applied.get(migration.version)
        if row and row["sha256"] not in migration.hashes:
            raise DdlError(
                f"TG-ddl-changed: {migration.name} is not what was applied to database {database} as {row['name']}: "
                "a change of schema is a new file"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Apply from the command line; return the exit code."""
    env = os.environ.get
    parser = argparse.ArgumentParser(prog="python -m sinks.ddl", description=__doc__)
    parser.add_argument("--endpoint", default=env("TIDEGAUGE_CLICKHOUSE", "127.0.0.1:8123"), help="host:port")
    parser.add_argument("--database", default=env("TIDEGAUGE_CLICKHOUSE_DATABASE", "tidegauge"))
    parser.add_argument("--user", default=env("TIDEGAUGE_CLICKHOUSE_USER", "default"))
    args = parser.parse_args(argv)
    password = env("TIDEGAUGE_CLICKHOUSE_PASSWORD", "")
    try:
        policy = retention.RetentionSettings().policy()
        clickhouse = Clickhouse(args.endpoint, args.user, password, args.database)
    except ValidationError as error:
        print("\n".join(faults(error)), file=sys.stderr)
        return 2
    except AddressError as error:
        print(error, file=sys.stderr)
        return 2
    except RetentionError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        done = apply(args.endpoint, args.user, password, args.database)
        kept = retention.apply(clickhouse, policy)
    except (DdlError, ClickhouseError, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        clickhouse.close()
    print(f"{args.database}: " + (f"applied {', '.join(done)}" if done else "up to date"))
    if kept:
        print(f"{args.database}: retention of {', '.join(change.table for change in kept)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
