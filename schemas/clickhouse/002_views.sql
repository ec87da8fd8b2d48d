-- Views for people: stable names over tables that may change. Columns: name, labels, time, value and what else there is.
-- Rows are seen once, repeats and superseded rows left out (FINAL). Give a name, and a tenant if there are several:
-- both go down to the primary key of the tables.

CREATE OR REPLACE VIEW v_series AS
SELECT
    tenant,
    metric AS name,
    labels,
    type,
    unit,
    first_seen,
    last_seen,
    series_id
FROM series FINAL;

CREATE OR REPLACE VIEW v_samples AS
SELECT
    points.tenant AS tenant,
    points.metric AS name,
    known.labels AS labels,
    points.ts AS time,
    points.value AS value,
    points.series_id AS series_id
FROM (SELECT tenant, metric, series_id, ts, value FROM samples FINAL) AS points
LEFT JOIN (SELECT tenant, metric, series_id, labels FROM series FINAL) AS known
    ON known.tenant = points.tenant AND known.metric = points.metric AND known.series_id = points.series_id;

-- digest holds the whole distribution: merge it with quantilesTDigestMerge(level, ...) over time or series. p50, p95 and
-- p99 are those of one series in one minute and must not be averaged.
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
    finalizeAggregation(points.digest)[1] AS p50,
    finalizeAggregation(points.digest)[2] AS p95,
    finalizeAggregation(points.digest)[3] AS p99,
    points.digest AS digest,
    points.series_id AS series_id
FROM (SELECT * FROM rollup_1m FINAL) AS points
LEFT JOIN (SELECT tenant, metric, series_id, labels FROM series FINAL) AS known
    ON known.tenant = points.tenant AND known.metric = points.metric AND known.series_id = points.series_id;

CREATE OR REPLACE VIEW v_rejections AS
SELECT tenant, source, id, message, value, limit, setting, series, samples, received_at AS time
FROM rejections FINAL;

CREATE OR REPLACE VIEW v_alerts AS
SELECT tenant, rule_id, alert, state, labels, annotations, value, active_at, evaluated_at AS time, seq
FROM alert_events FINAL;
