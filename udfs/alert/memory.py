"""What the job remembers of one key between two evaluations, and its bytes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from schemas.codec import codec
from udfs.alert.lifecycle import Instance, Labels

_PLAIN = (
    *("value", "active_at", "fired_at", "cleared_at", "ended_at"),
    *("demotions", "seq", "sent_at", "resends"),
)
_LISTS = ("labels", "origin")
_FIRING = ("active_at", "fired_at", "ended_at", "value", "key")
_PLAIN_STATE = (
    *("revision", "expr", "floor", "paused_until", "trouble"),
    *("judged", "since", "spilled", "late_first", "late_last", "still_until"),
)
# Memories that are not decoded again while they stay as they are, and their size at most, bytes: one with ten thousand
# alerts is megabytes, and another at every change.
CACHED, SMALL = 8192, 1024


@dataclass(frozen=True, slots=True)
class Firing:
    """One firing of one label set; times are event time in ms. ended_at: 0 while it fires; key: of its transition."""

    labels: Labels
    active_at: int
    fired_at: int
    ended_at: int
    value: float
    key: str = ""

    def meets(self, other: "Firing") -> bool:
        """Tell whether both fire at one time."""
        return (not other.ended_at or self.fired_at < other.ended_at) and (
            not self.ended_at or other.fired_at < self.ended_at
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """revision and expr of the rule as last judged, the event time (ms) up to which samples are gone, the instances.

    instances: alerts, or for a recording rule its series, which have a __name__. troubles: alerts about the rule
    itself; trouble says what is wrong. paused_until: event time (ms) before which it is not evaluated, 0 for none.

    judged: the last tick; since: the first tick of this revision from which on none was left out. spilled: when samples
    last went from the window to the past. late_first, late_last: the ticks that met late samples which wait to be
    judged. still_until: until when the answer stays as it is without new samples. fired: what has fired in the time
    that late samples may still change.
    """

    revision: str = ""
    expr: str = ""
    floor: int = 0
    instances: tuple[Instance, ...] = ()
    troubles: tuple[Instance, ...] = ()
    paused_until: int = 0
    trouble: str = ""
    judged: int = 0
    since: int = 0
    spilled: int = 0
    late_first: int = 0
    late_last: int = 0
    still_until: int = 0
    fired: tuple[Firing, ...] = ()

    def edited(self, revision: str) -> bool:
        """Tell whether it is of another revision of the rule than this one."""
        return self.revision not in ("", revision)

    def encode(self) -> bytes:
        """Return the AlertState record in single-object encoding."""
        return codec("alert_state").encode(
            {
                **{name: getattr(self, name) for name in _PLAIN_STATE},
                "instances": _records(self.instances, _PLAIN, _LISTS),
                "troubles": _records(self.troubles, _PLAIN, _LISTS),
                "fired": _records(self.fired, _FIRING),
            }
        )

    @classmethod
    def decode(cls, data: bytes | None) -> "Memory":
        """Return the memory of encode(), an empty one for None; raises CodecError. Most ticks find what was."""
        if data is None:
            return cls()
        return cls._read_again(data) if len(data) <= SMALL else cls._read(data)

    @classmethod
    @lru_cache(maxsize=CACHED)
    def _read_again(cls, data: bytes) -> "Memory":
        return cls._read(data)

    @classmethod
    def _read(cls, data: bytes) -> "Memory":
        record = codec("alert_state").decode(data)
        lists = {name: tuple(Instance(**one) for one in _fields(record[name])) for name in ("instances", "troubles")}
        return cls(**{**record, **lists, "fired": tuple(Firing(**one) for one in _fields(record["fired"]))})


def _records(
    rows: Iterable[Instance] | Iterable[Firing], fields: Iterable[str], lists: Iterable[str] = ("labels",)
) -> list[dict[str, Any]]:
    return [
        {
            **{name: [{"name": key, "value": text} for key, text in getattr(one, name)] for name in lists},
            **{name: getattr(one, name) for name in fields},
        }
        for one in rows
    ]


def _fields(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in records:
        lists = {name: one[name] for name in _LISTS if name in one}
        yield {**one, **{name: tuple((row["name"], row["value"]) for row in rows) for name, rows in lists.items()}}
