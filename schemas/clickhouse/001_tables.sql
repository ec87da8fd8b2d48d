-- Tidegauge's tables. Every statement is idempotent; a change is a new file with the next number.
-- also: d8531d5f8f489f91e6a6a2ab3ea07680fabe0299619a0ba025a6f98254696582
-- (that text had samples by series and time; such a table stays as it is, and is right, only slower to read)
-- also: 4d102430b2f8db288fc7d353da6619f64efb468663a10c823e349fe4f25048fb
-- (rollup_1m and rollup_5m with granules of 256 rows: right, only dearer to write and to merge)
-- also: cbe22fc8a9c2cc2b0b6a6962504e9857e9d93e0d417a685d8b2cb586eeccc15d
-- (samples with floats, by spans of four hours: right, only larger and slower to read; docs/sizing.md tells how to change it)
-- sinks/retention.py sets their TTL, which goes by whole partitions; materialize_ttl_recalculate_only lets a changed one
-- reach the rows that are there by reading keys, not by rewriting parts.

-- ReplacingMergeTree without a version: a sample's identity is its key, and an ingest time would cost 1.5 bytes each.
-- By spans of an hour (schemas/spans.py), values as sinks/digits.py says. What is the same in long runs is compressed in
-- blocks of 1 MiB: a block's own bytes were more than half of what these columns took.
CREATE TABLE IF NOT EXISTS samples
(
    tenant    LowCardinality(String) SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 1048576),
    metric    LowCardinality(String) SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 1048576),
    series_id UInt64 CODEC(Delta, ZSTD(1)) SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 1048576),
    ts        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 1048576),
    digits    Int64 CODEC(Delta, T64('bit'), ZSTD(1)),
    divisor   UInt16 CODEC(ZSTD(1)) SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 1048576),
    value     Float64 ALIAS if(divisor = 0, reinterpretAsFloat64(digits), digits / divisor)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY (tenant, metric, intDiv(toUnixTimestamp64Milli(ts), 3600000), series_id, ts)
SETTINGS non_replicated_deduplication_window = 1000, materialize_ttl_recalculate_only = 1{without_statistics};

-- One row per distribution: many values, or a producer's digest, for one series and timestamp. Of two different ones the
-- larger count stands, of equal counts the larger hash: version has the count in its upper half and the hash in its
-- lower, so that the outcome does not depend on the order of arrival.
CREATE TABLE IF NOT EXISTS distributions
(
    tenant    LowCardinality(String),
    metric    LowCardinality(String),
    series_id UInt64 CODEC(Delta, ZSTD(1)),
    ts        DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    count     UInt64 CODEC(T64, ZSTD(1)),
    sum       Float64 CODEC({value_codec}),
    sum_sq    Float64 CODEC({value_codec}),
    min       Float64 CODEC({value_codec}),
    max       Float64 CODEC({value_codec}),
    digest    AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) CODEC(ZSTD(1)),
    version   UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(ts)
ORDER BY (tenant, metric, series_id, ts)
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 1000,
    materialize_ttl_recalculate_only = 1{without_statistics};

CREATE TABLE IF NOT EXISTS series
(
    tenant     LowCardinality(String),
    metric     LowCardinality(String),
    series_id  UInt64,
    labels     SimpleAggregateFunction(any, Map(String, String)),
    type       SimpleAggregateFunction(anyLast, LowCardinality(String)),
    unit       SimpleAggregateFunction(anyLast, LowCardinality(String)),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen  SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, metric, series_id)
SETTINGS index_granularity = 256, materialize_ttl_recalculate_only = 1;

-- One row per (tenant, series, window); the highest version wins. version = samples in the row, so a row built from
-- more of the same samples always replaces one built from fewer, and equal versions hold equal rows.
-- rollup_1m is the first tier; the others repeat its columns. Wide parts: in compact ones every granule of 256 rows is
-- compressed by itself in each of 16 columns, which cost twice the CPU and a quarter more disk. A partition is what
-- expires at once: a day of 1m and 5m, a week of 1h, a month of 1d. digest becomes a String in 006_digests.sql.
CREATE TABLE IF NOT EXISTS rollup_1m
(
    tenant     LowCardinality(String),
    metric     LowCardinality(String),
    series_id  UInt64 CODEC(Delta, ZSTD(1)),
    ts         DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    count      UInt64 CODEC(T64, ZSTD(1)),
    sum        Float64 CODEC({value_codec}),
    sum_sq     Float64 CODEC({value_codec}),
    min        Float64 CODEC({value_codec}),
    max        Float64 CODEC({value_codec}),
    first      Float64 CODEC({value_codec}),
    last       Float64 CODEC({value_codec}),
    first_ts   DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    last_ts    DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    increase   Float64 CODEC({value_codec}),
    digest     AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) CODEC(ZSTD(1)),
    version    UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(ts)
ORDER BY (tenant, metric, series_id, ts)
SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0,
    non_replicated_deduplication_window = 1000, materialize_ttl_recalculate_only = 1{without_statistics};

CREATE TABLE IF NOT EXISTS rollup_5m AS rollup_1m;

CREATE TABLE IF NOT EXISTS rollup_1h AS rollup_1m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(ts)
ORDER BY (tenant, metric, series_id, ts)
SETTINGS index_granularity = 256, min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0,
    non_replicated_deduplication_window = 1000, materialize_ttl_recalculate_only = 1{without_statistics};

CREATE TABLE IF NOT EXISTS rollup_1d AS rollup_1m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts)
ORDER BY (tenant, metric, series_id, ts)
SETTINGS index_granularity = 256, min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0,
    non_replicated_deduplication_window = 1000, materialize_ttl_recalculate_only = 1{without_statistics};

-- A row says that the stream has closed the window of a tier: whatever comes for it from now on is late. sources: hashes
-- of the sources that were seen in it in time; the share of those expected follows from earlier windows.
CREATE TABLE IF NOT EXISTS completeness
(
    tenant  LowCardinality(String),
    tier    LowCardinality(String),
    ts      DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    sources SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (tenant, tier, ts)
SETTINGS index_granularity = 256, materialize_ttl_recalculate_only = 1;

-- Samples that came well after their time, with the broker's clock at their arrival: raw carries none, since it would
-- cost 1.5 bytes a sample. What was known at a time T is raw without the samples here that arrived after T.
CREATE TABLE IF NOT EXISTS late_samples
(
    tenant    LowCardinality(String),
    metric    LowCardinality(String),
    series_id UInt64 CODEC(Delta, ZSTD(1)),
    ts        DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    arrived   SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY (tenant, metric, series_id, ts)
SETTINGS materialize_ttl_recalculate_only = 1{without_statistics};

-- Raised after every write into time that queries may have cached; part of every cache key.
CREATE TABLE IF NOT EXISTS data_versions
(
    tenant  LowCardinality(String),
    metric  LowCardinality(String),
    block   DateTime('UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, metric, block)
SETTINGS index_granularity = 256, materialize_ttl_recalculate_only = 1;

CREATE TABLE IF NOT EXISTS alert_events
(
    tenant       LowCardinality(String),
    rule_id      LowCardinality(String),
    revision     String,
    alert        LowCardinality(String),
    state        LowCardinality(String),
    labels       Map(LowCardinality(String), String),
    annotations  Map(LowCardinality(String), String),
    value        Float64,
    active_at    DateTime64(3, 'UTC'),
    evaluated_at DateTime64(3, 'UTC'),
    emitted_at   DateTime64(3, 'UTC'),
    key          String,
    seq          UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(evaluated_at)
ORDER BY (tenant, rule_id, key)
SETTINGS materialize_ttl_recalculate_only = 1;

CREATE TABLE IF NOT EXISTS rejections
(
    tenant      LowCardinality(String),
    source      String,
    id          LowCardinality(String),
    message     String,
    value       String,
    limit       String,
    setting     LowCardinality(String),
    series      UInt64,
    samples     UInt64,
    received_at DateTime64(3, 'UTC'),
    sample      String,
    key         UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(received_at)
ORDER BY (tenant, id, received_at, key)
SETTINGS materialize_ttl_recalculate_only = 1;
