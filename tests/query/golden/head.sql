SELECT
    (SELECT uniqExact(series_id) FROM series WHERE tenant = {tenant:String}) AS series,
    (SELECT uniqExact(label, held) FROM 
(
    SELECT DISTINCT series_id, pair.1 AS label, pair.2 AS held
    FROM
    (
        SELECT series_id, arrayJoin(arrayPushFront(
            arrayZip(mapKeys(labels), mapValues(labels)), ('__name__', CAST(metric, 'String')))) AS pair
        FROM series
        WHERE tenant = {tenant:String}
    )
)) AS pairs,
    (SELECT toUnixTimestamp64Milli(min(first_seen)) FROM series WHERE tenant = {tenant:String}) AS first,
    (SELECT toUnixTimestamp64Milli(max(last_seen)) FROM series WHERE tenant = {tenant:String}) AS last

-- {"tenant": "acme"}
