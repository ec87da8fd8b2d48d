-- v_gaps by offsets again, each topic for itself. By minutes, as in 008, a broker's clock that was ahead for a while made
-- gaps of records that are there. Offsets that fall, in the order of minutes, are a topic made anew, unless the offset
-- below was stamped sooner: then the clock had been ahead.
CREATE OR REPLACE VIEW v_gaps AS
SELECT
    partition,
    before + 1 AS first_offset,
    offset - 1 AS last_offset,
    offset - before - 1 AS records,
    least(minute_before, minute) AS since,
    greatest(minute_before, minute) AS until
FROM
(
    SELECT
        partition,
        offset,
        minute,
        lagInFrame(offset, 1, offset) OVER of_topic AS before,
        lagInFrame(minute, 1, minute) OVER of_topic AS minute_before
    FROM
    (
        SELECT
            partition,
            offset,
            minute,
            countIf(falls AND NOT follows)
                OVER (PARTITION BY partition ORDER BY minute, offset ROWS UNBOUNDED PRECEDING) AS topic
        FROM
        (
            SELECT
                partition,
                offset,
                minute,
                lagInFrame(offset, 1, offset) OVER by_time > offset AS falls,
                lagInFrame(offset, 1, offset) OVER by_offset + 1 = offset
                    AND lagInFrame(minute, 1, minute) OVER by_offset <= minute AS follows
            FROM (SELECT DISTINCT partition, offset, minute FROM ledger)
            WINDOW
                by_time AS (PARTITION BY partition ORDER BY minute, offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW),
                by_offset AS (PARTITION BY partition ORDER BY offset, minute ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        )
    )
    WINDOW of_topic AS (PARTITION BY partition, topic ORDER BY offset, minute ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE offset > before + 1;
