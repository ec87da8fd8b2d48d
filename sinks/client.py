"""kafka-python's clients (3.0.12), without what they do and leave behind while a broker does not answer."""

from collections.abc import Callable
from typing import Any

from kafka.net.compat import KafkaNetClient

_LOOK_MS = 100.0


class Client(KafkaNetClient):  # type: ignore[misc]
    """The network client of a producer, whose thread sleeps while its broker is silent."""

    def connection_delay(self, node_id: Any) -> float:
        """Return the ms for which the producer may sleep before it looks at a broker again that is not ready.

        The original says 0 of one that it is still connecting to or that owes an answer: a producer then takes a whole
        core until the broker is back. It also tells of backoffs in seconds, while ms are asked for. What comes from
        the broker, and what is given to the producer, ends the sleep at once.
        """
        delay_s: float = super().connection_delay(node_id)
        return max(_LOOK_MS, 1000.0 * delay_s)


def servers(bootstrap: str) -> list[str]:
    """Return host:port of each broker that a setting names, comma-separated."""
    return [server.strip() for server in bootstrap.split(",")]


def opened(kind: Callable[..., Any], bootstrap: str, **settings: Any) -> Any:
    """Return KafkaProducer, KafkaConsumer or KafkaAdminClient; raises KafkaError.

    bootstrap: as servers() takes it; settings: by kafka-python's names. One that finds no broker leaves nothing open.
    By itself it would leave a thread or descriptors at each trial.
    """
    made: list[Client] = []

    def client(**config: Any) -> Client:
        made.append(Client(**config))
        return made[-1]

    try:
        return kind(bootstrap_servers=servers(bootstrap), kafka_client=client, **settings)
    except BaseException:
        for one in made:
            one.close()
        raise
