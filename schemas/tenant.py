"""What a tenant may be called: it is part of every key."""

import re

TENANT_NAME = r"[A-Za-z0-9_.-]{1,64}"
_WHOLE = re.compile(TENANT_NAME)


def is_tenant(name: str) -> bool:
    """Tell whether a tenant may be called so."""
    return _WHOLE.fullmatch(name) is not None
