"""Which samples a query sees: all there are, all there are past every shortcut, or those known at an earlier time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from promql.columns import Selector
from query import params
from query.errors import bad_data


@dataclass(frozen=True, slots=True)
class View:
    """as_of_ms: only samples that had arrived by then. late_data: also those that only raw may have yet."""

    as_of_ms: int | None = None
    late_data: bool = False

    @property
    def raw_only(self) -> bool:
        """Tell whether rollups and the cache are out of the question: neither knows what arrived when."""
        return self.late_data or self.as_of_ms is not None

    def clip(self, selector: Selector) -> Selector:
        """Return what of a selector's time may be read."""
        return selector if self.as_of_ms is None else replace(selector, end_ms=min(selector.end_ms, self.as_of_ms))


EVERYTHING = View()
DAY_MS = 86_400_000


def view_of(given: Mapping[str, str], now_ms: int) -> View:
    """Return the view that the parameters as_of and include_late_data ask for."""
    late_data = params.flag(given, "include_late_data")
    if not given.get("as_of", ""):
        return View(late_data=late_data)
    as_of = params.time_ms(given, "as_of", None)
    if late_data:
        raise bad_data("TG-query-view", 'parameters "as_of" and "include_late_data" exclude each other')
    if as_of > now_ms:
        raise bad_data("TG-query-as-of", f'invalid parameter "as_of": {given["as_of"][:50]!r} lies in the future')
    return View(as_of)


def known_infos(as_of_ms: int, now_ms: int, late_after_ms: int, raw_days: int) -> list[str]:
    """Return what a reader of an answer as of as_of_ms must know."""
    moment = params.rfc3339(as_of_ms)
    said = [
        f"as known at {moment}; a sample that arrived up to {late_after_ms / 1000:g} s after its timestamp counts as "
        "known at its timestamp (TIDEGAUGE_STORE_LATE_AFTER_S) [TG-as-of]"
    ]
    if as_of_ms < now_ms - raw_days * DAY_MS:
        said.append(
            f"raw samples are kept for {raw_days} days (TIDEGAUGE_RETENTION): what was known at "
            f"{moment} cannot be told in full any more [TG-as-of-retention]"
        )
    return said
