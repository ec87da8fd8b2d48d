"""SQL of evaluations: pure functions that return (text, parameters). Values are always parameters."""

from collections.abc import Sequence

from promql.columns import NAME, Matcher, Selector
from promql.grid import Grid
from promql.match import anchored
from promql.windows import STALE_BITS
from schemas import spans
from schemas.tiers import Tier

_FIELDS = {
    **{name: f"toFloat64({name})" for name in ("count", "sum", "min", "max", "first", "last", "increase")},
    **{name: f"toFloat64(toUnixTimestamp64Milli({name}))" for name in ("first_ts", "last_ts")},
    "digest": "digest",
}

# What ClickHouse calls a range function (timeSeries…ToGrid).
_GRIDS = {
    "changes": "Changes",
    "count_over_time": "Count",
    "delta": "Delta",
    "idelta": "InstantDelta",
    "irate": "InstantRate",
    "last_over_time": "Last",
    "max_over_time": "Max",
    "min_over_time": "Min",
    "present_over_time": "Count",
    "resets": "Resets",
}
GRID_SETTINGS = {"enable_time_series_aggregate_functions": "1"}

Params = dict[str, str | int | Sequence[str] | Sequence[int]]
Statement = tuple[str, Params]

_OPS = {"=": "{left} = {right}", "!=": "{left} != {right}", "=~": "match({left}, {right})"}
_OPS["!~"] = f"NOT {_OPS['=~']}"


def _matchers(matchers: Sequence[Matcher], params: Params) -> list[str]:
    """Return a condition for each matcher on table series. A label that is absent reads as '' from the map."""
    conditions = []
    for number, (name, op, value) in enumerate(matchers):
        if name == NAME:
            left = "metric"
        else:
            left = f"labels[{{name{number}:String}}]"
            params[f"name{number}"] = name
        params[f"value{number}"] = anchored(value) if op in ("=~", "!~") else value
        conditions.append(_OPS[op].format(left=left, right=f"{{value{number}:String}}"))
    return conditions


def where(tenant: str, metric: str, matchers: Sequence[Matcher]) -> tuple[list[str], Params]:
    """Return the conditions on table series that tenant, metric ("" for any) and matchers make."""
    params: Params = {"tenant": tenant}
    conditions = ["tenant = {tenant:String}"]
    if metric:
        conditions.append("metric = {metric:String}")
        params["metric"] = metric
    return conditions + _matchers(matchers, params), params


def series(tenant: str, selector: Selector, limit: int) -> Statement:
    """Return the series of a selector: id, metric, labels as JSON; one row more than the limit tells of excess.

    Aggregated, since rows of one series stay apart until a merge; ordered as table samples is.
    """
    conditions, params = where(tenant, selector.metric, selector.matchers)
    # last_seen is rounded up to the hour by the writer, so it never hides a sample.
    conditions.append("last_seen >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')")
    params |= {"start": selector.start_ms, "limit": limit + 1}
    text = f"""
SELECT metric, series_id, any(toJSONString(labels)) AS json
FROM series
WHERE {" AND ".join(conditions)}
GROUP BY metric, series_id
ORDER BY metric, series_id
LIMIT {{limit:UInt64}}"""
    return text, params


def samples(
    tenant: str, selector: Selector, metrics: Sequence[str], ids: Sequence[int] | None, limit: int, final: bool
) -> Statement:
    """Return the samples of series, in the order of the table's key (schemas/spans.py), which costs nothing.

    ids None: all series.

    final False reads 2 to 3 times faster, and may return a sample twice.
    """
    params: Params = {
        "tenant": tenant,
        "metrics": list(metrics),
        "start": selector.start_ms,
        "end": selector.end_ms,
        "limit": limit + 1,
    }
    chosen = ""
    if ids is not None:
        chosen = "\n  AND series_id IN {ids:Array(UInt64)}"
        params["ids"] = list(ids)
    text = f"""
SELECT series_id, toUnixTimestamp64Milli(ts) AS ms, value
FROM samples{" FINAL" if final else ""}
WHERE tenant = {{tenant:String}}
  AND metric IN {{metrics:Array(String)}}{chosen}
  AND {spans.WITHIN}
ORDER BY metric, {spans.OF_TS}, series_id, ts
LIMIT {{limit:UInt64}}"""
    return text, params


def grid(
    tenant: str,
    selector: Selector,
    metrics: Sequence[str],
    ids: Sequence[int] | None,
    function: str,
    steps: Grid,
    range_ms: int,
) -> Statement:
    """Return a range function of series at every step: series_id, cells (an array, null where there is no value).

    Series come in the order of the table's key. FINAL, since only it knows which of two values of one sample stands.
    """
    params: Params = {
        "tenant": tenant,
        "metrics": list(metrics),
        "start": selector.start_ms,
        "end": selector.end_ms,
        "first": steps.start_ms,
        "last": steps.last_ms,
        "step": max(steps.step_ms // 1000, 1),
        "range": range_ms // 1000,
        "stale": STALE_BITS,
    }
    chosen = ""
    if ids is not None:
        chosen = "\n  AND series_id IN {ids:Array(UInt64)}"
        params["ids"] = list(ids)
    text = f"""
SELECT
    series_id,
    timeSeries{_GRIDS[function]}ToGrid(
        fromUnixTimestamp64Milli({{first:Int64}}, 'UTC'),
        fromUnixTimestamp64Milli({{last:Int64}}, 'UTC'),
        {{step:UInt32}},
        {{range:UInt32}}
    )(ts, value) AS cells
FROM samples FINAL
WHERE tenant = {{tenant:String}}
  AND metric IN {{metrics:Array(String)}}{chosen}
  AND {spans.WITHIN}
  AND reinterpretAsUInt64(value) != {{stale:UInt64}}
GROUP BY metric, series_id
ORDER BY metric, series_id"""
    return text, params


def rollups(
    tenant: str,
    selector: Selector,
    metrics: Sequence[str],
    ids: Sequence[int] | None,
    tier: Tier,
    fields: Sequence[str],
    limit: int,
) -> Statement:
    """Return the rows of a tier whose windows end in (start, end] of the selector, as `samples` does.

    Columns: series_id, ms (the window's end), each field by its name and an underscore, as a float, a digest
    as its bytes. Rows of distributions, which have no first value, are not of the language.
    """
    columns = ", ".join(f"{_FIELDS[name]} AS {name}_" for name in fields)
    width = tier.width_ms // 1000
    params: Params = {
        "tenant": tenant,
        "metrics": list(metrics),
        # Starts of windows, from the first up to the one behind the last: toDateTime makes 0 of all before 1970, and
        # "later than that" would leave out the row that begins there.
        "first": selector.start_ms // 1000 + 1 - width,
        "behind": selector.end_ms // 1000 + 1 - width,
        "width": width,
        "limit": limit + 1,
    }
    chosen = ""
    if ids is not None:
        chosen = "\n  AND series_id IN {ids:Array(UInt64)}"
        params["ids"] = list(ids)
    text = f"""
SELECT series_id, (toInt64(toUnixTimestamp(ts)) + {{width:Int64}}) * 1000 AS ms, {columns}
FROM {tier.table} FINAL
WHERE tenant = {{tenant:String}}
  AND metric IN {{metrics:Array(String)}}{chosen}
  AND ts >= toDateTime({{first:Int64}}, 'UTC')
  AND ts < toDateTime({{behind:Int64}}, 'UTC')
  AND NOT isNaN(first)
ORDER BY metric, series_id, ts
LIMIT {{limit:UInt64}}"""
    return text, params


def estimate(statement: Statement) -> Statement:
    """Return the statement that tells how many rows another would read, by the primary key alone: column rows."""
    text, params = statement
    return f"EXPLAIN ESTIMATE {text.strip()}", params


def arrived_later(
    tenant: str, selector: Selector, metrics: Sequence[str], ids: Sequence[int] | None, as_of_ms: int, limit: int
) -> Statement:
    """Return the samples (series_id, ms) of `samples` that arrived after as_of_ms, repeats by their first arrival."""
    params: Params = {
        "tenant": tenant,
        "metrics": list(metrics),
        "start": selector.start_ms,
        "end": selector.end_ms,
        "as_of": as_of_ms,
        "limit": limit + 1,
    }
    chosen = ""
    if ids is not None:
        chosen = "\n  AND series_id IN {ids:Array(UInt64)}"
        params["ids"] = list(ids)
    text = f"""
SELECT series_id, toUnixTimestamp64Milli(ts) AS ms
FROM late_samples
WHERE tenant = {{tenant:String}}
  AND metric IN {{metrics:Array(String)}}{chosen}
  AND ts > fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
  AND ts <= fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')
GROUP BY metric, series_id, ts
HAVING min(arrived) > fromUnixTimestamp64Milli({{as_of:Int64}}, 'UTC')
LIMIT {{limit:UInt64}}"""
    return text, params


def completeness(tenant: str, tier: str, span_s: int, upto_s: int) -> Statement:
    """Return the newest closed window of a tier (start in s), the sources in it, and those in span_s up to it.

    upto_s: the newest window that can be over, its start in s. What was closed beyond is of a clock that was ahead, and
    says nothing of windows that are open now. No row if none was closed. The newest is the first one from the key's
    end: ClickHouse reads one granule for it.
    """
    text = """
WITH
(
    SELECT ts
    FROM completeness
    WHERE tenant = {tenant:String} AND tier = {tier:String} AND ts <= toDateTime({upto:UInt32}, 'UTC')
    ORDER BY tenant DESC, tier DESC, ts DESC
    LIMIT 1
) AS newest
SELECT
    toInt64(toUnixTimestamp(max(ts))) AS last,
    uniqExactArrayIf(sources, ts = newest) AS seen,
    uniqExactArray(sources) AS expected
FROM completeness
WHERE tenant = {tenant:String} AND tier = {tier:String}
  AND ts > newest - toIntervalSecond({span:UInt32}) AND ts <= toDateTime({upto:UInt32}, 'UTC')
HAVING count() > 0"""
    return text, {"tenant": tenant, "tier": tier, "span": span_s, "upto": upto_s}


def versions(tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int) -> Statement:
    """Return what dates the data of metrics from start to end: (metric, hour in s, kind, version).

    Kind `data` is the writer's version of an hour. Kind `series` counts the series first seen in an hour: a
    sample that was stored before its series was registered appears when that number rises.
    """
    params: Params = {"tenant": tenant, "metrics": list(metrics), "start": start_ms, "end": end_ms}
    text = """
SELECT metric, toInt64(toUnixTimestamp(block)) AS hour, 'data' AS kind, max(version) AS version
FROM data_versions
WHERE tenant = {tenant:String} AND metric IN {metrics:Array(String)}
  AND block >= toStartOfHour(fromUnixTimestamp64Milli({start:Int64}, 'UTC'))
  AND block <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')
GROUP BY metric, block
UNION ALL
SELECT metric, toInt64(toUnixTimestamp(toStartOfHour(first))) AS hour, 'series' AS kind, count() AS version
FROM
(
    SELECT metric, series_id, min(first_seen) AS first
    FROM series
    WHERE tenant = {tenant:String} AND metric IN {metrics:Array(String)}
    GROUP BY metric, series_id
)
WHERE first <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')
GROUP BY metric, hour"""
    return text, params
