"""The policies in force, as control.policies has told them so far, each from its own time on.

Of a tenant's records the later one in the topic counts: it ends whatever was to hold at its time or after, which a
clock that was ahead has stamped.

A policy is in force for what the broker stamped DELAY_MS after it stamped the policy, and later. By then the gate has
heard of it; so a record is judged by the same policy whenever it is judged, and a replay decides as the first run did.
"""

import bisect
from dataclasses import dataclass, field, replace

from schemas.policy import ANYONE, Policy, PolicyFault
from udfs.gate.limits import Limits

DELAY_MS = 2000
_VERSIONS = 16  # of one tenant; what is older is forgotten
_EVER = 1 << 62
_SHARED = ("tolerance_s", "future_grace_s", "max_labels")  # limits that a setting and a policy have


@dataclass(frozen=True, slots=True)
class _Choice:
    """What holds for a tenant from since until until, ms."""

    since: int
    until: int
    policy: Policy
    limits: Limits


@dataclass(slots=True)
class Policies:
    """Policies by tenant. limits and max_series are what the settings say, where a policy says nothing.

    Times are the broker's, ms since 1970 UTC.
    """

    limits: Limits
    max_series: int = 1_000_000
    _stored: dict[str, list[tuple[int, Policy | None]]] = field(default_factory=dict)
    _chosen: dict[str, _Choice] = field(default_factory=dict)
    _taken: set[int] = field(default_factory=set)  # hashes of all records: the topic is read twice

    def put(self, key: str, value: bytes | None, at: int = -DELAY_MS) -> None:
        """Take the next record of control.policies with its stamp; None deletes. A repeat changes nothing.

        Raises PolicyFault and keeps what was in force before.
        """
        policy = None if value is None else Policy.decode(value).under(self.max_series)
        if policy is not None and policy.tenant != key:
            raise PolicyFault(f"TG-policy-key: the record's key is {key!r}, its policy says {policy.tenant!r}")
        taken = hash((key, value, at))
        if taken in self._taken:
            return
        self._taken.add(taken)
        versions = self._stored.setdefault(key, [])
        place = bisect.bisect_left(versions, at + DELAY_MS, key=lambda one: one[0])
        versions[place:] = [(at + DELAY_MS, policy)]
        if len(versions) > _VERSIONS:
            versions[:2] = [(0, versions[1][1])]
        self._chosen.clear()

    def of(self, tenant: str, at: int) -> Policy:
        """Return the policy of a tenant for what was stamped with at."""
        return self._choose(tenant, at).policy

    def limits_of(self, tenant: str, at: int) -> Limits:
        """Return the limits of a tenant for what was stamped with at."""
        return self._choose(tenant, at).limits

    def since(self, tenant: str, at: int) -> int:
        """Return from when on the policy has been in force that is at a time."""
        return self._choose(tenant, at).since

    def _choose(self, tenant: str, at: int) -> _Choice:
        found = self._chosen.get(tenant)
        if found is None or not found.since <= at < found.until:
            if len(self._chosen) > 100_000:  # whatever tenants an attacker makes up
                self._chosen.clear()
            found = self._chosen[tenant] = self._made(tenant, at)
        return found

    def _made(self, tenant: str, at: int) -> _Choice:
        own, of_all = self._stored.get(tenant, []), self._stored.get(ANYONE, [])
        times = sorted({since for since, _ in (*own, *of_all)})
        place = bisect.bisect_right(times, at)
        default = Policy(tenant=ANYONE).under(self.max_series)
        policy = _version(own, at) or _version(of_all, at) or default
        since = times[place - 1] if place else -_EVER
        until = times[place] if place < len(times) else _EVER
        return _Choice(since, until, policy, _limits(self.limits, policy))


def _version(versions: list[tuple[int, Policy | None]], at: int) -> Policy | None:
    place = bisect.bisect_right(versions, at, key=lambda one: one[0])
    return versions[place - 1][1] if place else None


def _limits(limits: Limits, policy: Policy) -> Limits:
    """Return the limits with what a policy says instead; closed windows bound how late a sample may be."""
    tolerance = limits.tolerance_s if policy.tolerance_s is None else min(policy.tolerance_s, limits.tolerance_s)
    grace = (
        limits.future_grace_s if policy.future_grace_s is None else min(policy.future_grace_s, limits.future_grace_s)
    )
    made = replace(
        limits,
        tolerance_s=tolerance,
        future_grace_s=grace,
        max_labels=policy.max_labels or limits.max_labels,
        utf8=policy.utf8,
        server_clock=policy.clock == "server",
    )
    return replace(made, own=frozenset(one for one in _SHARED if getattr(policy, one) == getattr(made, one)))
