"""What is scraped, and the labels that say so."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

_NAME = "[A-Za-z_][A-Za-z0-9_.:-]*"
_ENTRY = re.compile(rf"^(?:({_NAME})=)?(https?://.+)$")
# A comma may be part of a query: /federate?match[]={a="1",b="2"}.
_BETWEEN = re.compile(rf"\s+|,(?=(?:{_NAME}=)?https?://)")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint. job defaults to `scrape`; instance is host:port, as in Prometheus.

    url is without user and password: these are in authorization, the header's value, which nobody is shown.
    """

    url: str
    job: str
    instance: str
    authorization: str = field(default="", repr=False)

    @classmethod
    def parse(cls, entry: str) -> "Target":
        """Return the target of `URL` or `job=URL`; raises ValueError, which quotes nothing: it may be a password."""
        matched = _ENTRY.match(entry.strip())
        if matched is None:
            raise ValueError("is neither http(s)://host:port/path nor job=http(s)://host:port/path")
        job, url = matched[1] or "scrape", matched[2]
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise ValueError("has a host or a port that is none; in a user or password, write / as %2F") from None
        if not parts.hostname:
            raise ValueError("names no host")
        if "," in parts.path:
            raise ValueError("has a comma in its path: write it as %2C, or http:// before the next target")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        address = parts.netloc.rpartition("@")[2]
        return cls(url.replace(parts.netloc, address, 1), job, f"{host}:{port}", _authorization(parts))


def targets(value: str) -> list[Target]:
    """Return the targets of a list; raises ValueError, which quotes the entry unless the list holds passwords."""
    found = []
    for entry in _BETWEEN.split(value):
        if not (bare := entry.strip(",")):
            continue
        try:
            found.append(Target.parse(bare))
        except ValueError as error:
            which = f"target {len(found) + 1}" if "@" in value else repr(bare)
            raise ValueError(f"{which} {error}") from None
    return found


def _authorization(parts: SplitResult) -> str:
    if not (parts.username or parts.password):
        return ""
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


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
