SELECT DISTINCT arrayJoin(mapKeys(labels)) AS name
FROM series
WHERE tenant = {tenant:String} AND last_seen >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND toStartOfHour(first_seen) <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')
ORDER BY name
LIMIT {limit:UInt64}

-- {"end": 2000, "limit": 51, "start": 1000, "tenant": "acme"}
