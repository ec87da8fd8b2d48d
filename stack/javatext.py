"""Paths as Java's programs read them: any letter may be in a home's path."""

from collections.abc import Mapping
from pathlib import Path


def uri(path: Path) -> str:
    """Return the path as Flink takes it: its Path undoes no percent-encoding, so that there may be none."""
    return f"file://{path}"


def local(uri: str) -> Path:
    """Return the path that a file URI of Flink says, file:///path or file:/path."""
    return Path("/" + uri.removeprefix("file:").lstrip("/"))


def properties(settings: Mapping[str, object]) -> str:
    """Return a properties file, which Java reads as Latin-1 with escapes."""
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in settings.items())


def _escaped(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2))
    return "".join(chr(code) if 0x20 <= code < 0x7F else f"\\u{code:04x}" for code in codes)
