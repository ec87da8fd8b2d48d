-- Views for people: stable names over tables that may change. Columns: name, labels, time, value and what else there is.
-- Rows are seen once, repeats and superseded rows left out (FINAL). Give a name, and a tenant if there are several:
-- both go down to the primary key of the tables.
-- Those of rollups and distributions are in 006_digests.sql.
-- also: 6fbf5658036e8ca0e1538ea5585c21f7e0f30caec9d74fbad750fb186fca0e58
-- (that text had them too; 006 replaces them)

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

-- A row says that a window has closed: up to its end the tenant's data are complete. expected: the sources of the hour
-- that ends with the window; of 1h the 24 hours, of 1d the 24 days. Give tenant and tier: they reach the primary key.
CREATE OR REPLACE VIEW v_completeness AS
SELECT
    tenant,
    tier,
    ts AS time,
    toDateTime(ts, 'UTC') + width AS complete_until,
    length(sources) AS seen,
    length(around) AS expected,
    seen / greatest(expected, 1) AS share
FROM
(
    SELECT tenant, tier, ts, sources, if(tier = '1m', 60, 300) AS width,
        groupUniqArrayArray(sources) OVER (PARTITION BY tenant, tier ORDER BY ts RANGE BETWEEN 3599 PRECEDING AND CURRENT ROW) AS around
    FROM completeness FINAL
    WHERE tier IN ('1m', '5m')
    UNION ALL
    SELECT tenant, tier, ts, sources, 3600 AS width,
        groupUniqArrayArray(sources) OVER (PARTITION BY tenant, tier ORDER BY ts RANGE BETWEEN 86399 PRECEDING AND CURRENT ROW) AS around
    FROM completeness FINAL
    WHERE tier = '1h'
    UNION ALL
    SELECT tenant, tier, ts, sources, 86400 AS width,
        groupUniqArrayArray(sources) OVER (PARTITION BY tenant, tier ORDER BY ts RANGE BETWEEN 2073599 PRECEDING AND CURRENT ROW) AS around
    FROM completeness FINAL
    WHERE tier = '1d'
);

CREATE OR REPLACE VIEW v_rejections AS
SELECT tenant, source, id, message, value, limit, setting, series, samples, received_at AS time
FROM rejections FINAL;

CREATE OR REPLACE VIEW v_alerts AS
SELECT tenant, rule_id, alert, state, labels, annotations, value, active_at, evaluated_at AS time, seq
FROM alert_events FINAL;
