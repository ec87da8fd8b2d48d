SELECT DISTINCT labels[{label:String}] AS value
FROM series
WHERE tenant = {tenant:String} AND metric = {metric:String} AND last_seen >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND toStartOfHour(first_seen) <= fromUnixTimestamp64Milli({end:Int64}, 'UTC') AND value != ''
ORDER BY value
LIMIT {limit:UInt64}

-- {"end": 2000, "label": "job", "limit": 51, "metric": "up", "start": 1000, "tenant": "acme"}
