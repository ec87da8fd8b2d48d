"""The policies in force, as control.policies has told them so far."""

from dataclasses import dataclass, field, replace

from schemas.policy import ANYONE, Policy, PolicyFault
from udfs.gate.limits import Limits


@dataclass(slots=True)
class Policies:
    """Policies by tenant. limits and max_series are what the settings say, for tenants without a policy."""

    limits: Limits
    max_series: int = 1_000_000
    _stored: dict[str, Policy] = field(default_factory=dict)
    _chosen: dict[str, tuple[Policy, Limits]] = field(default_factory=dict)

    def put(self, key: str, value: bytes | None) -> None:
        """Take one record of control.policies; None deletes. Raises PolicyFault and keeps what was in force before."""
        if value is None:
            self._stored.pop(key, None)
        else:
            policy = Policy.decode(value)
            if policy.tenant != key:
                raise PolicyFault(f"TG-policy-key: the record's key is {key!r}, its policy says {policy.tenant!r}")
            self._stored[key] = policy
        self._chosen.clear()

    def of(self, tenant: str) -> Policy:
        """Return the policy of a tenant."""
        return self._choose(tenant)[0]

    def limits_of(self, tenant: str) -> Limits:
        """Return the limits of a tenant."""
        return self._choose(tenant)[1]

    def _choose(self, tenant: str) -> tuple[Policy, Limits]:
        found = self._chosen.get(tenant)
        if found is None:
            default = Policy(tenant=ANYONE, max_series=self.max_series)
            policy = self._stored.get(tenant) or self._stored.get(ANYONE) or default
            if len(self._chosen) > 100_000:  # whatever tenants an attacker makes up
                self._chosen.clear()
            found = self._chosen[tenant] = policy, _limits(self.limits, policy)
        return found


def _limits(limits: Limits, policy: Policy) -> Limits:
    """Return the limits with what a policy says instead; closed windows bound how late a sample may be."""
    tolerance = limits.tolerance_s if policy.tolerance_s is None else min(policy.tolerance_s, limits.tolerance_s)
    grace = (
        limits.future_grace_s if policy.future_grace_s is None else min(policy.future_grace_s, limits.future_grace_s)
    )
    return replace(
        limits,
        tolerance_s=tolerance,
        future_grace_s=grace,
        max_labels=policy.max_labels or limits.max_labels,
        utf8=policy.utf8,
        server_clock=policy.clock == "server",
    )
