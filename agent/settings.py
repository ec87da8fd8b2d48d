"""Settings of the agent, from the environment."""

import socket
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from agent.target import Target, targets
from schemas.tenant import TENANT_NAME
from sinks.security import KafkaSecurity


class Settings(KafkaSecurity):
    """What the agent may be told. TIDEGAUGE_KAFKA… are shared with other processes, the rest is TIDEGAUGE_AGENT_*."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid", frozen=True)

    kafka: str = Field(default="127.0.0.1:9092", description="Kafka bootstrap servers, host:port, comma-separated.")
    agent_tenant: str = Field(default="default", description="Tenant of everything sent.", pattern=f"^{TENANT_NAME}$")
    agent_source: str = Field(
        default_factory=socket.gethostname,
        description="Name of this machine: instance label of its metrics, and Kafka key. Default: the host name.",
        min_length=1,
        max_length=200,
    )
    agent_scrape: Annotated[tuple[Target, ...], NoDecode] = Field(
        default=(),
        description="Endpoints to scrape, each as URL or job=URL, spaces or commas between; other commas stay "
        "in the URL's query. user:password@ before the host is sent as basic authentication and never shown; other "
        "characters than letters and digits there as %40 and so on. Default: none.",
    )
    agent_groups: str = Field(
        default="",
        description="Report how far Kafka's consumer groups are whose names begin so: tidegauge- for the jobs. "
        "One agent is enough. Default: none.",
        max_length=200,
    )
    agent_interval_s: int = Field(default=10, description="Seconds between rounds; timestamps are its multiples.", ge=1)
    agent_processes: int = Field(
        default=10,
        description="How many of the largest processes to report, by memory and again by CPU. 0: none.",
        ge=0,
        le=200,
    )
    agent_scrape_timeout_s: float = Field(
        default=5.0, description="Seconds until a scrape is given up; three quarters of the interval at most.", gt=0
    )
    agent_scrape_bytes: int = Field(default=16 << 20, description="Largest answer of an endpoint, bytes.", gt=0)
    agent_scrape_samples: int = Field(default=50_000, description="Most samples in one answer.", gt=0)
    agent_buffer_batches: int = Field(default=4096, description="Most batches kept while the broker is away.", gt=0)
    agent_buffer_bytes: int = Field(default=32 << 20, description="Most bytes kept while the broker is away.", gt=0)
    agent_stop_s: float = Field(default=5.0, description="Seconds to send what is buffered when told to stop.", ge=0)

    @property
    def scrape_s(self) -> float:
        """Seconds that a scrape may take: for a round that outlasts its interval the next one is left out, of all."""
        return min(self.agent_scrape_timeout_s, 0.75 * self.agent_interval_s)

    @field_validator("agent_scrape", mode="before")
    @classmethod
    def _targets(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(targets(value))
        return value

    # Runs first, so that what is told of a wrong list is what this makes of it.
    @field_validator("agent_scrape", mode="before")
    @classmethod
    def _hidden(cls, value: object) -> object:
        return _Hidden(value) if isinstance(value, str) else value


class _Hidden(str):
    """A list of targets that may hold passwords: errors show their input."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(not shown: it may hold passwords)'" if "@" in self else super().__repr__()
