"""SQL of everything but samples: label sets, metadata, cardinality, alerts. As in sql.py, values are parameters."""

from promql.columns import NAME
from promql.plan import Select
from query.sql import Params, Statement, where


def label_sets(tenant: str, select: Select | None, start_ms: int, end_ms: int, limit: int) -> Statement:
    """Return the label sets seen from start to end: metric, labels as JSON."""
    conditions, params = _alive(tenant, select, start_ms, end_ms)
    params["limit"] = limit + 1
    text = f"""
SELECT metric, any(toJSONString(labels)) AS json
FROM series
WHERE {" AND ".join(conditions)}
GROUP BY metric, series_id
LIMIT {{limit:UInt64}}"""
    return text, params


def label_names(tenant: str, select: Select | None, start_ms: int, end_ms: int, limit: int) -> Statement:
    """Return the first label names, sorted, seen from start to end, without __name__."""
    conditions, params = _alive(tenant, select, start_ms, end_ms)
    params["limit"] = limit + 1
    text = f"""
SELECT DISTINCT arrayJoin(mapKeys(labels)) AS name
FROM series
WHERE {" AND ".join(conditions)}
ORDER BY name
LIMIT {{limit:UInt64}}"""
    return text, params


def label_values(tenant: str, label: str, select: Select | None, start_ms: int, end_ms: int, limit: int) -> Statement:
    """Return the first values of a label, sorted, seen from start to end."""
    conditions, params = _alive(tenant, select, start_ms, end_ms)
    params["limit"] = limit + 1
    column = "metric"
    if label != NAME:
        column = "labels[{label:String}]"
        params["label"] = label
    text = f"""
SELECT DISTINCT {column} AS value
FROM series
WHERE {" AND ".join(conditions)} AND value != ''
ORDER BY value
LIMIT {{limit:UInt64}}"""
    return text, params


def metadata(tenant: str, metric: str, limit: int) -> Statement:
    """Return (metric, type, unit) of the first metrics by name, or of one; limit in metrics."""
    chosen = " AND metric = {metric:String}" if metric else ""
    text = f"""
SELECT DISTINCT metric, type, unit
FROM series
WHERE tenant = {{tenant:String}} AND metric IN
    (SELECT DISTINCT metric FROM series WHERE tenant = {{tenant:String}}{chosen} ORDER BY metric LIMIT {{limit:UInt64}})
ORDER BY metric, type, unit"""
    params: Params = {"tenant": tenant, "limit": limit}
    return text, params | ({"metric": metric} if metric else {})


# Every (label, value) of every series, __name__ among them. Rows of one series may repeat until a merge.
_PAIRS = """
(
    SELECT DISTINCT series_id, pair.1 AS label, pair.2 AS held
    FROM
    (
        SELECT series_id, arrayJoin(arrayPushFront(
            arrayZip(mapKeys(labels), mapValues(labels)), ('__name__', CAST(metric, 'String')))) AS pair
        FROM series
        WHERE tenant = {tenant:String}
    )
)"""

# What status/tsdb lists, each as (name, value), the largest first.
_TOPS = {
    "seriesCountByMetricName": """
SELECT metric AS name, uniqExact(series_id) AS value
FROM series
WHERE tenant = {tenant:String}
GROUP BY metric""",
    "labelValueCountByLabelName": f"SELECT label AS name, uniqExact(held) AS value\nFROM {_PAIRS}\nGROUP BY label",
    "memoryInBytesByLabelName": f"""
SELECT label AS name, sum(length(held)) AS value
FROM (SELECT DISTINCT label, held FROM {_PAIRS})
GROUP BY label""",
    "seriesCountByLabelValuePair": f"""
SELECT concat(label, '=', held) AS name, uniqExact(series_id) AS value
FROM {_PAIRS}
GROUP BY label, held""",
}
TOPS = tuple(_TOPS)


def top(tenant: str, what: str, limit: int) -> Statement:
    """Return (name, value) of one of TOPS, the largest first."""
    # The list's name is one of ours, never a value from outside.
    text = f"{_TOPS[what]}\nORDER BY value DESC, name\nLIMIT {{limit:UInt64}}"
    return text, {"tenant": tenant, "limit": limit}


def head(tenant: str) -> Statement:
    """Return one row: series, label pairs, first and last time in ms."""
    text = f"""
SELECT
    (SELECT uniqExact(series_id) FROM series WHERE tenant = {{tenant:String}}) AS series,
    (SELECT uniqExact(label, held) FROM {_PAIRS}) AS pairs,
    (SELECT toUnixTimestamp64Milli(min(first_seen)) FROM series WHERE tenant = {{tenant:String}}) AS first,
    (SELECT toUnixTimestamp64Milli(max(last_seen)) FROM series WHERE tenant = {{tenant:String}}) AS last"""
    return text, {"tenant": tenant}


def alerts(tenant: str, limit: int) -> Statement:
    """Return the newest transition of every rule and label set that is pending or firing.

    What late samples say afterwards (missed, retracted) is no transition. What ended at a tick ended before anything
    began at it: under an edit that gives the rule other keys, each of the two counts transitions of its own.
    """
    text = """
SELECT
    rule_id,
    labels AS key,
    argMax(alert, at) AS name,
    argMax(state, at) AS now_state,
    argMax(toJSONString(annotations), at) AS notes,
    toJSONString(any(labels)) AS json,
    argMax(value, at) AS newest,
    toUnixTimestamp64Milli(argMax(active_at, at)) AS active,
    toUnixTimestamp64Milli(max(evaluated_at)) AS evaluated
FROM (
    SELECT *, (evaluated_at, state IN ('pending', 'firing'), seq) AS at
    FROM alert_events
    WHERE tenant = {tenant:String} AND state NOT IN ('missed', 'retracted')
)
GROUP BY rule_id, key
HAVING now_state IN ('pending', 'firing')
ORDER BY rule_id, json
LIMIT {limit:UInt64}"""
    return text, {"tenant": tenant, "limit": limit + 1}


def rules(tenant: str, limit: int) -> Statement:
    """Return id and JSON of the newest state of every rule that is not deleted."""
    text = """
SELECT rule_id, body
FROM alert_rules FINAL
WHERE tenant = {tenant:String} AND NOT gone
ORDER BY rule_id
LIMIT {limit:UInt64}"""
    return text, {"tenant": tenant, "limit": limit + 1}


def _alive(tenant: str, select: Select | None, start_ms: int, end_ms: int) -> tuple[list[str], Params]:
    metric, matchers = ("", ()) if select is None else (select.metric, select.matchers)
    conditions, params = where(tenant, metric, matchers)
    conditions.append("last_seen >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')")
    conditions.append("toStartOfHour(first_seen) <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')")
    params |= {"start": start_ms, "end": end_ms}
    return conditions, params
