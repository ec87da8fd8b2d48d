-- Digests are stored as plain strings, the bytes of ClickHouse's own state. As states each is read into an object and
-- written back whenever rows are merged: 2.2 us a row and merge, 0.9 as a string. tdigest is the same as a state, for
-- quantilesTDigestMerge over a table itself; the views below have it as digest, as before.
-- Jobs of before go on writing: what they send as a state is its bytes.
ALTER TABLE distributions MODIFY COLUMN digest String CODEC(ZSTD(1)) SETTINGS alter_sync = 0;
ALTER TABLE rollup_1m MODIFY COLUMN digest String CODEC(ZSTD(1)) SETTINGS alter_sync = 0;
ALTER TABLE rollup_5m MODIFY COLUMN digest String CODEC(ZSTD(1)) SETTINGS alter_sync = 0;
ALTER TABLE rollup_1h MODIFY COLUMN digest String CODEC(ZSTD(1)) SETTINGS alter_sync = 0;
ALTER TABLE rollup_1d MODIFY COLUMN digest String CODEC(ZSTD(1)) SETTINGS alter_sync = 0;

ALTER TABLE distributions ADD COLUMN IF NOT EXISTS tdigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
    ALIAS CAST(digest, 'AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)');
ALTER TABLE rollup_1m ADD COLUMN IF NOT EXISTS tdigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
    ALIAS CAST(digest, 'AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)');
ALTER TABLE rollup_5m ADD COLUMN IF NOT EXISTS tdigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
    ALIAS CAST(digest, 'AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)');
ALTER TABLE rollup_1h ADD COLUMN IF NOT EXISTS tdigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
    ALIAS CAST(digest, 'AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)');
ALTER TABLE rollup_1d ADD COLUMN IF NOT EXISTS tdigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
    ALIAS CAST(digest, 'AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)');

-- A row is rewritten once a level of parts: log(parts) to this base. At 5, the default, merges took two thirds of ClickHouse's
-- CPU. At 10 a day's blocks of a second make five levels instead of seven, and about as many parts, 25 instead of 18.
ALTER TABLE samples MODIFY SETTING merge_selector_base = 10;
ALTER TABLE rollup_1m MODIFY SETTING merge_selector_base = 10;
ALTER TABLE rollup_5m MODIFY SETTING merge_selector_base = 10;

-- A row is one distribution: many values of a series at one time. p50, p95 and p99 are its own; merge digest over others.
CREATE OR REPLACE VIEW v_distributions AS
SELECT
    points.tenant AS tenant,
    points.metric AS name,
    known.labels AS labels,
    points.ts AS time,
    points.count AS count,
    points.sum AS sum,
    points.sum / points.count AS avg,
    points.min AS min,
    points.max AS max,
    finalizeAggregation(points.tdigest)[1] AS p50,
    finalizeAggregation(points.tdigest)[2] AS p95,
    finalizeAggregation(points.tdigest)[3] AS p99,
    points.tdigest AS digest,
    points.series_id AS series_id
FROM (SELECT *, tdigest FROM distributions FINAL) AS points
LEFT JOIN (SELECT tenant, metric, series_id, labels FROM series FINAL) AS known
    ON known.tenant = points.tenant AND known.metric = points.metric AND known.series_id = points.series_id;

-- digest holds the whole distribution: merge it with quantilesTDigestMerge(level, ...) over time or series. p50, p95 and
-- p99 are those of one series in one window and must not be averaged. The tiers differ in the width of their windows only.
CREATE OR REPLACE VIEW v_rollup_1m AS
SELECT
    points.tenant AS tenant,
    points.metric AS name,
    known.labels AS labels,
    points.ts AS time,
    points.count AS count,
    points.sum AS sum,
    points.sum / points.count AS avg,
    points.min AS min,
    points.max AS max,
    points.first AS first,
    points.last AS last,
    points.increase AS increase,
    finalizeAggregation(points.tdigest)[1] AS p50,
    finalizeAggregation(points.tdigest)[2] AS p95,
    finalizeAggregation(points.tdigest)[3] AS p99,
    points.tdigest AS digest,
    points.series_id AS series_id
FROM (SELECT *, tdigest FROM rollup_1m FINAL) AS points
LEFT JOIN (SELECT tenant, metric, series_id, labels FROM series FINAL) AS known
    ON known.tenant = points.tenant AND known.metric = points.metric AND known.series_id = points.series_id;

CREATE OR REPLACE VIEW v_rollup_5m AS
SELECT
    points.tenant AS tenant,
    points.metric AS name,
    known.labels AS labels,
    points.ts AS time,
    points.count AS count,
    points.sum AS sum,
    points.sum / points.count AS avg,
    points.min AS min,
    points.max AS max,
    points.first AS first,
    points.last AS last,
    points.increase AS increase,
    finalizeAggregation(points.tdigest)[1] AS p50,
    finalizeAggregation(points.tdigest)[2] AS p95,
    finalizeAggregation(points.tdigest)[3] AS p99,
    points.tdigest AS digest,
    points.series_id AS series_id
FROM (SELECT *, tdigest FROM rollup_5m FINAL) AS points
LEFT JOIN (SELECT tenant, metric, series_id, labels FROM series FINAL) AS known
    ON known.tenant = points.tenant AND known.metric = points.metric AND known.series_id = points.series_id;

CREATE OR REPLACE VIEW v_rollup_1h AS
SELECT
    points.tenant AS tenant,
    points.metric AS name,
    known.labels AS labels,
    points.ts AS time,
    points.count AS count,
    points.sum AS sum,
    points.sum / points.count AS avg,
    points.min AS min,
    points.max AS max,
    points.first AS first,
    points.last AS last,
    points.increase AS increase,
    finalizeAggregation(points.tdigest)[1] AS p50,
    finalizeAggregation(points.tdigest)[2] AS p95,
    finalizeAggregation(points.tdigest)[3] AS p99,
    points.tdigest AS digest,
    points.series_id AS series_id
FROM (SELECT *, tdigest FROM rollup_1h FINAL) AS points
LEFT JOIN (SELECT tenant, metric, series_id, labels FROM series FINAL) AS known
    ON known.tenant = points.tenant AND known.metric = points.metric AND known.series_id = points.series_id;

CREATE OR REPLACE VIEW v_rollup_1d AS
SELECT
    points.tenant AS tenant,
    points.metric AS name,
    known.labels AS labels,
    points.ts AS time,
    points.count AS count,
    points.sum AS sum,
    points.sum / points.count AS avg,
    points.min AS min,
    points.max AS max,
    points.first AS first,
    points.last AS last,
    points.increase AS increase,
    finalizeAggregation(points.tdigest)[1] AS p50,
    finalizeAggregation(points.tdigest)[2] AS p95,
    finalizeAggregation(points.tdigest)[3] AS p99,
    points.tdigest AS digest,
    points.series_id AS series_id
FROM (SELECT *, tdigest FROM rollup_1d FINAL) AS points
LEFT JOIN (SELECT tenant, metric, series_id, labels FROM series FINAL) AS known
    ON known.tenant = points.tenant AND known.metric = points.metric AND known.series_id = points.series_id;
