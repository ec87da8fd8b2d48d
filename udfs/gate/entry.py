"""From a Kafka record to a batch: size, encoding, schema, tenant, source, shape."""

import numpy as np

from schemas.batch import Batch, Series, encode_series_set
from schemas.codec import MAGIC, CodecError, codec
from schemas.reason import Reason
from schemas.series_set import MOST_LABELS, MOST_LABELS_EACH
from schemas.tenant import is_tenant
from udfs.gate.limits import Limits
from udfs.gate.refusal import Refusal

# One point: 20 labels of 2,048 characters fit. Avro's maps would let a larger one cost what it likes.
_POINT_BYTES = 64 << 10

_TYPES = {"gauge", "counter", "histogram", "summary", "info", "stateset", "distribution"}

_REASONS = {
    "oversized": Reason.OVERSIZED,
    "truncated": Reason.TRUNCATED,
    "magic": Reason.NOT_AVRO,
    "fingerprint": Reason.UNKNOWN_SCHEMA,
    "body": Reason.MALFORMED,
    "length": Reason.COLUMN_LENGTH,
    "count": Reason.SERIES_COUNT,
    "labels": Reason.LABEL_COUNT,
}


def refusal_of(error: CodecError, record: bytes, limits: Limits) -> Refusal:
    """Return the refusal that stands for a record which could not be read."""
    reason = _REASONS[error.kind]
    # What is shorter than a header may still show that it is none.
    if reason is Reason.TRUNCATED and not MAGIC.startswith(record[:2]):
        reason = Reason.NOT_AVRO
    if reason is Reason.SERIES_COUNT:
        return Refusal(reason, str(error), f"{limits.max_series_per_batch} series", sample=record)
    if reason is Reason.LABEL_COUNT:  # of all series together, as reading them costs: no setting changes it
        most = f"{MOST_LABELS} labels in a set, and {MOST_LABELS_EACH} a series"
        return Refusal(reason, str(error), most, sample=record, setting="")
    return Refusal(reason, str(error), sample=record)


def enter(record: bytes, limits: Limits) -> Batch | Refusal:
    """Return the batch of a MetricBatch or Metric record, or why there is none."""
    if len(record) > limits.max_record_bytes:
        # How many more is not known: the source cuts them off.
        most = f"{limits.max_record_bytes} bytes"
        return Refusal(Reason.OVERSIZED, f"more than {most}", most, sample=record)
    if len(record) > _POINT_BYTES and codec("metric").knows(record):
        value = f"a Metric of {len(record)} bytes"
        return Refusal(Reason.OVERSIZED, value, f"{_POINT_BYTES} bytes", sample=record, setting="")
    try:
        batch = _single(record) if codec("metric").knows(record) else Batch.decode(record)
    except CodecError as error:
        return refusal_of(error, record, limits)
    width = 0 if batch.index is not None else batch.values.shape[1]
    if width > limits.max_series_per_batch:
        return Refusal(
            Reason.SERIES_COUNT, str(width), f"{limits.max_series_per_batch} series", width, batch.values.size
        )
    return _unnamed(batch, record, limits) or batch


def _unnamed(batch: Batch, record: bytes, limits: Limits) -> Refusal | None:
    """Return why a batch's tenant or source is none."""
    if not is_tenant(batch.tenant):
        return Refusal(Reason.TENANT, batch.tenant, "64 characters", samples=batch.values.size, sample=record)
    longest = limits.max_label_value_length  # the source becomes a label where series fold
    if len(batch.source) > longest or "\0" in batch.source:
        setting = "" if "\0" in batch.source else None
        most = f"{longest} characters"
        return Refusal(Reason.SOURCE, batch.source, most, samples=batch.values.size, sample=record, setting=setting)
    return None


def _single(record: bytes) -> Batch:
    """Return one point as a batch of one series."""
    point = codec("metric").decode(record)
    kind = point["type"]
    known = kind if kind in _TYPES else "unknown"
    series = Series(point["name"], tuple(sorted(point["labels"].items())), known, point["unit"])
    stamp = point["timestamp"]
    if not -(1 << 63) <= stamp < 1 << 63:
        raise CodecError("body", f"timestamp {stamp} does not fit 64 bits")
    return Batch(
        point["tenant"],
        point["source"],
        0,  # it carries no clock of its sender
        encode_series_set([series]),
        np.array([stamp], dtype=np.int64),
        np.array([[point["value"]]]),
    )
