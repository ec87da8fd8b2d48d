"""Single-object encoding: what is read, what is refused, and how schemas evolve."""

import copy
import json
from importlib import resources
from io import BytesIO

import avro.io
import avro.schema
import pytest
from fastavro import parse_schema
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import MAGIC, Codec, CodecError, codec, fingerprint_of, load_schema

NAMES = ["metric_batch", "series_set", "metric", "frame", "rejected", "alert_event"]
METRIC = {
    "tenant": "acme",
    "source": "web-1",
    "name": "up",
    "labels": {"job": "node"},
    "timestamp": 1_700_000_000_000,
    "value": 1.5,
    "type": "gauge",
    "unit": "",
}
# A contract: producers carry these bytes. A changed fingerprint needs the old schema kept as a pinned writer.
PINNED = {
    "metric_batch": "639c238564eeefce",
    "metric_batch_1": "8d3da49f1de8f5f5",
    "metric_batch_2": "8c4f894e67279443",
    "metric": "3f4f08e2ce448a5e",
    "frame": "6ef3671eac14bad3",
    "frame_1": "3f31f23835584fd1",
    "rejected": "b787a544fb4e7167",
    "rejected_1": "9cebe214c8ea3d91",
    "alert_event": "430aede3766daaf2",
    "alert_event_3": "46da871cf3bad680",
    "alert_event_2": "4e0344f4ac7c2d57",
    "alert_event_1": "67b57d0a14b20d4b",
    "alert_state": "07fac04a40973a1a",
    "alert_state_3": "86843a3b7eac3611",
    "alert_state_2": "4bfa3b9e972a0a8a",
    "alert_state_1": "03505f33592225bc",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_field_says_what_it_is(name: str) -> None:
    def walk(node: object) -> None:
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, dict):
            for field in node.get("fields", []):
                assert field.get("doc", "").strip(), f"{name}.{field['name']} has no doc"
            for child in node.values():
                walk(child)

    walk(json.loads(resources.files("schemas").joinpath("avro", f"{name}.avsc").read_text()))


@pytest.mark.parametrize(("name", "fingerprint"), PINNED.items())
def test_fingerprints_are_pinned(name: str, fingerprint: str) -> None:
    assert fingerprint_of(load_schema(name)).hex() == fingerprint


def test_the_body_is_what_the_reference_library_reads() -> None:
    schema = avro.schema.parse(resources.files("schemas").joinpath("avro", "metric.avsc").read_text())
    body = codec("metric").encode(METRIC)[10:]
    assert avro.io.DatumReader(schema).read(avro.io.BinaryDecoder(BytesIO(body))) == METRIC


def test_a_record_written_by_the_reference_library_is_read() -> None:
    schema = avro.schema.parse(resources.files("schemas").joinpath("avro", "metric.avsc").read_text())
    out = BytesIO()
    avro.io.DatumWriter(schema).write(METRIC, avro.io.BinaryEncoder(out))
    assert codec("metric").decode(codec("metric").header + out.getvalue()) == METRIC


RECORD = codec("metric").encode(METRIC)

REFUSED = [
    # what, record, kind
    ("nothing", b"", "truncated"),
    ("half a header", RECORD[:9], "truncated"),
    ("another magic", b"PK" + RECORD[2:], "magic"),
    ("another schema", MAGIC + b"\0" * 8 + RECORD[10:], "fingerprint"),
    ("cut in a string", RECORD[:14], "truncated"),
    ("cut in the last field", RECORD[:-1], "truncated"),
    ("more behind the end", RECORD + b"\0", "body"),
    ("a string of 2**62 bytes", RECORD[:10] + b"\xfe" * 8 + b"\x7f", "truncated"),
    ("a string of negative length", RECORD[:10] + b"\x03" + RECORD[11:], "truncated"),
    ("no UTF-8", RECORD[:10] + b"\x02\xff" + RECORD[15:], "body"),
    ("larger than the limit", RECORD + b"\0" * (9 << 20), "oversized"),
]


@pytest.mark.parametrize(("record", "kind"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(record: bytes, kind: str) -> None:
    with pytest.raises(CodecError) as caught:
        codec("metric").decode(record)
    assert caught.value.kind == kind


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_and_never_crash(body: bytes) -> None:
    for name in ("metric", "metric_batch"):
        try:
            codec(name).decode(codec(name).header + body)
        except CodecError as error:
            assert error.kind in {"truncated", "body"}


def newer(schema: dict[str, object]) -> object:
    """Return the schema as a later version may have it: one field more, with a default."""
    later = copy.deepcopy(schema)
    fields = later["fields"]
    assert isinstance(fields, list)
    fields.append({"name": "added_later", "type": ["null", "string"], "default": None, "doc": "New."})
    for key in list(later):
        if key.startswith("__"):
            del later[key]
    return parse_schema(later, named_schemas={})


TRUTH: dict[str, object] = {
    "concerns": "k",
    "late": [{"labels": {"a": "b"}, "timestamp": 1, "value": 2.0, "arrived_at": 3}],
    "late_more": 4,
}
UNTOLD: dict[str, object] = {"concerns": "", "late": [], "late_more": 0}
TIMES: dict[str, object] = {"starts_at": 5, "ends_at": 6, "resend": 7}
WHOSE: dict[str, object] = {"address": "a", "demotions": 8}
NOBODYS: dict[str, object] = {"address": "", "demotions": 0}
EARLIER: list[tuple[str, str, dict[str, object], dict[str, object]]] = [
    # present, earlier, what the earlier does not know of, what that is then
    ("metric_batch", "metric_batch_1", {"received_at": 7, "weights": b"1234"}, {"received_at": None, "weights": None}),
    ("metric_batch", "metric_batch_2", {"weights": b"1234"}, {"weights": None}),
    ("frame", "frame_1", {"weights": b"1234"}, {"weights": None}),
    ("rejected", "rejected_1", {"partition": 3, "offset": 4}, {"partition": -1, "offset": -1}),
    ("alert_event", "alert_event_1", {**TIMES, **TRUTH, **WHOSE}, {**dict.fromkeys(TIMES, 0), **UNTOLD, **NOBODYS}),
    ("alert_event", "alert_event_2", {**TRUTH, **WHOSE}, {**UNTOLD, **NOBODYS}),
    ("alert_event", "alert_event_3", WHOSE, NOBODYS),
]


@pytest.mark.parametrize(("name", "version", "unknown", "default"), EARLIER, ids=[row[1] for row in EARLIER])
def test_an_earlier_version_is_read_as_the_present_one(
    name: str, version: str, unknown: dict[str, object], default: dict[str, object]
) -> None:
    earlier = load_schema(version)
    record = sample(earlier)
    written = Codec(earlier).encode(record)
    assert codec(name).decode(written) == {**record, **default}
    # A job of the earlier version refuses what it cannot know, instead of reading it wrong.
    with pytest.raises(CodecError, match="not pinned"):
        Codec(earlier).decode(codec(name).encode({**record, **unknown}))
    # Given the new fingerprint, it reads all that it knows of.
    told = Codec(earlier, [load_schema(name)])
    assert told.decode(codec(name).encode({**record, **unknown})) == record


def test_a_state_that_a_reader_does_not_know_is_inactive_to_it() -> None:
    present, earlier = load_schema("alert_event"), load_schema("alert_event_2")
    record = {**sample(present), "state": "missed"}
    read = Codec(earlier, [present]).decode(Codec(present).encode(record))
    assert read["state"] == "inactive" and read["key"] == record["key"]


@pytest.mark.parametrize("name", ["metric_batch", "metric", "frame", "rejected", "alert_event"])
def test_old_readers_read_new_writers_and_the_reverse(name: str) -> None:
    text = resources.files("schemas").joinpath("avro", f"{name}.avsc").read_text()
    old_schema, new_schema = load_schema(name), newer(json.loads(text))
    old_alone, old = Codec(old_schema), Codec(old_schema, [new_schema])
    new = Codec(new_schema, [old_schema])
    record = sample(old_schema)
    assert new.decode(old.encode(record)) == {**record, "added_later": None}
    assert old.decode(new.encode({**record, "added_later": "x"})) == record
    with pytest.raises(CodecError, match="not pinned"):
        old_alone.decode(new.encode({**record, "added_later": "x"}))


def sample(schema: dict[str, object]) -> dict[str, object]:
    """Return a record of the schema with something in every field."""
    plain = {"string": "x", "bytes": b"12345678", "long": 7, "int": 7, "double": 0.5}
    record: dict[str, object] = {}
    fields = schema["fields"]
    assert isinstance(fields, list)
    for field in fields:
        kind = field["type"]
        if isinstance(kind, list):
            record[field["name"]] = None
        elif isinstance(kind, dict):
            items = [sample(kind["items"])] if isinstance(kind.get("items"), dict) else ["m"]
            record[field["name"]] = {"map": {"a": "b"}, "enum": "firing", "array": items}[kind["type"]]
        else:
            record[field["name"]] = plain[kind]
    return record
