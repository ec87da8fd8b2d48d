"""Text of files that people name."""

from pathlib import Path


def text_of(path: Path, most: int) -> str:
    """Return a file's text; of a larger one, as a dump or a device, so much that it is refused for its size.

    most: bytes that are taken. Raises OSError and UnicodeDecodeError.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    return data.decode("utf-8", "strict" if len(data) <= most else "replace")
