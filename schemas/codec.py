"""Avro single-object encoding with pinned schemas.

A record on the wire is 0xC3 0x01, the 8-byte little-endian CRC-64-AVRO fingerprint of the writer's schema in
parsing canonical form, and the binary body (Avro specification 1.12, "Single-object encoding"). Only schemas that a
Codec was built with are read: a writer's schema never comes from the wire.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

MAGIC = b"\xc3\x01"
HEADER_BYTES = 10

Schema = Any

# Schemas that records on the wire may still be written with, beside the present one: producers of older versions, and
# frames that wait in state and topics.
EARLIER: Mapping[str, Sequence[str]] = {
    "metric_batch": ("metric_batch_1", "metric_batch_2"),
    "frame": ("frame_1",),
    "rejected": ("rejected_1",),
    "alert_event": ("alert_event_1", "alert_event_2", "alert_event_3"),
    "alert_state": ("alert_state_1", "alert_state_2", "alert_state_3"),
    "budget": ("budget_1",),
}


# Largest record that is looked at: 8 MB, the most that the gate takes, and what jobs add to it.
RECORD_BYTES = 9 << 20
# Largest state of one key. No producer writes it: what makes it bounds it (limits of the gate, budgets of rules).
STATE_BYTES = 1 << 30
# Schemas of what is never anything but state.
STATES = frozenset({"alert_state", "budget", "growth_state", "usage"})


class CodecError(ValueError):
    """A record that cannot be read.

    kind is one of truncated, oversized, magic, fingerprint, body, length, count, labels and unresolved.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


def load_schema(name: str) -> Schema:
    """Return the parsed schema of schemas/avro/<name>.avsc."""
    text = resources.files("schemas").joinpath("avro", f"{name}.avsc").read_text()
    # Each schema stands alone: fastavro's table of named types would otherwise be shared.
    return parse_schema(json.loads(text), named_schemas={})


def fingerprint_of(schema: Schema) -> bytes:
    """Return the 8 bytes that stand for a schema on the wire."""
    hexdigest = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    return bytes.fromhex(hexdigest)


class Codec:
    """Writes with one schema, reads what any of `writers` wrote, as `reader` would see it.

    limit is the largest record in bytes that is looked at.
    """

    def __init__(self, reader: Schema, writers: Sequence[Schema] = (), limit: int = RECORD_BYTES) -> None:
        self.reader = reader
        self.limit = limit
        self.header = MAGIC + fingerprint_of(reader)
        self._writers: Mapping[bytes, Schema] = {fingerprint_of(s): s for s in (reader, *writers)}

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Return the record as bytes; raises ValueError if it does not fit the schema."""
        out = BytesIO()
        out.write(self.header)
        schemaless_writer(out, self.reader, record, strict=True)
        return out.getvalue()

    def knows(self, data: bytes) -> bool:
        """Tell whether the record's fingerprint is one that this codec reads."""
        return data[:2] == MAGIC and data[2:HEADER_BYTES] in self._writers

    def decode(self, data: bytes, limit: int = 0) -> dict[str, Any]:
        """Return the record; raises CodecError on anything else than one whole record of a pinned schema.

        limit: another one than the codec's own, bytes.
        """
        if len(data) > (limit or self.limit):
            raise CodecError("oversized", f"record of {len(data)} bytes")
        if len(data) < HEADER_BYTES:
            raise CodecError("truncated", f"record of {len(data)} bytes, shorter than its header")
        if data[:2] != MAGIC:
            raise CodecError("magic", f"record starts with 0x{data[:2].hex()}, not with 0xc301")
        writer = self._writers.get(data[2:HEADER_BYTES])
        if writer is None:
            raise CodecError("fingerprint", f"schema fingerprint 0x{data[2:HEADER_BYTES].hex()} is not pinned here")
        # BytesIO shares the bytes, a slice would copy them.
        stream = BytesIO(data)
        stream.seek(HEADER_BYTES)
        try:
            record: dict[str, Any] = schemaless_reader(stream, writer, self.reader)
        except EOFError as error:
            raise CodecError("truncated", "record ends before its last field") from error
        except Exception as error:  # fastavro raises plain exceptions of many types on hostile bytes
            raise CodecError("body", f"{type(error).__name__}: {error}"[:200]) from error
        if stream.tell() != len(data):
            raise CodecError("body", f"{len(data) - stream.tell()} bytes behind the last field")
        return record


@cache
def codec(name: str) -> Codec:
    """Return the codec of schemas/avro/<name>.avsc, made once; it also reads what its earlier versions wrote."""
    limit = STATE_BYTES if name in STATES else RECORD_BYTES
    return Codec(load_schema(name), [load_schema(one) for one in EARLIER.get(name, ())], limit)


@cache
def _pinned() -> frozenset[bytes]:
    names = (one.name for one in resources.files("schemas").joinpath("avro").iterdir())
    return frozenset(fingerprint_of(load_schema(name[:-5])) for name in names if name.endswith(".avsc"))


def of_this_version(data: bytes) -> bool:
    """Tell whether a record was written with any schema that is known here, be it another than its topic's."""
    return data[:2] == MAGIC and data[2:HEADER_BYTES] in _pinned()
