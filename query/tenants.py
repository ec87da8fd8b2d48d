"""Whose data a request may see."""

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from query.errors import ConfigError, QueryError, bad_data
from schemas import strict
from schemas.tenant import is_tenant

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
# How long the file of keys is not looked at again.
LOOK_S = 1.0

log = logging.getLogger(__name__)


class Tenants(Protocol):
    """Tells the tenant of a request."""

    def of(self, headers: Mapping[str, str]) -> str:
        """Return the tenant; raises QueryError."""
        ...


class OpenTenants:
    """Auth none: the header says it."""

    def __init__(self, default: str) -> None:
        self._default = default

    def of(self, headers: Mapping[str, str]) -> str:
        """Return X-Scope-OrgID, or the default."""
        tenant = headers.get("x-scope-orgid", "") or self._default
        if not is_tenant(tenant):
            raise bad_data("TG-query-tenant", f"X-Scope-OrgID {tenant[:140]!r} is not 1 to 64 of A-Z a-z 0-9 _ . -")
        return tenant


class KeyTenants:
    """Auth key: only the API key says it. Keys are known by their hash, so the file gives none away."""

    def __init__(self, tenants: Mapping[str, str]) -> None:
        for digest, tenant in tenants.items():
            if not _DIGEST.match(str(digest)) or not is_tenant(str(tenant)):
                raise ConfigError("TG-query-keys", f"{str(digest)[:70]!r}: {str(tenant)[:70]!r} is not sha256: tenant")
        self._tenants = dict(tenants)

    @classmethod
    def read(cls, path: str) -> "KeyTenants":
        """Return the tenants of a YAML file of sha256(key) → tenant; raises ConfigError."""
        try:
            known = strict.load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, strict.YamlFault) as error:
            raise ConfigError("TG-query-keys", f"cannot read {path}: {error}") from error
        if not isinstance(known, dict) or not known:
            raise ConfigError("TG-query-keys", f"{path} holds no map of sha256(key) to tenant")
        return cls(known)

    def of(self, headers: Mapping[str, str]) -> str:
        """Return the tenant of the bearer's key; X-Scope-OrgID means nothing here."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        # The bytes that came: a server hands headers on as latin-1, of which a key in UTF-8 may end like a blank.
        given = key.strip(" \t").encode("latin-1", "replace")
        # Hashing first: the comparison then tells an attacker nothing about the key.
        tenant = self._tenants.get(hashlib.sha256(given).hexdigest())
        if scheme.lower() != "bearer" or tenant is None:
            raise QueryError(401, "unauthorized", "TG-query-auth", "an API key is needed: Authorization: Bearer KEY")
        return tenant


class KeyFile:
    """Auth key, its file looked at once in LOOK_S seconds: a key that is taken out of it ends without a restart.

    ticks: monotonic seconds. For one thread, the event loop's.
    """

    def __init__(self, path: str, ticks: Callable[[], float]) -> None:
        self._path = path
        self._ticks = ticks
        # Before it is read: what changes meanwhile is read again.
        self._seen = self._state()
        self._looked_s = ticks()
        self._keys = KeyTenants.read(path)

    def of(self, headers: Mapping[str, str]) -> str:
        """Return the tenant of the bearer's key, as the file has it now."""
        now_s = self._ticks()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look()
        return self._keys.of(headers)

    def _look(self) -> None:
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._keys = KeyTenants.read(self._path)
        except ConfigError as error:
            # A slip of an editor must not lock everybody out; it is said once for each change.
            log.error("%s; the keys known before remain", error)
        else:
            log.info("TG-query-keys-read: %s", self._path)

    def _state(self) -> tuple[int, ...]:
        """Return what changes with the file, whether it is written or replaced; () if it is not there."""
        try:
            found = Path(self._path).stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino
