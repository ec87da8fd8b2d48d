"""The order of table samples: tenant, metric, span of an hour, series, time (schemas/clickhouse/001_tables.sql).

A granule would else be a series' whole day, and an hour of many series read all of it. Shorter spans read still less
and cost disk: of TSBS's integers an hour takes 0.02 bytes a sample more than four (docs/sizing.md).
"""

SPAN_MS = 3_600_000
OF_TS = f"intDiv(toUnixTimestamp64Milli(ts), {SPAN_MS})"
# start and end: ms, start excluded.
DURING = """ts > fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND ts <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')"""
# ClickHouse does not conclude from ts which spans to read.
WITHIN = f"""{DURING}
  AND {OF_TS} BETWEEN intDiv({{start:Int64}}, {SPAN_MS}) AND intDiv({{end:Int64}}, {SPAN_MS})"""
