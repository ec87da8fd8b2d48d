"""The gate's two steps without Flink: subtasks with their verdicts, one owner per tenant, and the topics between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.batch import Batch, Series, encode_series_set
from schemas.ids import series_id
from schemas.policy import Policy
from udfs.gate.account import Account
from udfs.gate.budget import Budget
from udfs.gate.gate import Gate, Passed, Refused
from udfs.gate.limits import Limits
from udfs.gate.policies import DELAY_MS, Policies
from udfs.gate.standing import Owner, Standing, Verdict

NOW = 1_800_000_000_000
LIMITS = Limits()


def series(name: str, **labels: str) -> Series:
    return Series(name, tuple(sorted(labels.items())))


def record(
    rows: Sequence[Series], at: int = NOW, tenant: str = "acme", source: str = "s", value: float = 1.0, sent: int = 0
) -> bytes:
    """Return a batch of one scrape at `at`; sent 0: its source tells no clock."""
    values = np.full((1, len(rows)), value)
    return Batch(tenant, source, sent, encode_series_set(rows), np.array([at]), values).encode()


@dataclass
class Pair:
    """send() brings a record through a subtask and, if that has no verdict, through the owner."""

    policy: Mapping[str, object] = field(default_factory=dict)
    subtasks: int = 1
    shards: int = 2
    max_series: int = 1_000_000
    deaf: bool = False  # verdicts are lost

    def __post_init__(self) -> None:
        self.state: dict[str, list[bytes]] = {}
        self.log: list[tuple[bytes, int]] = []
        self.accounts: list[Account] = []
        self.refused: list[Refused] = []
        self.passed: list[Batch] = []
        self.samples: dict[tuple[int, int], float] = {}
        self.names: dict[int, Series] = {}
        self.changes: list[tuple[str, bytes, int]] = []
        self.restart()
        if self.policy:
            self.change(self.policy)

    def restart(self) -> None:
        """Forget everything but the owner's state."""
        self.policies = Policies(LIMITS, self.max_series)
        for change in self.changes:
            self.policies.put(*change)
        self.gates = [Gate(LIMITS, Standing(self.shards, self.policies)) for _ in range(self.subtasks)]
        self.owner = Owner(self.shards, self.policies)
        self.slow = Gate(LIMITS, self.owner)
        self.budgets = {tenant: Budget.restore(tenant, chunks) for tenant, chunks in self.state.items()}

    def change(self, policy: Mapping[str, object], at: int = -DELAY_MS) -> None:
        """Bring a policy into force; at: the broker's stamp, else it has been in force for ever."""
        made = Policy.model_validate({"tenant": "acme", **policy})
        self.changes.append((made.tenant, made.encode(), at))
        self.policies.put(*self.changes[-1])

    def send(self, data: bytes, at: int = NOW, subtask: int = 0) -> str:
        """Return which way the record went: fast or slow."""
        for one in self.gates[subtask].judge(data, at):
            if isinstance(one, Passed | Refused | Account):
                self._take(one)
            else:
                self.log.append((data, at))
                self.decide(data, at, one.tenant)
                return "slow"
        return "fast"

    def decide(self, data: bytes, at: int, tenant: str) -> None:
        """Let the owner judge a record of metrics.pending."""
        budget = self.budgets.setdefault(tenant, Budget(tenant))
        self.owner.budget, epoch = budget, budget.epoch
        for one in self.slow.judge(data, at):
            assert isinstance(one, Passed | Refused | Account)
            self._take(one)
        # As OwnerFunction keeps its state.
        if budget.epoch != epoch:
            self.state[tenant] = [budget.snapshot()]
        elif (changes := budget.changes()) is not None:
            self.state.setdefault(tenant, []).append(changes)
        if self.owner.verdict is not None and not self.deaf:
            key, verdict = self.owner.verdict
            for gate in self.gates:
                assert isinstance(gate.authority, Standing)
                gate.authority.hear(*Verdict.read(verdict.encode(key)))

    def _take(self, one: Passed | Refused | Account) -> None:
        if isinstance(one, Account):
            assert one.balance == 0, one
            self.accounts.append(one)
        elif isinstance(one, Refused):
            self.refused.append(one)
        else:
            self._store(one.batch)

    def _store(self, batch: Batch) -> None:
        from schemas.batch import decode_series_set

        self.passed.append(batch)
        assert batch.series_ids is not None
        for identity, name in zip(batch.series_ids.tolist(), decode_series_set(batch.series_set), strict=True):
            assert identity == series_id(batch.tenant, name.name, name.labels)
            self.names[identity] = name
        index, stamps, values = batch.points()
        for where, stamp, value in zip(index, stamps, values, strict=True):
            self.samples[int(batch.series_ids[where]), int(stamp)] = float(value)

    @property
    def stored(self) -> set[str]:
        """Return the series that samples were stored of, as text."""
        return {text(self.names[identity]) for identity, _ in self.samples}

    def total(self, name: str, at: int = NOW) -> float:
        """Return the sum over the series of a metric at one time."""
        return sum(
            value
            for (identity, stamp), value in self.samples.items()
            if stamp == at and self.names[identity].name == name
        )

    @property
    def rejected(self) -> dict[str, int]:
        """Return refused samples by id."""
        found: dict[str, int] = {}
        for account in self.accounts:
            for reason, samples in account.rejected.items():
                found[reason] = found.get(reason, 0) + samples
        return found


def text(one: Series) -> str:
    labels = ",".join(f"{name}={value}" for name, value in one.labels)
    return f"{one.name}{{{labels}}}"
