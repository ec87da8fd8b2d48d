SELECT DISTINCT metric, type, unit
FROM series
WHERE tenant = {tenant:String} AND metric IN
    (SELECT DISTINCT metric FROM series WHERE tenant = {tenant:String} AND metric = {metric:String} ORDER BY metric LIMIT {limit:UInt64})
ORDER BY metric, type, unit

-- {"limit": 50, "metric": "up", "tenant": "acme"}
