-- Where a refused record lies in metrics.raw, as in the ledger; -1 where that is not known: it was refused by an earlier
-- version, or by none of the gate.
ALTER TABLE rejections
    ADD COLUMN IF NOT EXISTS partition Int32 DEFAULT -1,
    ADD COLUMN IF NOT EXISTS offset Int64 DEFAULT -1;

CREATE OR REPLACE VIEW v_rejections AS
SELECT tenant, source, id, message, value, limit, setting, series, samples, received_at AS time, partition, offset
FROM rejections FINAL;
