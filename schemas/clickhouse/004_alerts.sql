-- What an alert's receiver is told: Alertmanager's startsAt and endsAt. 1970 stands for never.
ALTER TABLE alert_events
    ADD COLUMN IF NOT EXISTS starts_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC'),
    ADD COLUMN IF NOT EXISTS ends_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC');

-- The rules as control.rules has them, the JSON whole. version: the record's time in Kafka, ms. gone: deleted.
CREATE TABLE IF NOT EXISTS alert_rules
(
    tenant  LowCardinality(String),
    rule_id String,
    version UInt64,
    gone    UInt8,
    body    String
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, rule_id);
