"""What the job remembers of one key between two evaluations, and its bytes."""

from dataclasses import dataclass

from schemas.codec import codec
from udfs.alert.lifecycle import Instance, Labels


@dataclass(frozen=True, slots=True)
class Memory:
    """revision and expr of the rule as last judged, the event time (ms) up to which samples are gone, the instances."""

    revision: str = ""
    expr: str = ""
    floor: int = 0
    instances: tuple[Instance, ...] = ()

    @property
    def live(self) -> bool:
        """Whether an instance is pending or firing."""
        return any(one.live for one in self.instances)

    def by_labels(self) -> dict[Labels, Instance]:
        """Return the instances by their labels."""
        return {one.labels: one for one in self.instances}

    def encode(self) -> bytes:
        """Return the AlertState record in single-object encoding."""
        instances = [
            {
                "labels": [{"name": name, "value": value} for name, value in one.labels],
                "value": one.value,
                "active_at": one.active_at,
                "fired_at": one.fired_at,
                "cleared_at": one.cleared_at,
                "ended_at": one.ended_at,
                "demotions": one.demotions,
                "seq": one.seq,
                "sent_at": one.sent_at,
                "resends": one.resends,
            }
            for one in self.instances
        ]
        return codec("alert_state").encode(
            {"revision": self.revision, "expr": self.expr, "floor": self.floor, "instances": instances}
        )

    @classmethod
    def decode(cls, data: bytes | None) -> "Memory":
        """Return the memory of encode(), an empty one for None; raises CodecError."""
        if data is None:
            return cls()
        record = codec("alert_state").decode(data)
        instances = tuple(
            Instance(**{**one, "labels": tuple((label["name"], label["value"]) for label in one["labels"])})
            for one in record["instances"]
        )
        return cls(record["revision"], record["expr"], record["floor"], instances)
