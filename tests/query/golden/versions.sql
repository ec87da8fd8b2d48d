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
GROUP BY metric, hour

-- {"end": 7200000, "metrics": ["down", "up"], "start": 1000, "tenant": "acme"}
