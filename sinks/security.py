"""How every Kafka client of ours is told to the broker: encryption, and who it is."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from sinks.bounded import Bounded


class KafkaSecurity(Bounded):
    """Every field is the environment variable TIDEGAUGE_<FIELD>, by the names that all processes share.

    What belongs together is looked at field by field: of a whole class that is wrong, errors would show every value.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid", frozen=True, validate_default=True)

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="What the listener at TIDEGAUGE_KAFKA speaks; SASL_… asks for a user."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How the user is proved; PLAIN sends the password itself."
    )
    kafka_username: str = Field(default="", description="Kafka user. Default: none.")
    kafka_password: SecretStr = Field(default=SecretStr(""), description="Its password. Default: none.")
    kafka_password_file: Path | None = Field(
        default=None, description="A file that holds the password instead; a line's end behind it does not count."
    )
    kafka_ca_file: Path | None = Field(
        default=None,
        description="Certificates (PEM) that the brokers' are signed by; for jobs, at this path on every "
        "machine of the cluster. Default: those that Python and Java come with.",
    )

    @field_validator("kafka_username")
    @classmethod
    def _who(cls, value: str, info: ValidationInfo) -> str:
        if not value and (protocol := _sasl(info)):
            raise ValueError(f"{protocol} needs a user")
        return value

    @field_validator("kafka_password_file")
    @classmethod
    def _one_password(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        given = bool(info.data.get("kafka_password", SecretStr("")).get_secret_value())
        if value is None and not given and (protocol := _sasl(info)):
            raise ValueError(f"{protocol} needs TIDEGAUGE_KAFKA_PASSWORD or a file that holds it")
        if value is not None and given:
            raise ValueError("TIDEGAUGE_KAFKA_PASSWORD is set too; leave out one of them")
        return _readable(value)

    @field_validator("kafka_ca_file")
    @classmethod
    def _known(cls, value: Path | None) -> Path | None:
        return _readable(value)

    def password(self) -> str:
        """Return the password; a file is read anew. Raises OSError."""
        if self.kafka_password_file is None:
            return self.kafka_password.get_secret_value()
        return self.kafka_password_file.read_text().rstrip("\r\n")

    @property
    def sasl(self) -> bool:
        """Whether the broker asks who comes."""
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def tls(self) -> bool:
        """Whether what is sent is encrypted."""
        return self.kafka_security_protocol.endswith("SSL")

    def client(self) -> dict[str, str]:
        """Return the settings of a client by kafka-python's names. Raises OSError."""
        found: dict[str, str] = {"security_protocol": self.kafka_security_protocol}
        if self.sasl:
            found |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_username,
                "sasl_plain_password": self.password(),
            }
        if self.tls and self.kafka_ca_file is not None:
            found["ssl_cafile"] = str(self.kafka_ca_file)
        return found


def _sasl(info: ValidationInfo) -> str:
    protocol: str = info.data.get("kafka_security_protocol", "")
    return protocol if protocol.startswith("SASL_") else ""


def _readable(file: Path | None) -> Path | None:
    try:
        if file is not None:
            file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    return file
