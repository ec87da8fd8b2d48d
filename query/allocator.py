"""How the process keeps the memory of large arrays between uses.

An evaluation makes some twenty arrays of a few megabytes and drops them. glibc gives such memory back to the system
each time, and taking it again, page by page, was half of a query's CPU: sum(rate()) of 2,000 series at 241 steps took
71 ms and takes 31.
"""

import ctypes

# glibc, malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# What is larger than this goes back at once; free memory at the end of the heap is kept up to this much.
MMAPPED_BYTES = 64 << 20
KEPT_BYTES = 256 << 20


def keep_memory() -> bool:
    """Tell malloc to keep what was freed; return whether it understood. Other C libraries than glibc do not."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # One arena: those of threads have heaps of 64 MB, which are given back whole.
    wanted = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, MMAPPED_BYTES), (_TRIM_THRESHOLD, KEPT_BYTES))
    return all(mallopt(what, value) == 1 for what, value in wanted)
