"""The order of table samples: tenant, metric, span of four hours, series, time (schemas/clickhouse/001_tables.sql).

A granule would else be a series' whole day, and an hour of many series read all of it. Shorter spans read still less
and cost disk: one hour takes 0.11 bytes a sample more of TSBS's integers than four (bench/storage.py).
"""

SPAN_MS = 14_400_000
OF_TS = f"intDiv(toUnixTimestamp64Milli(ts), {SPAN_MS})"
# ClickHouse does not conclude from ts which spans to read. start and end: ms, start excluded.
WITHIN = f"""ts > fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
  AND ts <= fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')
  AND {OF_TS} BETWEEN intDiv({{start:Int64}}, {SPAN_MS}) AND intDiv({{end:Int64}}, {SPAN_MS})"""
