"""How much one record of the job holds: what Kafka's sink, the topics or the gate do not take would end it for all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from schemas.batch import Series, encode_series_set
from schemas.series_set import MOST_LABELS, MOST_LABELS_EACH
from udfs.alert.judge import Judged
from udfs.alert.lifecycle import Labels, LateSample

# Labels and values of a batch; behind the gate, records are cut to about as much (udfs/gate/cut.py).
BATCH_BYTES, BATCH_SERIES = 400 << 10, 5000
# Characters of all labels of a series or an alert. The gate takes some 45,000 by default.
LABEL_CHARACTERS = 64 << 10
# Texts of all annotations of an event, and of why a rule fails.
ANNOTATION_BYTES, REASON_BYTES = 256 << 10, 2000


def fits(labels: Labels) -> bool:
    """Tell whether a record may carry these labels."""
    return _characters(labels) <= LABEL_CHARACTERS


def _characters(labels: Labels) -> int:
    return sum([len(name) + len(text) for name, text in labels])


def fitting(judged: Judged) -> tuple[Judged, str]:
    """Return what a tick made without instances whose labels are too long, and why some are left out, "" if none is."""
    large = [one.labels for one in judged.memory.instances if not fits(one.labels)]
    if not large:
        return judged, ""
    kept = tuple(one for one in judged.memory.instances if fits(one.labels))
    name, text = max(large[0], key=lambda pair: len(pair[1]))
    why = (
        f"TG-rule-labels: {len(large)} of the results left out; the labels of the first have {_characters(large[0])} "
        f"characters, {shortened(name, 200)!r} alone {len(text)}; at most {LABEL_CHARACTERS}"
    )
    made = tuple(one for one in judged.transitions if fits(one.labels))
    return replace(judged, memory=replace(judged.memory, instances=kept), transitions=made), why


def sets(series: Sequence[Series]) -> Iterator[tuple[slice, bytes]]:
    """Yield places of series and their encoded set, in order, so many at a time as go into one batch.

    A series that is larger than that is one of its own.
    """
    for begin in range(0, len(series), BATCH_SERIES):
        yield from _halved(series, begin, min(begin + BATCH_SERIES, len(series)))


def _halved(series: Sequence[Series], begin: int, end: int) -> Iterator[tuple[slice, bytes]]:
    encoded = encode_series_set(series[begin:end])
    half = (end - begin) // 2
    if not half or (len(encoded) + 8 * (end - begin) <= BATCH_BYTES and _readable(series[begin:end])):
        yield slice(begin, end), encoded
        return
    yield from _halved(series, begin, begin + half)
    yield from _halved(series, begin + half, end)


def _readable(series: Sequence[Series]) -> bool:
    """Tell whether a set has no more labels than are read: else one series would cost all the others of its batch."""
    counts = [len(one.labels) for one in series]
    return max(counts) <= MOST_LABELS_EACH or sum(counts) <= MOST_LABELS


def annotations(texts: Mapping[str, str]) -> dict[str, str]:
    """Return annotations as they are, or if they are too large, each cut to an equal share."""
    if sum(len(text.encode()) for text in texts.values()) <= ANNOTATION_BYTES:
        return dict(texts)
    return {name: shortened(text, ANNOTATION_BYTES // len(texts)) for name, text in texts.items()}


def shortened(text: str, most: int) -> str:
    """Return a text, cut behind so many bytes and marked if it is longer."""
    data = text.encode()
    if len(data) <= most:
        return text
    return f"{data[:most].decode(errors='ignore')}… (TG-text-cut: {len(data)} bytes; at most {most})"


def late_samples(late: Sequence[LateSample]) -> Sequence[LateSample]:
    """Return the first late samples of an event, those whose labels have room in it."""
    room = LABEL_CHARACTERS
    for place, one in enumerate(late):
        room -= _characters(one.labels)
        if room < 0:
            return late[:place]
    return late
