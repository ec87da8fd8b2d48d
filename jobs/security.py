"""What Flink's Kafka clients are told of TIDEGAUGE_KAFKA_…, by Kafka's own names."""

from sinks.security import KafkaSecurity

# Inside flink-sql-connector-kafka, which carries Kafka's client under a name of its own.
_MODULES = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"


def client(settings: KafkaSecurity) -> dict[str, str]:
    """Return the properties of a client; none for a broker that asks nothing. Raises OSError.

    The password becomes part of the job: it lies in the job graph, which Flink keeps for as long as the job runs. Its
    web page does not show it, and Kafka's client hides it in its log.
    """
    if settings.kafka_security_protocol == "PLAINTEXT":
        return {}
    found: dict[str, str] = {"security.protocol": settings.kafka_security_protocol}
    if settings.sasl:
        plain = settings.kafka_sasl_mechanism == "PLAIN"
        module = f"{_MODULES}.plain.PlainLoginModule" if plain else f"{_MODULES}.scram.ScramLoginModule"
        user, password = _quoted(settings.kafka_username), _quoted(settings.password())
        found |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.jaas.config": f"{module} required username={user} password={password};",
        }
    if settings.tls and settings.kafka_ca_file is not None:
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(settings.kafka_ca_file)}
    return found


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
