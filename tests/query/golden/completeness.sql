WITH
(
    SELECT ts
    FROM completeness
    WHERE tenant = {tenant:String} AND tier = {tier:String} AND ts <= toDateTime({upto:UInt32}, 'UTC')
    ORDER BY tenant DESC, tier DESC, ts DESC
    LIMIT 1
) AS newest
SELECT
    toInt64(toUnixTimestamp(max(ts))) AS last,
    uniqExactArrayIf(sources, ts = newest) AS seen,
    uniqExactArray(sources) AS expected
FROM completeness
WHERE tenant = {tenant:String} AND tier = {tier:String}
  AND ts > newest - toIntervalSecond({span:UInt32}) AND ts <= toDateTime({upto:UInt32}, 'UTC')
HAVING count() > 0

-- {"span": 3600, "tenant": "acme", "tier": "1m", "upto": 1714608000}
