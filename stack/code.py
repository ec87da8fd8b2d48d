"""The version of the code: a hash over source files, so that changed code is noticed without a release."""

import hashlib
from collections.abc import Iterable

from stack.home import ROOT


def version(packages: Iterable[str]) -> str:
    """Return 12 hex digits that change with any .py, .avsc or .sql file of the packages; empty for no packages."""
    files = sorted(
        path for package in packages for path in (ROOT / package).rglob("*") if path.suffix in (".py", ".avsc", ".sql")
    )
    if not files:
        return ""
    digest = hashlib.sha256()
    for path in files:
        data = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:12]
