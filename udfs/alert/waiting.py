"""The late samples that wait to be judged: which of them are news, and what was known in their place."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from schemas.batch import Batch
from schemas.codec import STATE_BYTES
from schemas.nan import Mask
from udfs.alert.truth import Arrived
from udfs.alert.window import Window

# Kind of a piece that waits, in its field source: a late sample, or what it replaced.
LATE, BEFORE = "late", "before"


def rows(window: Window, places: npt.NDArray[np.intp]) -> Window:
    """Return the samples at some places."""
    chosen = np.zeros(len(window), bool)
    chosen[places] = True
    return window.part(chosen)


def marked(window: Window, late: Window) -> Mask:
    """Tell which samples of a window are among some others."""
    places = window.find(late.ids[late.codes], late.timestamps)
    found = np.zeros(len(window), bool)
    found[places[places >= 0]] = True
    return found


def waiting(
    tenant: str, stored: Iterable[tuple[int, bytes]], late_pieces: Sequence[bytes]
) -> tuple[Arrived, Window, dict[int, Window]]:
    """Return the late samples that are news, what they replaced, and the past by the tick that put it there."""
    empty = Window.empty(tenant)
    past = {tick: Window.decode(piece) for tick, piece in stored}
    pieces = [Batch.decode(piece, STATE_BYTES) for piece in late_pieces]
    replaced = [empty.append([piece]) for piece in pieces if piece.source == BEFORE]
    news = []
    for piece in pieces:
        if piece.source != LATE:
            continue
        one = empty.append([piece])
        for tick, held in past.items():
            if tick < piece.sent_at and len(one):  # what it holds had left the window before this piece came
                places = held.find(one.ids[one.codes], one.timestamps)
                smaller = places >= 0
                smaller[smaller] = one.values[smaller].view(np.uint64) > held.values[places[smaller]].view(np.uint64)
                if smaller.any():
                    replaced.append(rows(held, places[smaller]))
                one = one.part((places < 0) | smaller)
        if len(one):
            news.append((one, piece.received_at or 0))
    late = empty.append([one.batch() for one, _ in news]) if news else empty
    arrived = np.zeros(len(late), np.int64)
    for one, at in reversed(news):  # of several arrivals the first stands
        arrived[marked(late, one)] = at
    before = empty
    for one in reversed(replaced):  # the oldest value is the one that was known: it is put last
        before = one.append([before.part(~marked(before, one)).batch()]) if len(before) else one
    return Arrived(late, arrived), before, past
