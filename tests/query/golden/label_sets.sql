SELECT metric, any(toJSONString(labels)) AS json
FROM series
WHERE tenant = {tenant:String} AND metric = {metric:String} AND labels[{name0:String}] = {value0:String} AND last_seen >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND toStartOfHour(first_seen) <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')
GROUP BY metric, series_id
LIMIT {limit:UInt64}

-- {"end": 2000, "limit": 11, "metric": "up", "name0": "a", "start": 1000, "tenant": "acme", "value0": "1"}
