"""Rates of tenants and sources as token buckets on the broker's time, and who is shed when the gate lags.

A source's records lie in one partition, so one subtask sees all of them. A tenant's come to several: they tell each
other once a second what they let pass, and each may use what the others leave, at least an equal share. A tenant that
starts everywhere at once gets at most a second's worth too much.
"""

from dataclasses import dataclass, field

from cachetools import LRUCache

from schemas.codec import codec
from schemas.policy import Policy
from schemas.reason import Reason
from udfs.gate.refusal import Refusal

_BURST_S = 10.0
_BUCKETS = 200_000
_REPORT_MS = 1000
_STALE_MS = 5000


@dataclass(slots=True)
class Bucket:
    """level: samples that may pass now; it was so at `at`, ms. A batch larger than the burst passes when it is full.

    A clock that went back gives nothing for the time it repeats, and the bucket fills from there on.
    """

    level: float
    at: int

    def take(self, samples: int, rate: float, burst: float, now: int) -> bool:
        """Take samples out if they are there; rate in samples a second, now in ms."""
        self.level = min(burst, self.level + max(0, now - self.at) * rate / 1000)
        self.at = now
        if self.level < min(samples, burst):
            return False
        self.level -= samples
        return True


@dataclass(frozen=True, slots=True)
class Usage:
    """What one subtask let pass of a tenant, samples a second, at a time (ms)."""

    tenant: str
    subtask: int
    at: int
    rate: float

    def encode(self) -> bytes:
        """Return the record for control.verdicts."""
        return codec("usage").encode({"tenant": self.tenant, "subtask": self.subtask, "at": self.at, "rate": self.rate})

    @classmethod
    def decode(cls, record: bytes) -> "Usage":
        """Return the usage of a record; raises CodecError."""
        return cls(**codec("usage").decode(record))


@dataclass(slots=True)
class _Share:
    """One tenant at one subtask."""

    bucket: Bucket
    since: int
    passed: int = 0
    others: dict[int, Usage] = field(default_factory=dict)


@dataclass(slots=True)
class Throttle:
    """The buckets of one subtask of `subtasks`. shed_lag_ms 0: nothing is shed."""

    subtask: int = 0
    subtasks: int = 1
    shed_lag_ms: int = 0
    reports: list[Usage] = field(default_factory=list)
    _sources: "LRUCache[tuple[str, str], Bucket]" = field(default_factory=lambda: LRUCache(_BUCKETS))
    _stamps: "LRUCache[tuple[str, str], int]" = field(default_factory=lambda: LRUCache(_BUCKETS))
    _tenants: "LRUCache[str, _Share]" = field(default_factory=lambda: LRUCache(_BUCKETS))

    def refuse(self, policy: Policy, tenant: str, source: str, samples: int, now: int, lag_ms: int) -> Refusal | None:
        """Return why a batch does not pass, or None. now: the broker's stamp; lag_ms: how far the gate is behind it."""
        if self.shed_lag_ms and lag_ms > self.shed_lag_ms and policy.priority != "high":
            allowed = self.shed_lag_ms * (1 if policy.priority == "low" else 2)
            if lag_ms > allowed:
                value = f"{tenant} of priority {policy.priority}, {lag_ms / 1000:.0f} s behind"
                return Refusal(Reason.SHED, value, f"{allowed / 1000:.0f} s", samples=samples)
        rate = policy.source_samples_per_second
        if rate is not None:
            burst = policy.source_samples_burst or rate * _BURST_S
            bucket = self._sources.setdefault((tenant, source), Bucket(burst, now))
            if not bucket.take(samples, rate, burst, now):
                limit = f"{rate:g} samples a second, {burst:g} at once"
                return Refusal(Reason.SOURCE_RATE, f"{source}: {samples} samples", limit, samples=samples)
        if policy.samples_per_second is not None and not self._pass(policy, tenant, source, samples, now):
            burst = policy.samples_burst or policy.samples_per_second * _BURST_S
            limit = f"{policy.samples_per_second:g} samples a second, {burst:g} at once"
            return Refusal(Reason.RATE, f"{tenant}: {samples} samples", limit, samples=samples)
        return None

    def _pass(self, policy: Policy, tenant: str, source: str, samples: int, now: int) -> bool:
        assert policy.samples_per_second is not None  # the caller asked
        whole = policy.samples_per_second
        burst = policy.samples_burst or whole * _BURST_S
        share = self._tenants.get(tenant)
        if share is None:
            share = self._tenants[tenant] = _Share(Bucket(burst / self.subtasks, now), now)
        now = self._clock(share, tenant, source, now)
        others = sum(one.rate for one in share.others.values() if one.at > now - _STALE_MS)
        rate = max(whole / self.subtasks, whole - others)
        passed = share.bucket.take(samples, rate, burst * rate / whole, now)
        share.passed += samples if passed else 0
        if now >= share.since + _REPORT_MS:
            used = share.passed * 1000 / (now - share.since)
            if self.subtasks > 1:
                self.reports.append(Usage(tenant, self.subtask, now, used))
            share.since, share.passed = now, 0
        return passed

    def _clock(self, share: _Share, tenant: str, source: str, now: int) -> int:
        """Return the tenant's time: of its partitions the latest, until a source shows that the clock went back."""
        # A source lies in one partition: only a clock turns its stamps back. Partitions among each other do it always.
        back = now < self._stamps.get((tenant, source), now)
        self._stamps[tenant, source] = now
        if not back:
            return max(now, share.bucket.at)
        if now < share.since:
            share.since, share.passed = now, 0
        share.others.clear()
        return now

    def hear(self, usage: Usage) -> None:
        """Take what another subtask says."""
        share = self._tenants.get(usage.tenant)
        if share is not None and usage.subtask != self.subtask:
            share.others[usage.subtask] = usage
