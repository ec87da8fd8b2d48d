SELECT metric, series_id, any(toJSONString(labels)) AS json
FROM series
WHERE tenant = {tenant:String} AND metric = {metric:String} AND last_seen >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
GROUP BY metric, series_id
ORDER BY metric, series_id
LIMIT {limit:UInt64}

-- {"limit": 11, "metric": "up", "start": 1000, "tenant": "acme"}
