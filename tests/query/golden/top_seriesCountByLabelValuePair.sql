SELECT concat(label, '=', held) AS name, uniqExact(series_id) AS value
FROM 
(
    SELECT DISTINCT series_id, pair.1 AS label, pair.2 AS held
    FROM
    (
        SELECT series_id, arrayJoin(arrayPushFront(
            arrayZip(mapKeys(labels), mapValues(labels)), ('__name__', CAST(metric, 'String')))) AS pair
        FROM series
        WHERE tenant = {tenant:String}
    )
)
GROUP BY label, held
ORDER BY value DESC, name
LIMIT {limit:UInt64}

-- {"limit": 10, "tenant": "acme"}
