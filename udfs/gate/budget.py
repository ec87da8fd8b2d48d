"""The budget of a tenant: which series it may send. One owner decides, in the order of metrics.pending.

A series counts from its admission until it was not seen for a window, which slides by epochs, a twelfth each. What is
refused counts for nothing. Every step follows from the order and the broker's time of what came: a replay decides as
the first run did. Counts are exact: admitted ids and label values are held as such, and limits bound them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schemas.batch import Series
from schemas.codec import codec
from schemas.columns import UInt64s
from schemas.ids import series_id
from schemas.policy import EPOCHS, Metric, Policy
from udfs.gate.fold import FIXED, fold
from udfs.gate.members import Level, Members, Positions, UInt8s
from udfs.gate.values import Values

ADMITTED, SERIES, TENANT, VALUES, FOLDED = range(5)


@dataclass(frozen=True, slots=True)
class Decision:
    """One code per series, None if all are admitted; the labels to fold of each series with code FOLDED, in order."""

    epoch: int
    codes: UInt8s | None = None
    folds: tuple[tuple[str, ...], ...] = ()


def room(rule: Metric, policy: Policy) -> int:
    """Return how many folded series a metric may have, beside the one of which all labels are folded."""
    return max(1, (rule.max_series or policy.most_series) // 10)


@dataclass(slots=True)
class Budget:
    """The series and label values of one tenant that count."""

    tenant: str
    epoch: int = 0
    epoch_ms: int = 0
    members: Members = field(default_factory=Members)
    values: Values = field(default_factory=Values)
    metrics: dict[str, int] = field(default_factory=dict)
    judged_by: int = 0  # when the policy came into force by which was judged last, broker's time, ms
    strangers: Positions = field(default_factory=lambda: np.empty(0, np.intp))  # of the last decision: not known before
    _revision: int = -1  # of the policy by which was judged last
    _fresh: int = -1  # the epoch in which that was new
    _own: list[int] = field(default_factory=list)
    _over: list[int] = field(default_factory=list)
    _total: int = 0
    _added: dict[int, tuple[int, int]] = field(default_factory=dict)
    _changed: list[Level] = field(default_factory=list)
    _moved: bool = False

    def decide(self, series: Sequence[Series], ids: UInt64s, source: str, policy: Policy, now: int) -> Decision:
        """Judge the well-formed series of one batch that the broker stamped with now (ms since 1970 UTC)."""
        self._advance(policy, now)
        known, renewed = self.members.touch(ids, self.epoch)
        rules = {name: policy.metric(name) for name in {one.name for one in series}}
        if renewed.any():
            self._changed.append(self.members.rows_of(ids[renewed]))
        if policy.revision != self._revision:
            self._revision, self._fresh = policy.revision, self.epoch
        # What this epoch saw under another policy may have values that did not count; a restart forgets which it was.
        for place in np.flatnonzero(known if self._fresh == self.epoch else renewed).tolist():
            self._record(series[place], rules[series[place].name], policy, ())
        self.strangers = np.flatnonzero(~known)
        if not len(self.strangers):
            return Decision(self.epoch)
        codes = np.zeros(len(series), dtype=np.uint8)
        folds = []
        for place in self.strangers.tolist():
            one = series[place]
            codes[place], folded = self._judge(one, int(ids[place]), source, rules[one.name], policy)
            if codes[place] == FOLDED:
                folds.append(folded)
        self._settle()
        return Decision(self.epoch, codes if codes.any() else None, tuple(folds))

    def judge_by(self, since: int) -> None:
        """Take note of when the policy came into force that is judged by from now on."""
        if since > self.judged_by:
            self.judged_by, self._moved = since, True

    def epoch_of(self, policy: Policy) -> int:
        """Return the epoch it stands in, by the policy's measure."""
        return self.epoch * self.epoch_ms // policy.epoch_ms

    def _judge(
        self, one: Series, identity: int, source: str, rule: Metric, policy: Policy
    ) -> tuple[int, tuple[str, ...]]:
        action = rule.action or policy.action
        over = tuple(self._over_values(one, rule)) if rule.per_label_value_limits else ()
        if over and (action == "reject" or not FIXED.isdisjoint(over)):
            return VALUES, ()
        full = rule.max_series is not None and self._held(one.name)[0] >= rule.max_series
        if full and action == "reject":
            return SERIES, ()
        if not over and not full:
            if self._total >= policy.most_series:
                return TENANT, ()
            self._admit(identity, one.name, 0)
            self._record(one, rule, policy, ())
            return ADMITTED, ()
        return self._fold(one, source, rule, policy, over)

    def _fold(
        self, one: Series, source: str, rule: Metric, policy: Policy, over: tuple[str, ...]
    ) -> tuple[int, tuple[str, ...]]:
        """Fold the offending label; if even that makes too many new series, every label."""
        first = over or self._offender(one)
        every = tuple(label for label, _ in one.labels if label not in FIXED)
        allowed = room(rule, policy)
        for labels, most in ((first, allowed), (every, allowed + 1)):
            target = fold(one, labels, source)
            identity = series_id(self.tenant, target.name, target.labels)
            if identity not in self._added and not self._renew(identity):
                if self._total >= policy.most_series:
                    return TENANT, ()
                if not labels or self._held(one.name)[1] >= most:
                    continue
                self._admit(identity, one.name, 1)
            self._record(one, rule, policy, labels)
            return FOLDED, labels
        return SERIES, ()

    def _renew(self, identity: int) -> bool:
        ids = np.array([identity], dtype=np.uint64)
        known, renewed = self.members.touch(ids, self.epoch)
        if renewed[0]:
            self._changed.append(self.members.rows_of(ids))
        return bool(known[0])

    def _offender(self, one: Series) -> tuple[str, ...]:
        """Return the label to blame: of those with a value not seen before the one with most values, else of all."""
        ranked = []
        for label, value in one.labels:
            if label not in FIXED:
                known = self.values.has(one.name, label, value)
                ranked.append((known, -self.values.count(one.name, label), label))
        return (min(ranked)[2],) if ranked else ()

    def _over_values(self, one: Series, rule: Metric) -> Iterator[str]:
        for label, value in one.labels:
            limit = rule.per_label_value_limits.get(label)
            if limit is None or self.values.count(one.name, label) < limit:
                continue
            if not self.values.has(one.name, label, value):
                yield label

    def _admit(self, identity: int, name: str, overflow: int) -> None:
        code = self._code(name)
        self._added[identity] = (code, overflow)
        (self._over if overflow else self._own)[code] += 1
        self._total += 1

    def _record(self, one: Series, rule: Metric, policy: Policy, folded: tuple[str, ...]) -> None:
        """Count the label values of an admitted series, where a limit or a fold needs them."""
        every = rule.max_series is not None and (rule.action or policy.action) == "fold"
        if not every and not rule.per_label_value_limits:
            return
        for label, value in one.labels:
            if (every or label in rule.per_label_value_limits) and label not in folded:
                self.values.see(one.name, label, value, self.epoch)

    def _settle(self) -> None:
        """Make members of what this batch has added."""
        if self._added:
            ids = np.fromiter(self._added, np.uint64, len(self._added))
            pairs = np.array(list(self._added.values()), dtype=np.uint32)
            epochs = np.full(len(ids), self.epoch, np.int64)
            rows = Level(ids, pairs[:, 0].copy(), pairs[:, 1].astype(np.uint8), epochs)
            self.members.add(rows)
            self._changed.append(rows)
            self._added = {}

    def _advance(self, policy: Policy, now: int) -> None:
        """Move to the epoch of now, never back, and forget what fell out of the window."""
        old, new = self.epoch_ms, policy.epoch_ms
        epoch = max(now // new, self.epoch_of(policy))
        if (epoch, new) == (self.epoch, old):
            return
        if old and old != new:
            self.members.rebase(old, new, epoch)
            self.values.rebase(old, new, epoch)
        self.epoch, self.epoch_ms = epoch, new
        oldest = epoch - EPOCHS
        self.members.expire(oldest)
        self.values.expire(oldest)
        self._count()

    def _count(self) -> None:
        """Count anew, and forget the names of metrics without series."""
        names = list(self.metrics)
        used = self.members.recode()
        self.metrics = {names[code]: place for place, code in enumerate(used)}
        rows = self.members.rows()
        size = len(self.metrics)
        over = np.bincount(rows.codes[rows.overflow == 1], minlength=size)
        self._over = over.tolist()
        self._own = (np.bincount(rows.codes, minlength=size) - over).tolist()
        self._total = len(rows)

    def _held(self, name: str) -> tuple[int, int]:
        code = self.metrics.get(name)
        return (0, 0) if code is None else (self._own[code], self._over[code])

    def _code(self, name: str) -> int:
        code = self.metrics.get(name)
        if code is None:
            code = self.metrics[name] = len(self.metrics)
            self._own.append(0)
            self._over.append(0)
        return code

    @property
    def total(self) -> int:
        """Return the series within the window, folded ones included."""
        return self._total

    @property
    def empty_ms(self) -> int:
        """Return when nothing of it counts any more if nothing else comes, the broker's time, ms."""
        return (self.epoch + EPOCHS + 1) * self.epoch_ms

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return series per metric within the window: (under their own labels, folded)."""
        return {name: self._held(name) for name in self.metrics}

    def changes(self) -> bytes | None:
        """Return what changed since the last call, for state; None if nothing did."""
        if not self._changed and not self.values.changed and not self._moved:
            return None
        rows = Level()
        for more in self._changed:
            rows = rows.where(~np.isin(rows.ids, more.ids)).with_rows(more)
        self._changed, self._moved = [], False
        return self._encode(rows, self.values.changes())

    def snapshot(self) -> bytes:
        """Return everything, for state: in place of all changes before."""
        self._changed, self._moved = [], False
        return self._encode(self.members.rows(), self.values.snapshot())

    def _encode(self, rows: Level, values: list[dict[str, Any]]) -> bytes:
        names = list(self.metrics)
        used, codes = np.unique(rows.codes, return_inverse=True)
        return codec("budget").encode(
            {
                "epoch": self.epoch,
                "epoch_ms": self.epoch_ms,
                "judged_by": self.judged_by,
                "metrics": [names[code] for code in used],
                "codes": codes.astype("<u4").tobytes(),
                "ids": rows.ids.astype("<u8").tobytes(),
                "overflow": rows.overflow.tobytes(),
                "epochs": rows.epochs.astype("<i8").tobytes(),
                "values": values,
            }
        )

    @classmethod
    def restore(cls, tenant: str, chunks: Sequence[bytes]) -> "Budget":
        """Return the budget that a snapshot and the changes after it make; raises CodecError."""
        budget = cls(tenant)
        parts = []
        for chunk in chunks:
            read = codec("budget").decode(chunk)
            names = np.array([budget._code(name) for name in read["metrics"]], dtype=np.uint32)
            codes = np.frombuffer(read["codes"], "<u4")
            parts.append(
                Level(
                    np.frombuffer(read["ids"], "<u8"),
                    names[codes] if len(names) else codes,
                    np.frombuffer(read["overflow"], np.uint8),
                    np.frombuffer(read["epochs"], "<i8"),
                )
            )
            budget.values.put(read["values"])
            budget.epoch, budget.epoch_ms, budget.judged_by = read["epoch"], read["epoch_ms"], read["judged_by"]
        budget.members = Members.restore(parts)
        budget._count()
        return budget
