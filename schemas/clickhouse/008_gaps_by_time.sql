-- v_gaps in the order of time. By offsets, as in 007, rows of a topic that was deleted lay in the gaps of the one made anew,
-- and hid them for as long as the ledger keeps them. Where offsets fall the topic was made anew; within a minute nothing
-- tells the two apart.
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
        lagInFrame(offset, 1, offset) OVER by_time AS before,
        lagInFrame(minute, 1, minute) OVER by_time AS minute_before
    FROM (SELECT DISTINCT partition, offset, minute FROM ledger)
    WINDOW by_time AS (PARTITION BY partition ORDER BY minute, offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE offset > before + 1;
