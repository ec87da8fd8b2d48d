"""Settings of the query service: environment TIDEGAUGE_… over the defaults here."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from query.errors import ConfigError
from schemas.tenant import TENANT_NAME
from sinks.bounded import Bounded
from sinks.retention import DEFAULT_FILE

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})


class QuerySettings(Bounded):
    """What python -m query needs to know."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid")

    query: str = Field(default="127.0.0.1:9099", description="host:port to bind. Default: 127.0.0.1:9099.")
    clickhouse: str = Field(default="127.0.0.1:8123", description="ClickHouse's HTTP interface, host:port.")
    clickhouse_user: str = Field(default="default", description="ClickHouse user; reading is enough.")
    clickhouse_password: SecretStr = Field(default=SecretStr(""), description="Its password. Default: none.")
    clickhouse_database: str = Field(default="tidegauge", description="Database of the tables. Default: tidegauge.")
    redis: str = Field(default="127.0.0.1:6379", description="Redis of the cache, host:port; empty: no cache.")
    query_auth: str = Field(
        default="none",
        pattern="^(none|key)$",
        description="none: tenant from X-Scope-OrgID, for the loopback. key: tenant from the API key. Default: none.",
    )
    query_keys: str = Field(default="", description="YAML file of sha256(API key) in hex → tenant. For auth key.")
    query_allow_open: bool = Field(
        default=False, description="Allow auth none on an address that is not the loopback. Default: false."
    )
    query_tenant: str = Field(
        default="default",
        pattern=f"^{TENANT_NAME}$",
        description="Tenant of a request without X-Scope-OrgID (auth none).",
    )
    query_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest request, waiting included, seconds; ClickHouse gets the rest of it."
    )
    query_concurrency: int = Field(default=10, gt=0, description="Requests of a tenant at once. Default: 10.")
    query_waiting: int = Field(
        default=100, ge=0, description="Requests of a tenant that wait for a place. Default: 100."
    )
    query_threads: int = Field(default=32, gt=0, description="Requests of all tenants at once. Default: 32.")
    query_slow_s: float = Field(
        default=5.0, ge=0, description="Requests longer than this are logged with what they cost, s. Default: 5."
    )
    query_max_text: int = Field(default=16_384, gt=0, description="Longest query, bytes. Default: 16384.")
    query_max_regex: int = Field(default=4096, gt=0, description="Longest regular expression, bytes. Default: 4096.")
    query_max_points: int = Field(default=11_000, gt=0, description="Most steps of a range query. Default: 11000.")
    query_max_series: int = Field(default=100_000, gt=0, description="Most series of a selector. Default: 100000.")
    query_max_samples: int = Field(default=50_000_000, gt=0, description="Most samples a query may read.")
    query_max_rows: int = Field(
        default=500_000_000, gt=0, description="Most rows a selector may read, by ClickHouse's estimate. Default: 5e8."
    )
    query_max_cells: int = Field(default=50_000_000, gt=0, description="Most series x steps of a selector.")
    query_max_bytes: int = Field(
        default=256 << 20,
        gt=0,
        description="Largest answer of query_range or of a range vector, bytes. Default: 256 MiB.",
    )
    query_memory: int = Field(
        default=8 << 30,
        gt=0,
        description="What all requests that run or are sent may hold, about, bytes; less than the host has. 8 GiB.",
    )
    query_send_s: float = Field(
        default=120.0, gt=0, description="How long a client may take to receive an answer, s. Default: 120."
    )
    query_gzip: int = Field(
        default=1,
        ge=0,
        le=9,
        description="Level of gzip, for clients that accept it; 0: never. A megabyte takes 11 ms at 1, 47 at 6.",
    )
    query_cors_origin: re.Pattern[str] = Field(
        default=re.compile(""),
        description="Origins whose pages may ask from a browser, as a regular expression of all of it. Default: none.",
    )
    query_compression: Literal["none", "lz4_frame", "zstd"] = Field(
        default="none",
        description="Of ClickHouse's answers; lz4_frame where they come over a slow network. Default: none.",
    )
    query_lookback_s: float = Field(
        default=300.0, gt=0, description="How long a sample stays current, s. Default: 300."
    )
    query_cache_timeout_s: float = Field(default=0.05, gt=0, description="Longest wait for Redis, s. Default: 0.05.")
    query_cache_max_bytes: int = Field(default=16 << 20, gt=0, description="Largest cached block. Default: 16 MiB.")
    query_cache_memory: int = Field(
        default=64 << 20,
        ge=0,
        description="Blocks and answers kept in the service itself, bytes; 0: none. Default: 64 MiB.",
    )
    query_cache_ttl_s: int = Field(default=86_400, gt=0, description="Life of a cached block, s. Default: 1 day.")
    fresh_tail_s: float = Field(
        default=300.0,
        ge=0,
        description="Writes younger than this raise no data version, so they are never cached. As the writer's. s.",
    )
    query_cache_margin_s: float = Field(
        default=60.0, ge=0, description="Added to the fresh tail for clocks that differ, s. Default: 60."
    )

    store_late_after_s: float = Field(
        default=30.0, ge=0, description="How late a sample may arrive and count as in time. As the writer's. s."
    )
    retention: Path = Field(
        default=DEFAULT_FILE, description="Retention policy, as the tables'. Default: flink-conf/retention.yaml."
    )

    @model_validator(mode="after")
    def _safe(self) -> "QuerySettings":
        if self.query_auth == "key" and not self.query_keys:
            raise ConfigError("TG-query-keys", "TIDEGAUGE_QUERY_AUTH=key needs TIDEGAUGE_QUERY_KEYS, a YAML file")
        if self.query_auth == "none" and self.host not in LOOPBACK and not self.query_allow_open:
            raise ConfigError(
                "TG-query-open",
                f"without authentication the service binds to the loopback only, not to {self.host}: "
                "set TIDEGAUGE_QUERY_AUTH=key, or TIDEGAUGE_QUERY_ALLOW_OPEN=true if something in front checks tenants",
            )
        return self

    @property
    def host(self) -> str:
        """The address to bind."""
        return self.query.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port to bind."""
        return int(self.query.rpartition(":")[2])
