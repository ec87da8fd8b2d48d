"""Settings of the jobs: environment over default, by the names that both stacks use."""

from dataclasses import replace
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from schemas.tenant import TENANT_NAME
from sinks.security import KafkaSecurity
from sinks.target import Target
from udfs.alert.budget import Budget
from udfs.gate.limits import Limits

FORMER_SHARDS = 8
"""Of state that does not say: what the default was when uids and homes did not name it."""


class JobSettings(KafkaSecurity):
    """Every field is the environment variable TIDEGAUGE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid", frozen=True)

    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers, host:port[,host:port].")
    clickhouse: str = Field("127.0.0.1:8123", description="ClickHouse's HTTP interface, host:port.")
    clickhouse_user: str = Field("default", description="ClickHouse user that may insert.")
    clickhouse_password: str = Field("", description="Its password.")
    clickhouse_database: str = Field("tidegauge", description="Database of the tables.")
    flink: str = Field("127.0.0.1:8081", description="REST address of the cluster that `python -m jobs` submits to.")

    job_prefix: str = Field(
        "tidegauge",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="First part of the names of jobs and consumer groups: another one runs jobs beside the first.",
    )
    execution_mode: Literal["thread", "process"] = Field(
        "thread",
        description="PyFlink's python.execution-mode; part of the state's identity.",
    )
    parallelism: int = Field(2, ge=1, le=32_768, description="Subtasks of gate, store and rollup.")
    shards: int = Field(
        4,
        ge=1,
        le=4096,
        description="Shards of a tenant: its samples can be spread over so many subtasks, and a batch becomes so many "
        "records. Part of every key: a changed number needs a fresh start.",
    )
    checkpoint_interval_s: int = Field(10, ge=1, description="Seconds between checkpoints.")

    gate_max_record_bytes: int = Field(8 << 20, ge=1024, le=8 << 20, description="Largest Kafka record, bytes.")
    gate_max_series_per_batch: int = Field(100_000, ge=1, description="Most series in one batch.")
    gate_max_labels: int = Field(20, ge=1, description="Most labels of a series, __name__ not counted.")
    gate_max_name_length: int = Field(200, ge=1, description="Longest metric or label name, characters.")
    gate_max_label_value_length: int = Field(2048, ge=1, description="Longest label value, characters.")
    gate_future_grace_s: int = Field(
        600, ge=0, le=86_400, description="How far ahead of the broker's clock a sample may be, at most a day, seconds."
    )
    gate_tolerance_s: int = Field(
        7200,
        ge=60,
        le=90 * 86_400,
        description="How far behind it may be before it is too old, seconds. At most 90 days: ClickHouse takes no "
        "block of more than 100 partitions, and table samples has one a day.",
    )

    gate_max_centroids: int = Field(
        4096, ge=1, le=65_536, description="Most values, or centroids, of one distribution at one timestamp."
    )
    gate_max_series: int = Field(
        1_000_000,
        ge=1,
        le=2_000_000,
        description="Most series within an hour of a tenant whose policy, if it has one, names no max_series.",
    )
    gate_shed_lag_s: int = Field(
        0,
        ge=0,
        description="When the gate is so far behind, tenants of low priority are shed, at twice that normal ones, s; "
        "0: none are.",
    )
    gate_usage_tenant: str = Field(
        "default",
        pattern=f"^({TENANT_NAME})?$",
        description="Tenant that gets the series of limits and their use, tidegauge_gate_…; empty: nobody does.",
    )
    gate_drift_s: int = Field(2, ge=1, description="How far the gate reads a partition ahead of the others, seconds.")
    store_late_after_s: int = Field(
        30,
        ge=0,
        description="A sample that arrives longer after its timestamp keeps its arrival time, for as_of, seconds.",
    )
    rollup_lateness_s: int = Field(
        10, ge=0, description="How long after its end a window stays open, seconds of event time."
    )
    rollup_coarsest: Literal["1m", "5m", "1h", "1d"] = Field(
        "1d", description="The coarsest tier that is kept; those behind it cost their share (docs/sizing.md)."
    )
    alert_lateness_s: int = Field(5, ge=0, description="How long a tick waits for samples, seconds of event time.")
    alert_settle_s: float = Field(
        10.0,
        ge=0,
        description="How long ticks that are late by the clock, as behind an outage, wait once event time has come up "
        "to it, seconds: records that waited in many partitions come in disorder.",
    )
    alert_heartbeat_tenant: str = Field(
        "default", pattern=f"^{TENANT_NAME}$", description="Tenant that gets the series tidegauge_alert_heartbeat."
    )
    alert_max_series: int = Field(
        1_000_000, ge=1, description="Most series in the window, or in the answer, of one key of a rule."
    )
    alert_max_bytes: int = Field(256 << 20, ge=1024, description="Largest window of one key of a rule, bytes.")
    alert_max_seconds: float = Field(
        10.0, gt=0, description="Longest evaluation of one key; the rule is paused after three longer ones in a row."
    )
    alert_pause_s: int = Field(
        600, ge=1, description="How long a rule is paused that is over one of these, seconds of event time."
    )
    alert_buckets: int = Field(
        2,
        ge=1,
        le=4096,
        description="Keys that a large rule is spread over; more than subtasks only cost. Another number begins anew.",
    )
    alert_hindsight_s: int = Field(
        600,
        ge=0,
        description="How far behind a tick late samples are judged, and so samples are kept, seconds. 0: never.",
    )
    alert_idle_timeout_s: float = Field(
        0.5,
        ge=0.2,
        description="After this silence a Kafka partition no longer holds up ticks, seconds: what an alert may wait "
        "for partitions that get a record now and then.",
    )
    idle_timeout_s: int = Field(
        5, ge=1, description="After this silence a Kafka partition no longer holds windows open, seconds."
    )

    block_rows: int = Field(500_000, ge=1, description="Rows after which a block is written to ClickHouse.")
    block_slots: int = Field(1, ge=1, description="Blocks of samples that fill at once; more for over 1 M/s.")
    block_delay_s: float = Field(1.0, gt=0, description="Longest a row waits for its block to fill, seconds.")
    rollup_block_rows: int = Field(
        120_000, ge=1, description="The same for rollup rows: a block is held several times over while it is written."
    )
    rollup_block_delay_s: float = Field(3.0, gt=0, description="The same for rollup rows, seconds.")
    reroll_settle_s: float = Field(
        5.0, gt=0, description="How long a dirty window waits for more late samples, seconds."
    )
    reroll_patience_s: float = Field(
        900.0,
        ge=0,
        description="How long a dirty window waits until raw has its late samples, and the finer tier what is closed, "
        "seconds; then it is computed without.",
    )
    fresh_tail_s: int = Field(300, ge=10, description="Writes into time older than this raise data versions, seconds.")

    def alert_budget(self) -> Budget:
        """Return what a rule may cost."""
        return Budget(self.alert_max_series, self.alert_max_bytes, self.alert_max_seconds, self.alert_pause_s * 1000)

    def gate_limits(self) -> Limits:
        """Return the gate's part."""
        return Limits(
            self.gate_max_record_bytes,
            self.gate_max_series_per_batch,
            self.gate_max_labels,
            self.gate_max_name_length,
            self.gate_max_label_value_length,
            self.gate_future_grace_s,
            self.gate_tolerance_s,
            self.gate_max_centroids,
        )

    def late_horizon_ms(self) -> int:
        """Return how long after its end a closed window may still receive samples, ms: what the gate lets through."""
        return (self.gate_tolerance_s + self.gate_future_grace_s + 600) * 1000

    def target(self) -> Target:
        """Return where blocks go."""
        return Target(
            self.clickhouse,
            self.clickhouse_user,
            self.clickhouse_password,
            self.clickhouse_database,
            self.block_rows,
            self.block_delay_s,
            self.fresh_tail_s,
        )

    def rollup_target(self) -> Target:
        """Return where blocks of rollup rows go."""
        return replace(self.target(), block_rows=self.rollup_block_rows, block_delay_s=self.rollup_block_delay_s)
