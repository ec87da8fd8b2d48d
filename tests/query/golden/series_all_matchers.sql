SELECT metric, series_id, any(toJSONString(labels)) AS json
FROM series
WHERE tenant = {tenant:String} AND labels[{name0:String}] = {value0:String} AND labels[{name1:String}] != {value1:String} AND match(labels[{name2:String}], {value2:String}) AND NOT match(metric, {value3:String}) AND last_seen >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
GROUP BY metric, series_id
ORDER BY metric, series_id
LIMIT {limit:UInt64}

-- {"limit": 11, "name0": "a", "name1": "b", "name2": "c", "start": 1000, "tenant": "acme", "value0": "1", "value1": "x'\\y", "value2": "^(?s:a|b)$", "value3": "^(?s:go_.*)$"}
