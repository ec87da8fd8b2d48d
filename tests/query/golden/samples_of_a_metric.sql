SELECT series_id, toUnixTimestamp64Milli(ts) AS ms, value
FROM samples
WHERE tenant = {tenant:String}
  AND metric IN {metrics:Array(String)}
  AND ts > fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND ts <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND intDiv(toUnixTimestamp64Milli(ts), 3600000) BETWEEN intDiv({start:Int64}, 3600000) AND intDiv({end:Int64}, 3600000)
ORDER BY metric, intDiv(toUnixTimestamp64Milli(ts), 3600000), series_id, ts
LIMIT {limit:UInt64}

-- {"end": 2000, "limit": 101, "metrics": ["up"], "start": 1000, "tenant": "acme"}
