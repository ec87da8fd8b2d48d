"""Rates of tenants and sources as token buckets on the broker's time, and who is shed when the gate lags.

A source's records lie in one partition if its name is their key, as ours have it: one subtask then sees all of them.
Where several do, each grants the source's rate. A tenant's come to several: they tell each other once a second what
they let pass, and each may use what the others leave, at least an equal share. A tenant that starts everywhere at once
gets at most a second's worth too much.

A subtask reads partitions in turns, some ahead of others, so that stamps go back and forth between them and tell
nothing. Within a partition they rise: only a clock that was set back turns them.
"""

from dataclasses import dataclass, field

from cachetools import LRUCache

from schemas.codec import codec
from schemas.policy import Policy
from schemas.reason import Reason
from udfs.gate.refusal import Refusal

BURST_S = 10.0
_BUCKETS = 200_000
_REPORT_MS = 1000
_STALE_MS = 5000


@dataclass(slots=True)
class Clock:
    """The broker's time as the partitions tell it. back: by how much their clocks were set back so far, ms in all."""

    back: int = 0
    _stamps: dict[int, int] = field(default_factory=dict)

    def see(self, partition: int, now: int) -> None:
        """Take the stamp of a partition's next record."""
        self.back += max(0, self._stamps.get(partition, now) - now)
        self._stamps[partition] = now


@dataclass(slots=True)
class Bucket:
    """level: samples that may pass now; it was so at `at`, ms. A batch larger than the burst passes when it is full.

    `at` is the latest stamp of all partitions. back: what their clocks had been set back by then. A clock that is set
    back gives nothing for the time it repeats, and the bucket fills from there on.
    """

    level: float
    at: int
    back: int

    def settle(self, now: int, back: int) -> bool:
        """Follow the clocks that were set back; tell whether the bucket's time went back with them."""
        # By no more than they were: the rest is how far one partition is read ahead of another.
        at = min(self.at, max(now, self.at - (back - self.back)))
        turned = at < self.at
        self.at, self.back = at, back
        return turned

    def take(self, samples: int, rate: float, burst: float, now: int) -> bool:
        """Take samples out if they are there; rate in samples a second, now in ms."""
        self.level = min(burst, self.level + max(0, now - self.at) * rate / 1000)
        self.at = max(self.at, now)
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

    def time(self, now: int, back: int) -> int:
        """Return the tenant's time: the latest of its partitions, unless their clocks were set back."""
        turned = self.bucket.settle(now, back)
        now = max(now, self.bucket.at)
        if turned:
            # What others said of the time to come would count until it has come.
            self.others = {one.subtask: one for one in self.others.values() if one.at <= now}
            if now < self.since:
                self.since, self.passed = now, 0
        return now


@dataclass(slots=True)
class Throttle:
    """The buckets of one subtask of `subtasks`. shed_lag_ms 0: nothing is shed."""

    subtask: int = 0
    subtasks: int = 1
    shed_lag_ms: int = 0
    reports: list[Usage] = field(default_factory=list)
    _clock: Clock = field(default_factory=Clock)
    _sources: "LRUCache[tuple[str, str], Bucket]" = field(default_factory=lambda: LRUCache(_BUCKETS))
    _tenants: "LRUCache[str, _Share]" = field(default_factory=lambda: LRUCache(_BUCKETS))

    def refuse(
        self, policy: Policy, tenant: str, source: str, samples: int, now: int, lag_ms: int, partition: int
    ) -> Refusal | None:
        """Return why a batch does not pass, or None.

        now: the broker's stamp in that partition; lag_ms: how far the gate is behind it.
        """
        self._clock.see(partition, now)
        if self.shed_lag_ms and lag_ms > self.shed_lag_ms and policy.priority != "high":
            allowed = self.shed_lag_ms * (1 if policy.priority == "low" else 2)
            if lag_ms > allowed:
                value = f"{tenant} of priority {policy.priority}, {lag_ms / 1000:.0f} s behind"
                return Refusal(Reason.SHED, value, f"{allowed / 1000:.0f} s", samples=samples)
        rate = policy.source_samples_per_second
        if rate is not None:
            burst = policy.source_samples_burst or rate * BURST_S
            bucket = self._sources.setdefault((tenant, source), Bucket(burst, now, self._clock.back))
            bucket.settle(now, self._clock.back)
            if not bucket.take(samples, rate, burst, now):
                limit = f"{rate:g} samples a second, {burst:g} at once"
                return Refusal(Reason.SOURCE_RATE, f"{source}: {samples} samples", limit, samples=samples)
        if policy.samples_per_second is not None and not self._pass(policy, tenant, samples, now):
            burst = policy.samples_burst or policy.samples_per_second * BURST_S
            limit = f"{policy.samples_per_second:g} samples a second, {burst:g} at once"
            return Refusal(Reason.RATE, f"{tenant}: {samples} samples", limit, samples=samples)
        return None

    def _pass(self, policy: Policy, tenant: str, samples: int, now: int) -> bool:
        assert policy.samples_per_second is not None  # the caller asked
        whole = policy.samples_per_second
        burst = policy.samples_burst or whole * BURST_S
        share = self._tenants.get(tenant)
        if share is None:
            share = self._tenants[tenant] = _Share(Bucket(burst / self.subtasks, now, self._clock.back), now)
        now = share.time(now, self._clock.back)
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

    def hear(self, usage: Usage) -> None:
        """Take what another subtask says."""
        share = self._tenants.get(usage.tenant)
        if share is not None and usage.subtask != self.subtask:
            share.others[usage.subtask] = usage
