"""What the job remembers of one key between two evaluations, and its bytes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schemas.codec import codec
from udfs.alert.lifecycle import Instance

_PLAIN = (
    *("value", "active_at", "fired_at", "cleared_at", "ended_at"),
    *("demotions", "seq", "sent_at", "resends"),
)


@dataclass(frozen=True, slots=True)
class Memory:
    """revision and expr of the rule as last judged, the event time (ms) up to which samples are gone, the instances.

    instances: alerts, or for a recording rule its series, which have a __name__. troubles: alerts about the rule
    itself; trouble says what is wrong. paused_until: event time (ms) before which it is not evaluated, 0 for none.
    """

    revision: str = ""
    expr: str = ""
    floor: int = 0
    instances: tuple[Instance, ...] = ()
    troubles: tuple[Instance, ...] = ()
    paused_until: int = 0
    trouble: str = ""

    def encode(self) -> bytes:
        """Return the AlertState record in single-object encoding."""
        return codec("alert_state").encode(
            {
                "revision": self.revision,
                "expr": self.expr,
                "floor": self.floor,
                "instances": _records(self.instances),
                "troubles": _records(self.troubles),
                "paused_until": self.paused_until,
                "trouble": self.trouble,
            }
        )

    @classmethod
    def decode(cls, data: bytes | None) -> "Memory":
        """Return the memory of encode(), an empty one for None; raises CodecError."""
        if data is None:
            return cls()
        record = codec("alert_state").decode(data)
        lists = {name: _instances(record[name]) for name in ("instances", "troubles")}
        return cls(**{**record, **lists})


def _records(instances: Iterable[Instance]) -> list[dict[str, Any]]:
    return [
        {
            "labels": [{"name": name, "value": value} for name, value in one.labels],
            **{name: getattr(one, name) for name in _PLAIN},
        }
        for one in instances
    ]


def _instances(records: Iterable[dict[str, Any]]) -> tuple[Instance, ...]:
    return tuple(
        Instance(**{**one, "labels": tuple((label["name"], label["value"]) for label in one["labels"])})
        for one in records
    )
