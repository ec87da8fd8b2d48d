"""What a shell allows its programs (ulimit), as far as the stack depends on it."""

import resource

_LIFTED = (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)


def lift() -> None:
    """Raise the soft limits of open files and of a file's size to the hard ones, for this process and its children."""
    for one in _LIFTED:
        _, hard = resource.getrlimit(one)
        resource.setrlimit(one, (hard, hard))


def file_size() -> int | None:
    """Return the largest size of a file that this process could have, bytes; None if it is not limited.

    ClickHouse's engine says done of what was cut off there: no error of its own, and no insert that has failed.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if hard == resource.RLIM_INFINITY else hard
