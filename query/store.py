"""What the API reads from: columns, label sets, versions. clickhouse.py implements it, and memory.py for tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from promql.columns import Labels, Source
from promql.plan import Select
from promql.pushed import GridSource
from promql.tiers import RowSource
from query.completeness import Completeness
from query.view import EVERYTHING, View
from schemas.tiers import MINUTE, Tier

# (hour in s since 1970, kind, version), see sql.versions.
Version = tuple[int, str, int]
Versions = dict[str, list[Version]]
# Of the tables that queries read: a number that every insert changes, see query/inserts.py.
Written = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that is pending or firing. Times are ms since 1970 UTC."""

    rule_id: str
    name: str
    state: str
    labels: Labels
    annotations: Labels
    value: float
    active_ms: int
    evaluated_ms: int


@dataclass(frozen=True, slots=True)
class Cardinality:
    """Figures of one tenant. tops: (name, value) lists by the names of sql_catalog.TOPS; times in ms."""

    series: int
    pairs: int
    first_ms: int
    last_ms: int
    tops: Mapping[str, list[tuple[str, int]]]


class Store(Protocol):
    """What the API reads from."""

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> Source:
        """Return the source of a tenant's samples, for an evaluation of so many steps."""
        ...

    def grids(self, tenant: str, view: View = EVERYTHING) -> GridSource | None:
        """Return what computes range functions of a tenant's samples where they are, None if nothing does."""
        ...

    def rolled(self, tenant: str, steps: int, tier: Tier) -> RowSource:
        """Return the source of a tenant's rows of a tier, for an evaluation of so many steps."""
        ...

    def completeness(
        self, tenant: str, now_ms: int, tier: Tier = MINUTE, written: Written | None = None
    ) -> Completeness | None:
        """Return up to when the tenant's data are complete in a tier, None if the stream has said nothing yet.

        It may be some seconds old: it then promises less than it could, never more. written: when the request came; it
        tells whether to ask again.
        """
        ...

    def written(self) -> Written | None:
        """Return a number of each table that changes with every write into it; None if it cannot be told.

        Read before the data, it is never newer than they are.
        """
        ...

    def versions(
        self, tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int, written: Written | None = None
    ) -> Versions:
        """Return the data versions of metrics, for the hours from start to end; written: when the request came."""
        ...

    def label_sets(self, tenant: str, select: Select, start_ms: int, end_ms: int, limit: int) -> list[Labels]:
        """Return the label sets of a selector; one more than the limit tells of excess, here and below."""
        ...

    def label_names(self, tenant: str, select: Select | None, start_ms: int, end_ms: int, limit: int) -> set[str]:
        """Return label names, of all series if select is None."""
        ...

    def label_values(
        self, tenant: str, label: str, select: Select | None, start_ms: int, end_ms: int, limit: int
    ) -> set[str]:
        """Return a label's values, of all series if select is None."""
        ...

    def metadata(self, tenant: str, metric: str, limit: int) -> list[tuple[str, str, str]]:
        """Return (metric, type, unit) of the first metrics by name, or of one metric."""
        ...

    def cardinality(self, tenant: str, limit: int) -> Cardinality:
        """Return how many series, labels and pairs there are, and the largest of each."""
        ...

    def alerts(self, tenant: str, limit: int) -> list[Alert]:
        """Return what is pending or firing."""
        ...

    def rules(self, tenant: str, limit: int) -> list[tuple[str, str]]:
        """Return (rule id, JSON) of the rules that were applied and not deleted."""
        ...

    def ready(self) -> None:
        """Raise QueryError if the store does not answer."""
        ...
