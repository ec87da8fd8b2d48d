"""Answers, and their parts at some of the steps: put together, their notes in one order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from promql.result import Matrix, Result, Scalar, Vector
from query.blocks import Steps
from query.cache import Block
from query.pieces import join


@dataclass(frozen=True, slots=True)
class Answer:
    """The value at the steps, and what a reader must know of it. stale: of blocks that may be outdated."""

    value: Result
    infos: Sequence[str] = ()
    warnings: Sequence[str] = ()
    stale: bool = False


Piece = tuple[Steps, Block]


def value_bytes(value: Result) -> int:
    """Return what a value takes, about, its labels aside: those are the series' that it was made of."""
    match value:
        case Vector():
            return value.values.nbytes + value.present.nbytes
        case Matrix():
            return value.columns.values.nbytes + value.columns.timestamps.nbytes
    return 0


def part_of(steps: Steps, answer: Answer) -> Piece:
    """Return an answer at some of the steps as a part of one; a scalar is a series without labels."""
    value = answer.value
    if isinstance(value, Scalar):
        value = Vector([{}], value.values[None], np.ones((1, steps.size), np.bool_))
    assert isinstance(value, Vector), type(value)
    return steps, Block(value, tuple(answer.infos), tuple(answer.warnings))


def scalar(value: Result) -> Scalar:
    """Return what part_of made of a scalar as one."""
    assert isinstance(value, Vector), type(value)
    return Scalar(value.values[0])


def joined(pieces: Sequence[Piece], steps: Steps, max_cells: int) -> Answer:
    """Return pieces as one answer, its notes in one order whatever the pieces were."""
    value = join([(have, block.vector) for have, block in pieces], steps, max_cells)
    infos = sorted({info for _, block in pieces for info in block.infos})
    return Answer(value, infos, sorted({one for _, block in pieces for one in block.warnings}))
