SELECT metric AS name, uniqExact(series_id) AS value
FROM series
WHERE tenant = {tenant:String}
GROUP BY metric
ORDER BY value DESC, name
LIMIT {limit:UInt64}

-- {"limit": 10, "tenant": "acme"}
