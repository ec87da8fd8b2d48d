"""What a tenant may be called: it is part of every key."""

TENANT_NAME = r"[A-Za-z0-9_.-]{1,64}"
