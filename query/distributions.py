"""What an empty answer has to say of distributions: they are series like others, but PromQL finds no sample of them."""

from promql.plan import Expr, Select, walk
from promql.result import Matrix, Result, Vector
from query.errors import UNAVAILABLE, QueryError
from query.store import Store

TYPE = "distribution"
# Metrics of one query that are looked up: 5 ms each.
MOST = 5


def distribution_infos(store: Store, tenant: str, expr: Expr, value: Result) -> list[str]:
    """Return a line for each metric of the plan that is a distribution, if the value is empty."""
    if not _empty(value):
        return []
    metrics = sorted({node.metric for node in walk(expr) if isinstance(node, Select) and node.metric})
    try:
        found = [metric for metric in metrics[:MOST] if _is_distribution(store, tenant, metric)]
    except QueryError as error:
        if error.id != UNAVAILABLE:
            raise
        return []
    return [
        f"{metric} is a distribution, of which PromQL reads nothing: SQL has its counts and percentiles, in views "
        "v_distributions and v_rollup_1m to v_rollup_1d (docs/distributions.md) [TG-distribution]"
        for metric in found
    ]


def _empty(value: Result) -> bool:
    if isinstance(value, Matrix):
        return not value.columns.labels
    return isinstance(value, Vector) and not value.present.any()


def _is_distribution(store: Store, tenant: str, metric: str) -> bool:
    return any(kind == TYPE for _, kind, _ in store.metadata(tenant, metric, 1))
