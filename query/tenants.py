"""Whose data a request may see."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from query.errors import ConfigError, QueryError, bad_data
from schemas import strict

# As the gate's: no other tenant has data.
_TENANT = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


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
        if not _TENANT.match(tenant):
            raise bad_data("TG-query-tenant", f"X-Scope-OrgID {tenant[:140]!r} is not 1 to 64 of A-Z a-z 0-9 _ . -")
        return tenant


class KeyTenants:
    """Auth key: only the API key says it. Keys are known by their hash, so the file gives none away."""

    def __init__(self, tenants: Mapping[str, str]) -> None:
        for digest, tenant in tenants.items():
            if not _DIGEST.match(str(digest)) or not _TENANT.match(str(tenant)):
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
        # Hashing first: the comparison then tells an attacker nothing about the key.
        tenant = self._tenants.get(hashlib.sha256(key.strip().encode()).hexdigest())
        if scheme.lower() != "bearer" or tenant is None:
            raise QueryError(401, "unauthorized", "TG-query-auth", "an API key is needed: Authorization: Bearer KEY")
        return tenant
