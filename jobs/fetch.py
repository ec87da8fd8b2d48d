"""How long Kafka keeps a source waiting that has nothing to read."""

from schemas.topics import TOPICS

# An idle stack fetches in vain, by default twice a second a consumer. Not where a consumer has several partitions: one
# that has records would wait until the others have some, since a consumer asks a broker once at a time.
_ALONE = {"properties.fetch.max.wait.ms": "5000"}


def patience(topic: str, parallelism: int) -> dict[str, str]:
    """Return how long a fetch waits at the broker for a record, where that is not Kafka's half a second."""
    (found,) = (one for one in TOPICS if one.name == topic)
    # How many partitions a scaled topic has, this code does not know.
    return _ALONE if not found.scaled and found.partitions <= parallelism else {}
