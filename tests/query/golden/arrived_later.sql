SELECT series_id, toUnixTimestamp64Milli(ts) AS ms
FROM late_samples
WHERE tenant = {tenant:String}
  AND metric IN {metrics:Array(String)}
  AND series_id IN {ids:Array(UInt64)}
  AND ts > fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND ts <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')
GROUP BY metric, series_id, ts
HAVING min(arrived) > fromUnixTimestamp64Milli({as_of:Int64}, 'UTC')
LIMIT {limit:UInt64}

-- {"as_of": 1500, "end": 2000, "ids": [7], "limit": 101, "metrics": ["up"], "start": 1000, "tenant": "acme"}
