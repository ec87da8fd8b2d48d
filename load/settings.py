"""Settings of `tidegauge load` and `tidegauge produce`, from the environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from sinks.bounded import Bounded


class LoadSettings(Bounded):
    """Every field is the environment variable TIDEGAUGE_<FIELD>, by the names that all processes share."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid", frozen=True)

    kafka: str = Field(default="127.0.0.1:9092", description="Kafka bootstrap servers, host:port, comma-separated.")
    clickhouse: str = Field(default="127.0.0.1:8123", description="ClickHouse's HTTP interface, host:port.")
    clickhouse_user: str = Field(default="default", description="ClickHouse user that may insert.")
    clickhouse_password: str = Field(default="", description="Its password.")
    clickhouse_database: str = Field(default="tidegauge", description="Database of the tables.")
