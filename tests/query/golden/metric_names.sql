SELECT DISTINCT metric AS value FROM series WHERE tenant = {tenant:String} AND last_seen >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND toStartOfHour(first_seen) <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')

-- {"end": 2000, "start": 1000, "tenant": "acme"}
