"""Refusals and alerts as rows."""

import math

import pyarrow as pa

from schemas.codec import codec
from sinks import rows

REJECTED = {
    "tenant": "acme",
    "source": "s",
    "id": "TG-too-old",
    "message": "m",
    "value": "v",
    "limit": "",
    "setting": "",
    "series": 1,
    "samples": 2,
    "received_at": 1000,
    "sample": b"\xff\x00",
    "partition": 3,
    "offset": 4,
}


def test_equal_rejections_get_equal_keys() -> None:
    record = codec("rejected").encode(REJECTED)
    other = codec("rejected").encode({**REJECTED, "received_at": 1001})
    table = rows.block("rejections", [record, record, other])
    keys = table["key"].to_pylist()
    assert keys[0] == keys[1] != keys[2]
    assert table.schema.field("sample").type == pa.binary()


def test_equal_refusals_of_two_records_are_two() -> None:
    """A queue that waited at a producer comes in one millisecond."""
    nowhere = {**REJECTED, "partition": -1, "offset": -1}
    places = [{**REJECTED, "partition": 5}, {**REJECTED, "offset": 5}, REJECTED, nowhere, nowhere, REJECTED]
    keys = rows.block("rejections", [codec("rejected").encode(one) for one in places])["key"].to_pylist()
    assert len({*keys[:4]}) == 4
    assert keys[2:4] == keys[:3:-1]


def test_a_refusal_that_is_worded_otherwise_is_the_same() -> None:
    """An upgrade goes on from a checkpoint: what was refused behind it is refused again, in the new code's words."""
    worded = {"message": "m; the limit is 5 series", "limit": "5 series", "setting": "max_series"}
    again = [{**REJECTED, **worded}, *({**REJECTED, name: other} for name, other in (("value", "w"), ("sample", b"x")))]
    told = rows.block("rejections", [codec("rejected").encode(one) for one in (REJECTED, *again)])
    first, reworded, *others = told["key"].to_pylist()
    assert first == reworded
    assert len({first, *others}) == 3


def test_alert_events_keep_labels_and_times() -> None:
    event = {
        "tenant": "acme",
        "rule_id": "g/a",
        "revision": "r",
        "alert": "a",
        "state": "firing",
        "labels": {"z": "1", "a": "2"},
        "annotations": {},
        "value": 1.5,
        "active_at": 1,
        "evaluated_at": 2,
        "emitted_at": 3,
        "key": "k",
        "seq": 4,
        "starts_at": 5,
        "ends_at": 6,
        "resend": 0,
        "concerns": "c",
        "late": [{"labels": {"a": "b"}, "timestamp": 7, "value": math.nan, "arrived_at": 8}],
        "late_more": 9,
        "address": "",
        "demotions": 0,
    }
    again = {**event, "resend": 1, "evaluated_at": 60_002}
    (row,) = rows.block("alert_events", [codec("alert_event").encode(one) for one in (event, again)]).to_pylist()
    assert rows.block("alert_events", [codec("alert_event").encode(again)]).num_rows == 0
    assert row["labels"] == [("a", "2"), ("z", "1")]
    assert (row["state"], row["seq"], row["evaluated_at"].microsecond) == ("firing", 4, 2000)
    assert row["late"] == '[{"labels":{"a":"b"},"timestamp":7,"value":null,"arrived_at":8}]'
    assert (row["concerns"], row["late_more"]) == ("c", 9)
