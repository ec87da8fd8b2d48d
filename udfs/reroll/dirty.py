"""A dirty window: late frames united, so that one read of raw samples serves them all."""

from collections.abc import Sequence

import numpy as np

from schemas.batch import Frame


def unite(frames: Sequence[Frame]) -> Frame:
    """Return one sparse frame with all samples of the frames (of one tenant and shard), each series once."""
    metrics = sorted({name for frame in frames for name in frame.metrics})
    place = {name: code for code, name in enumerate(metrics)}
    ids = np.concatenate([frame.series_ids for frame in frames])
    codes = np.concatenate(
        [np.array([place[name] for name in frame.metrics], dtype=np.uint32)[frame.metric_codes] for frame in frames]
    )
    unique, position, inverse = np.unique(ids, return_index=True, return_inverse=True)
    where = np.split(inverse, np.cumsum([len(frame.series_ids) for frame in frames])[:-1])
    parts = [frame.points() for frame in frames]
    return Frame(
        frames[0].tenant,
        frames[0].shard,
        metrics,
        codes[position],
        unique,
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([here[part[0]] for here, part in zip(where, parts, strict=True)]).astype(np.uint32),
    )
