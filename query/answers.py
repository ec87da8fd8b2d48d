"""A request and its answer, between the endpoints and whatever speaks HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TRUNCATED = "results truncated due to limit"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. now_ms: the wall clock when it came; lists: the parameters that may repeat, as match[]."""

    tenant: str
    params: Mapping[str, str]
    lists: Mapping[str, Sequence[str]]
    now_ms: int

    @property
    def matches(self) -> Sequence[str]:
        """Return the selectors of match[]."""
        return self.lists.get("match[]", ())


@dataclass(frozen=True, slots=True)
class Reply:
    """data: the JSON of an answer's `data`. infos, warnings: what a reader must know of it."""

    data: bytes
    infos: Sequence[str] = ()
    warnings: Sequence[str] = ()
