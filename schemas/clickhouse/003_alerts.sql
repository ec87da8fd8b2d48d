-- What an alert's receiver is told: Alertmanager's startsAt and endsAt. 1970 stands for never.
ALTER TABLE alert_events
    ADD COLUMN IF NOT EXISTS starts_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC'),
    ADD COLUMN IF NOT EXISTS ends_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC');
