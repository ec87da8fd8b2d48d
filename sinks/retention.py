"""Brings the TTL of ClickHouse's tables to the policy: ALTER TABLE … MODIFY TTL where it differs, else nothing.

Tenants are bound parameters here too: ClickHouse fills them in as it parses the ALTER and keeps them as literals.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from schemas.retention import Policy, load
from schemas.ttl import Ttl, ttls
from sinks.bounded import Bounded
from sinks.clickhouse import Clickhouse

DEFAULT_FILE = Path(__file__).resolve().parent.parent / "flink-conf" / "retention.yaml"

_TTL = re.compile(r" TTL (.*?)(?: SETTINGS .*)?\Z", re.DOTALL)
_ARRAY = re.compile(r"\{(\w+):Array\(String\)\}")


class RetentionSettings(Bounded):
    """Every field is the environment variable TIDEGAUGE_<FIELD>, by the names that all processes share."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid", frozen=True)

    retention: Path = Field(DEFAULT_FILE, description="The policy file. Default: flink-conf/retention.yaml.")
    gate_tolerance_s: int = Field(7200, ge=60, description="How far behind the gate accepts samples, seconds.")
    clickhouse: str = Field("127.0.0.1:8123", description="ClickHouse's HTTP interface, host:port.")
    clickhouse_user: str = Field("default", description="ClickHouse user that may alter tables.")
    clickhouse_password: str = Field("", description="Its password.")
    clickhouse_database: str = Field("tidegauge", description="Database of the tables.")

    BUILT_IN: ClassVar[Policy] = Policy.model_validate({})

    def policy(self, file: Path | None = None) -> Policy:
        """Return the policy of a file, else of the setting; raises RetentionError.

        Installed without the checkout there is no file unless one is named: the defaults hold then.
        """
        path = file or self.retention
        policy = self.BUILT_IN if path == DEFAULT_FILE and not path.exists() else load(path)
        policy.check_tolerance(self.gate_tolerance_s)
        return policy

    def connect(self) -> Clickhouse:
        """Return a client; the caller closes it."""
        return Clickhouse(self.clickhouse, self.clickhouse_user, self.clickhouse_password, self.clickhouse_database)


@dataclass(frozen=True, slots=True)
class Change:
    """A table's TTL, before and now; before is empty if there was none."""

    table: str
    before: str
    now: str


def current(clickhouse: Clickhouse) -> dict[str, str]:
    """Return the TTL expression of every table of the database, empty where there is none."""
    rows = clickhouse.query(
        "SELECT name, engine_full FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree'",
        {"database": clickhouse.database},
    ).to_pylist()
    found = {row["name"]: _TTL.search(row["engine_full"]) for row in rows}
    return {name: ttl.group(1) if ttl else "" for name, ttl in sorted(found.items())}


def pending(clickhouse: Clickhouse, policy: Policy) -> dict[str, Ttl]:
    """Return the TTLs that the policy wants and the tables do not have."""
    has = current(clickhouse)
    wanted = ttls(policy).items()
    return {table: ttl for table, ttl in wanted if not has.get(table) or has[table] != _as_kept(clickhouse, ttl)}


def apply(clickhouse: Clickhouse, policy: Policy, materialize: bool = True) -> list[Change]:
    """Bring the tables to the policy; return what was changed. Raises ClickhouseError, Unavailable.

    materialize: reckon anew when the rows that are there expire, by reading their keys (the tables have
    materialize_ttl_recalculate_only). Without it, parts written before keep the old limits until they are merged, and
    ClickHouse drops them by the old limits even if the new ones are longer.
    """
    before, changes = current(clickhouse), []
    settings = {"materialize_ttl_after_modify": str(int(materialize)), "alter_sync": "0", "mutations_sync": "0"}
    for table, ttl in pending(clickhouse, policy).items():
        # The table's name is one of ours, never a value from outside.
        clickhouse.command(f"ALTER TABLE `{table}` MODIFY TTL {ttl.expression}", ttl.tenants, settings)
        changes.append(Change(table, before.get(table, ""), current(clickhouse)[table]))
    return changes


def _as_kept(clickhouse: Clickhouse, ttl: Ttl) -> str:
    """Return an expression as the server writes it in its catalog, tenants quoted by the server itself.

    Should a server write it another way, the outcome is an ALTER too many, and no other fault.
    """
    pieces, names = _ARRAY.split(ttl.expression)[::2], _ARRAY.findall(ttl.expression)
    text, params = "{p0:String}", {"p0": "ALTER TABLE t MODIFY TTL " + pieces[0]}
    for number, piece in enumerate(pieces[1:], 1):
        text += (
            f", '_CAST(', toString({{{names[number - 1]}:Array(String)}}), ', ''Array(String)'')', {{p{number}:String}}"
        )
        params[f"p{number}"] = piece
    asked = f"SELECT formatQuerySingleLine(concat({text}, '')) AS statement"
    statement: str = clickhouse.query(asked, {**params, **ttl.tenants}).to_pylist()[0]["statement"]
    # The formatter brackets each command of an ALTER.
    return statement.partition("(MODIFY TTL ")[2].removesuffix(")")
