"""The gate's two authorities on who may enter: the fast one, which knows verdicts, and the owner, who makes them.

The fast one answers for a set whose verdict it has and asks for all others. Verdicts are bound to their policy and
epoch: those of the last epoch still count, but are asked for again, so that the owner sees what is active. What is
lost costs a question, never a limit.
"""

from dataclasses import dataclass, field
from sys import getsizeof

import numpy as np
from cachetools import LRUCache

from schemas.batch import Batch
from schemas.codec import codec
from schemas.ids import set_hash
from schemas.policy import Policy
from udfs.gate.admission import SERIES_BYTES, Admission, keep, resolve
from udfs.gate.budget import Budget, Decision
from udfs.gate.candidates import candidates
from udfs.gate.growth import Growth
from udfs.gate.limits import Limits
from udfs.gate.policies import Policies
from udfs.gate.refusal import Refusal
from udfs.gate.throttle import Throttle

Key = tuple[str, bytes]

_ANSWER = 800  # bytes: a verdict on no series, its key, and their places in a cache


def set_key(batch: Batch, policy: Policy) -> Key:
    """Return what a verdict is known by. Where series merge they carry their source, which is then part of it."""
    known = set_hash(batch.series_set)
    if policy.merges:
        return batch.tenant, set_hash(known + batch.source.encode())
    return batch.tenant, known


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision on a set, under a revision of the policy."""

    revision: int
    decision: Decision

    @classmethod
    def read(cls, record: bytes) -> tuple[Key, "Verdict"]:
        """Return (key, verdict) of a record of control.verdicts; raises CodecError."""
        said = codec("verdict").decode(record)
        codes = None if said["codes"] is None else np.frombuffer(said["codes"], np.uint8)
        # A set's series mostly fold alike: one tuple for all of them.
        one: dict[tuple[str, ...], tuple[str, ...]] = {}
        folds = tuple(one.setdefault(labels, labels) for labels in map(tuple, said["folds"]))
        decision = Decision(said["epoch"], codes, folds)
        return (said["tenant"], said["set"]), cls(said["revision"], decision)

    def encode(self, key: Key) -> bytes:
        """Return the record for control.verdicts."""
        codes = self.decision.codes
        return codec("verdict").encode(
            {
                "tenant": key[0],
                "set": key[1],
                "revision": self.revision,
                "epoch": self.decision.epoch,
                "codes": None if codes is None else codes.tobytes(),
                "folds": [list(labels) for labels in self.decision.folds],
            }
        )

    def says_as(self, other: "Verdict") -> bool:
        """Tell whether both decide alike, whenever they were made."""
        mine, theirs = self.decision, other.decision
        return self.revision == other.revision and mine.folds == theirs.folds and _bytes(mine) == _bytes(theirs)


def _weight(answer: Verdict | None) -> int:
    """Return about how many bytes an answer takes with its key, or the place that is kept for one."""
    if answer is None:
        return _ANSWER
    codes, folds = answer.decision.codes, answer.decision.folds
    labels = sum(getsizeof(labels) + sum(map(getsizeof, labels)) for labels in set(folds))
    return _ANSWER + (0 if codes is None else len(codes)) + 8 * len(folds) + labels


def _bytes(decision: Decision) -> bytes | None:
    return None if decision.codes is None else decision.codes.tobytes()


@dataclass(slots=True)
class Known:
    """A verdict with the admission it makes. asked: the newest epoch in which it was asked for again."""

    verdict: Verdict
    admission: Admission
    asked: int

    @property
    def weight(self) -> int:
        """Return how many bytes of a cache it takes."""
        return self.admission.weight(_weight(self.verdict) - _ANSWER)


@dataclass(slots=True)
class Standing:
    """What the gate knows of sets.

    max_series bounds its memory, by about 400 bytes a series for what it knows, 100 for answers not yet asked for, and
    100 for those from before a restart.
    """

    shards: int
    policies: Policies
    max_series: int = 1_000_000
    throttle: Throttle = field(default_factory=Throttle)
    _known: "LRUCache[Key, Known]" = field(init=False)
    _asked: "LRUCache[Key, Verdict | None]" = field(init=False)
    _recalled: "LRUCache[Key, Verdict]" = field(init=False)

    def __post_init__(self) -> None:
        self._recalled = LRUCache(100 * self.max_series, getsizeof=_weight)
        self._known = LRUCache(SERIES_BYTES * self.max_series, getsizeof=lambda known: known.weight)
        # Verdicts are broadcast: only those of sets that were seen here are kept. A set that churns never comes again.
        self._asked = LRUCache(100 * self.max_series, getsizeof=_weight)

    def limits_of(self, tenant: str, received_at: int) -> Limits:
        """Return the limits of a tenant."""
        return self.policies.limits_of(tenant, received_at)

    def refuse(self, batch: Batch, samples: int, received_at: int, lag_ms: int, partition: int) -> Refusal | None:
        """Return why a batch is over a rate, or shed; None if it is neither."""
        policy = self.policies.of(batch.tenant, received_at)
        return self.throttle.refuse(policy, batch.tenant, batch.source, samples, received_at, lag_ms, partition)

    def admission(self, batch: Batch, received_at: int) -> Admission | None:
        """Return the admission of a batch's set, None if the owner has to be asked; raises CodecError."""
        policy = self.policies.of(batch.tenant, received_at)
        epoch = received_at // policy.epoch_ms
        key = set_key(batch, policy)
        known = self._known.get(key)
        if known is None or not _counts(known.verdict, policy, epoch):
            answer = self._asked.get(key)
            if answer is None or not _counts(answer, policy, epoch):
                self._asked[key] = self._recalled.pop(key, None)
                return None
            known = self._learn(batch, key, answer, policy, received_at)
        if epoch > known.verdict.decision.epoch and epoch > known.asked:
            known.asked = epoch
            return None
        return known.admission

    def _learn(self, batch: Batch, key: Key, verdict: Verdict, policy: Policy, received_at: int) -> Known:
        limits = self.limits_of(batch.tenant, received_at)
        asked = candidates(batch.tenant, batch.source, batch.series_set, limits, policy)
        admission = resolve(batch.tenant, batch.source, asked, self.shards, verdict.decision, policy)
        known = Known(verdict, admission, verdict.decision.epoch)
        if keep(self._known, key, known):
            self._asked.pop(key, None)
        return known

    def recall(self, key: Key, verdict: Verdict) -> None:
        """Take a verdict from before a restart: the set is asked for, and passes by it until the answer is there.

        Otherwise all records of all sets would wait at the owner behind a restart, while their sources go on.
        """
        keep(self._recalled, key, verdict)

    def hear(self, key: Key, verdict: Verdict) -> None:
        """Take a verdict."""
        known = self._known.get(key)
        if known is not None and known.verdict.says_as(verdict):
            if verdict.decision.epoch > known.verdict.decision.epoch:
                known.verdict = verdict
        elif known is not None or key in self._asked:
            self._known.pop(key, None)
            self._asked.pop(key, None)
            keep(self._asked, key, verdict)


def _counts(verdict: Verdict, policy: Policy, epoch: int) -> bool:
    return verdict.revision == policy.revision and verdict.decision.epoch >= epoch - 1


@dataclass(slots=True)
class Owner:
    """Decides by the budget of the tenant at hand, which the caller sets.

    verdict is what it said last; grown holds Growth records until the caller takes them.
    """

    shards: int
    policies: Policies
    max_series: int = 1_000_000
    budget: Budget = field(default_factory=lambda: Budget(""))
    verdict: tuple[Key, Verdict] | None = None
    growth: Growth = field(default_factory=Growth)
    grown: list[bytes] = field(default_factory=list)
    _made: "LRUCache[Key, Known]" = field(init=False)

    def __post_init__(self) -> None:
        self._made = LRUCache(SERIES_BYTES * self.max_series, getsizeof=lambda known: known.weight)

    def limits_of(self, tenant: str, received_at: int) -> Limits:
        """Return the limits of a tenant."""
        return self.policies.limits_of(tenant, self._at(received_at))

    def refuse(self, batch: Batch, samples: int, received_at: int, lag_ms: int, partition: int) -> None:
        """Let every batch in: the gate has looked at rates before it asked."""

    def admission(self, batch: Batch, received_at: int) -> Admission:
        """Return the admission of a batch's set; raises CodecError."""
        policy = self.policies.of(batch.tenant, self._at(received_at))
        self.budget.judge_by(self.policies.since(batch.tenant, self._at(received_at)))
        key = set_key(batch, policy)
        epoch = max(received_at // policy.epoch_ms, self.budget.epoch_of(policy))
        made = self._made.get(key)
        # Decided in this epoch: nothing becomes free before the next one.
        if made is None or made.verdict.revision != policy.revision or made.verdict.decision.epoch != epoch:
            made = self._decide(batch, received_at, policy)
            keep(self._made, key, made)
        self.verdict = key, made.verdict
        return made.admission

    def _at(self, received_at: int) -> int:
        """Return the time whose policy counts: once a tenant was judged by a newer one, no older one does any more."""
        return max(received_at, self.budget.judged_by)

    def _decide(self, batch: Batch, received_at: int, policy: Policy) -> Known:
        limits = self.limits_of(batch.tenant, received_at)
        asked = candidates(batch.tenant, batch.source, batch.series_set, limits, policy)
        decision = self.budget.decide(asked.series, asked.ids, batch.source, policy, received_at)
        new = self.budget.strangers
        if len(new):
            refused = np.zeros(len(new), dtype=bool) if decision.codes is None else decision.codes[new] > 0
            names = [asked.series[place] for place in new.tolist()]
            self.grown += self.growth.note(batch.tenant, batch.source, names, asked.ids[new], refused, received_at)
        admission = resolve(batch.tenant, batch.source, asked, self.shards, decision, policy)
        return Known(Verdict(policy.revision, decision), admission, decision.epoch)
