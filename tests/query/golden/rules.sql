SELECT rule_id, body
FROM alert_rules FINAL
WHERE tenant = {tenant:String} AND NOT gone
ORDER BY rule_id
LIMIT {limit:UInt64}

-- {"limit": 51, "tenant": "acme"}
