"""kafka-python's clients (3.0.12), without what they do and leave behind while a broker does not answer."""

from collections.abc import Callable
from typing import Any

from kafka.errors import KafkaConfigurationError, KafkaTimeoutError, SaslAuthenticationFailedError
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from pydantic import ValidationError

from schemas.setting import faults
from sinks.security import KafkaSecurity

_LOOK_MS = 100.0
_WHO = "TIDEGAUGE_KAFKA_USERNAME, TIDEGAUGE_KAFKA_PASSWORD or TIDEGAUGE_KAFKA_SASL_MECHANISM is not what the broker has"


class Manager(KafkaConnectionManager):  # type: ignore[misc]
    """The connections of a client, which says why it came to no broker.

    The original tells only that it came to none, and tries a password that was refused until its time is over. Mostly
    it does not even hear of that: the broker says so and ends the connection, and what comes with the end is dropped.
    """

    opening = True
    lost: Exception | None = None

    def get_connection(self, node_id: Any, *args: Any, **options: Any) -> Any:
        """Return the connection to a broker; raises KafkaError."""
        # Not of a client that is open: it would keep what it was refused for good.
        if self.opening and isinstance(self.lost, SaslAuthenticationFailedError):
            raise self.lost
        connection = super().get_connection(node_id, *args, **options)
        if self.opening:
            connection.init_future.add_errback(self._lost)
        return connection

    def _lost(self, error: Exception) -> None:
        self.lost = error

    async def _build_transport(self, *args: Any, **options: Any) -> Any:
        transport = await super()._build_transport(*args, **options)
        receive = transport._sock_recv

        def received() -> tuple[bytes, Exception | None]:
            data, error = receive()
            return data, None if data else error  # the end is still there at the next look

        transport._sock_recv = received
        return transport


class Client(KafkaNetClient):  # type: ignore[misc]
    """The network client of a producer, whose thread sleeps while its broker is silent."""

    def __init__(self, **configs: Any) -> None:
        net = NetworkSelector(**configs)
        self.manager = Manager(net, **configs)
        super().__init__(net, self.manager, **configs)

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

    bootstrap: as servers() takes it; settings: by kafka-python's names, beside TIDEGAUGE_KAFKA_…, which say who comes.
    One that finds no broker leaves nothing open. By itself it would leave a thread or descriptors at each trial.
    """
    secured = _secured()
    made: list[Client] = []

    def client(**config: Any) -> Client:
        made.append(Client(**config))
        return made[-1]

    try:
        found = kind(bootstrap_servers=servers(bootstrap), kafka_client=client, **secured, **settings)
    except BaseException as error:
        for one in made:
            one.close()
        if isinstance(error, SaslAuthenticationFailedError):
            raise SaslAuthenticationFailedError(f"{_said(error)}; {_WHO}") from None
        if isinstance(error, KafkaTimeoutError) and made and made[-1].manager.lost:
            raise KafkaTimeoutError(f"{_said(error)}: {made[-1].manager.lost}") from None
        raise
    for one in made:
        one.manager.opening = False
    return found


def _said(error: Exception) -> str:
    return str(error.args[0] if error.args else error)


def _secured() -> dict[str, str]:
    try:
        return KafkaSecurity().client()
    except ValidationError as error:
        raise KafkaConfigurationError("; ".join(faults(error))) from None
