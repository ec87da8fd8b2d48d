-- What became of every sample that came. A row is one record of metrics.raw, known by its place there: a replay replaces
-- it by an equal one, whichever step of the gate wrote it. minute is that of the broker's stamp.
CREATE TABLE IF NOT EXISTS ledger
(
    tenant       LowCardinality(String),
    minute       DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    partition    UInt32 CODEC(Delta, ZSTD(1)),
    offset       UInt64 CODEC(Delta, ZSTD(1)),
    received     UInt64 CODEC(T64, ZSTD(1)),
    forwarded    UInt64 CODEC(T64, ZSTD(1)),
    merged       UInt64 CODEC(T64, ZSTD(1)),
    folded       UInt64 CODEC(T64, ZSTD(1)),
    deduplicated UInt64 CODEC(T64, ZSTD(1)),
    shed         UInt64 CODEC(T64, ZSTD(1)),
    rejected     Map(LowCardinality(String), UInt64),
    would        Map(LowCardinality(String), UInt64)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(minute)
ORDER BY (tenant, minute, partition, offset)
SETTINGS materialize_ttl_recalculate_only = 1;

-- Per tenant and minute: received = forwarded + rejected + merged + folded + deduplicated + shed, or missing is not 0.
-- would: forwarded samples that a policy in dry run would have refused, by id, or folded.
CREATE OR REPLACE VIEW v_ledger AS
SELECT
    rows.tenant AS tenant,
    rows.minute AS time,
    count() AS records,
    sum(rows.received) AS received,
    sum(rows.forwarded) AS forwarded,
    sum(arraySum(mapValues(rows.rejected))) AS rejected,
    sum(rows.merged) AS merged,
    sum(rows.folded) AS folded,
    sum(rows.deduplicated) AS deduplicated,
    sum(rows.shed) AS shed,
    sumMap(CAST(rows.rejected, 'Map(String, UInt64)')) AS rejected_by_id,
    sumMap(CAST(rows.would, 'Map(String, UInt64)')) AS would,
    toInt64(received) - toInt64(forwarded + rejected + merged + folded + deduplicated + shed) AS missing
FROM ledger AS rows FINAL
GROUP BY rows.tenant, rows.minute;

-- New series per tenant, metric and hour, with the label that makes them. Rows repeat while a metric grows: the largest
-- count stands. values and series are exact up to 512, then estimates with 1.6 % standard error.
CREATE TABLE IF NOT EXISTS cardinality
(
    tenant     LowCardinality(String),
    hour       DateTime('UTC'),
    metric     LowCardinality(String),
    label      LowCardinality(String),
    values     UInt64,
    examples   Array(String),
    source     String,
    series     UInt64,
    refused    UInt64,
    per_minute Float64,
    first_seen DateTime64(3, 'UTC'),
    last_seen  DateTime64(3, 'UTC'),
    policy     String
)
ENGINE = ReplacingMergeTree(series)
PARTITION BY toYYYYMM(hour)
ORDER BY (tenant, hour, metric)
SETTINGS materialize_ttl_recalculate_only = 1;

CREATE OR REPLACE VIEW v_cardinality AS
SELECT tenant, hour AS time, metric AS name, label, values, examples, source, series, refused, per_minute, first_seen,
    last_seen, policy
FROM cardinality FINAL;

-- The ten metrics of each tenant and day with most new series in one hour.
CREATE OR REPLACE VIEW v_cardinality_daily AS
SELECT tenant, toStartOfDay(hour) AS time, metric AS name, argMax(label, rows.series) AS label,
    max(rows.series) AS series, max(rows.values) AS values, argMax(source, rows.series) AS source,
    argMax(policy, rows.series) AS policy
FROM cardinality AS rows FINAL
GROUP BY tenant, time, name
ORDER BY tenant, time, series DESC
LIMIT 10 BY tenant, time;
