"""Label sets of a result: dropping names, and the rule that no two series of a result may look alike."""

from collections.abc import Iterable

import numpy as np

from promql.columns import NAME, Labels
from promql.errors import EXECUTION, PromqlError
from promql.result import Vector
from promql.text import BROKEN_BYTES

Signature = tuple[tuple[str, str], ...]


def signature(labels: Labels) -> Signature:
    """Return a hashable form of a label set."""
    return tuple(sorted(labels.items()))


def shown(labels: Labels) -> str:
    """Return a label set as people read it: name{a="b", c="d"}."""
    pairs = [f"{name}={quoted(value)}" for name, value in signature(labels) if name != NAME]
    return labels.get(NAME, "") + (f"{{{', '.join(pairs)}}}" if pairs or NAME not in labels else "")


_ESCAPES = {
    "\\": "\\\\", '"': '\\"', "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def quoted(text: str) -> str:
    """Return a text between double quotes, what cannot be seen escaped, as Go's strconv.Quote."""
    plain = text.isprintable() and '"' not in text and "\\" not in text
    return f'"{text}"' if plain else f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    code = ord(char)
    if char in _ESCAPES:
        return _ESCAPES[char]
    if BROKEN_BYTES <= code <= BROKEN_BYTES + 0xFF:
        return f"\\x{code - BROKEN_BYTES:02x}"
    if char.isprintable():
        return char
    if code < ord(" ") or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


# What says which quantity a series measures; a function's result is another one.
METADATA = frozenset({NAME, "__type__", "__unit__"})


def drop_name(labels: Iterable[Labels]) -> list[Labels]:
    """Return the label sets without name, type and unit."""
    return [{name: value for name, value in one.items() if name not in METADATA} for one in labels]


def prune(vector: Vector) -> Vector:
    """Return the vector without series that are present at no step."""
    alive = vector.present.any(axis=1)
    if alive.all():
        return vector
    rows = np.flatnonzero(alive)
    return Vector([vector.labels[row] for row in rows], vector.values[rows], vector.present[rows])


def unique(vector: Vector) -> Vector:
    """Return the vector with series of equal labels made one; raises EXECUTION where two are present at one step."""
    places: dict[Signature, int] = {}
    rows = np.array([places.setdefault(signature(one), len(places)) for one in vector.labels], np.int64)
    if len(places) == len(rows):
        return vector
    size = (len(places), vector.values.shape[1])
    values, present = np.zeros(size), np.zeros(size, np.int64)
    np.add.at(present, rows, vector.present)
    if present.max() > 1:
        row = int(np.flatnonzero((present > 1).any(axis=1))[0])
        alike = shown(dict(list(places)[row]))
        raise PromqlError(EXECUTION, f"vector cannot contain metrics with the same labelset: {alike}")
    for source, target in enumerate(rows):
        values[target] = np.where(vector.present[source], vector.values[source], values[target])
    return Vector([dict(one) for one in places], values, present > 0)


def distinct(vector: Vector) -> Vector:
    """Return the pruned vector; raises EXECUTION if two of its series have equal labels, even at different steps."""
    vector = prune(vector)
    if len({signature(one) for one in vector.labels}) < len(vector.labels):
        raise PromqlError(EXECUTION, "vector cannot contain metrics with the same labelset")
    return vector
