SELECT table, max_block_number, min_block_number, data_version, path
FROM system.parts
WHERE active AND database = {database:String}

-- {"database": "tidegauge"}
