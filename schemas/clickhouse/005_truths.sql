-- What late samples say of an alert afterwards: rows of state missed and retracted. concerns: key of the firing that is
-- retracted. late: JSON, the samples that say so: [{labels, timestamp, value, arrived_at}], times ms since 1970 UTC, a
-- value that is no number null. late_more: how many more there are.
ALTER TABLE alert_events
    ADD COLUMN IF NOT EXISTS concerns String DEFAULT '',
    ADD COLUMN IF NOT EXISTS late String DEFAULT '[]',
    ADD COLUMN IF NOT EXISTS late_more UInt64 DEFAULT 0;

CREATE OR REPLACE VIEW v_alerts AS
SELECT tenant, rule_id, alert, state, labels, annotations, value, active_at, starts_at, evaluated_at AS time, seq, key,
    concerns, late, late_more
FROM alert_events FINAL;

-- Every revision of a rule that was applied: what `tidegauge why` replays. Rows are few, people edit rules by hand.
CREATE TABLE IF NOT EXISTS alert_rule_revisions
(
    tenant  LowCardinality(String),
    rule_id String,
    version UInt64,
    gone    UInt8,
    body    String
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, rule_id, version);

CREATE MATERIALIZED VIEW IF NOT EXISTS alert_rule_revisions_feed TO alert_rule_revisions AS
SELECT tenant, rule_id, version, gone, body
FROM alert_rules;

INSERT INTO alert_rule_revisions
SELECT tenant, rule_id, version, gone, body
FROM alert_rules;
