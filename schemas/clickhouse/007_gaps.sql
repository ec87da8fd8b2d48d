-- Records of metrics.raw of which the gate has told nothing, though it has of those before and behind them: Kafka deleted
-- them before it came (retention.ms), or a producer's transaction left its mark there. Those of the last minute may be on
-- their way. Where minutes run backwards the topic was made anew, and there is no gap.
CREATE OR REPLACE VIEW v_gaps AS
SELECT
    partition,
    before + 1 AS first_offset,
    offset - 1 AS last_offset,
    offset - before - 1 AS records,
    minute_before AS since,
    minute AS until
FROM
(
    SELECT
        partition,
        offset,
        minute,
        lagInFrame(offset, 1, offset) OVER by_place AS before,
        lagInFrame(minute, 1, minute) OVER by_place AS minute_before
    FROM (SELECT partition, offset, max(ledger.minute) AS minute FROM ledger GROUP BY partition, offset)
    WINDOW by_place AS (PARTITION BY partition ORDER BY offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE offset > before + 1 AND minute >= minute_before;
