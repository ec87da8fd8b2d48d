SELECT
    rule_id,
    labels AS key,
    argMax(alert, at) AS name,
    argMax(state, at) AS now_state,
    argMax(toJSONString(annotations), at) AS notes,
    toJSONString(any(labels)) AS json,
    argMax(value, at) AS newest,
    toUnixTimestamp64Milli(argMax(active_at, at)) AS active,
    toUnixTimestamp64Milli(max(evaluated_at)) AS evaluated
FROM (
    SELECT *, (evaluated_at, state IN ('pending', 'firing'), seq) AS at
    FROM alert_events
    WHERE tenant = {tenant:String} AND state NOT IN ('missed', 'retracted')
)
GROUP BY rule_id, key
HAVING now_state IN ('pending', 'firing')
ORDER BY rule_id, json
LIMIT {limit:UInt64}

-- {"limit": 51, "tenant": "acme"}
