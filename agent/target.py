"""What is scraped, and the labels that say so."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_ENTRY = re.compile(r"^(?:([A-Za-z_][A-Za-z0-9_.:-]*)=)?(https?://.+)$")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint. job defaults to `scrape`; instance is host:port, as in Prometheus."""

    url: str
    job: str
    instance: str

    @classmethod
    def parse(cls, entry: str) -> "Target":
        """Return the target of `URL` or `job=URL`; raises ValueError."""
        matched = _ENTRY.match(entry.strip())
        if matched is None:
            raise ValueError(f"{entry.strip()!r} is neither http(s)://host:port/path nor job=http(s)://host:port/path")
        job, url = matched[1] or "scrape", matched[2]
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError(f"{url!r} names no host")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(url, job, f"{host}:{port}")


def relabel(labels: Mapping[str, str], job: str, instance: str) -> Labels:
    """Return the sorted labels of a series with job and instance set by us.

    A label of the same name keeps its value as exported_<name> (Prometheus, honor_labels: false); empty values
    are no labels and are left out.
    """
    ours = {"instance": instance, "job": job}
    named = {name: value for name, value in labels.items() if value}
    for name in ours:
        value = named.pop(name, None)
        if value is not None:
            moved = f"exported_{name}"
            while moved in named:
                moved = f"exported_{moved}"
            named[moved] = value
    return tuple(sorted((named | ours).items()))
