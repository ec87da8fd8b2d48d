"""What became of the samples of one record: a row of the ledger. It balances, or something was lost."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from schemas.codec import codec
from schemas.reason import Reason

OUTCOMES = ("received", "forwarded", "merged", "folded", "deduplicated", "shed")


@dataclass(slots=True)
class Account:
    """Counts of samples. partition and offset are the record's in metrics.raw."""

    tenant: str = ""
    received_at: int = 0
    partition: int = 0
    offset: int = 0
    received: int = 0
    forwarded: int = 0
    merged: int = 0
    folded: int = 0
    deduplicated: int = 0
    shed: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    would: dict[str, int] = field(default_factory=dict)

    def counts(self) -> Iterator[tuple[str, int]]:
        """Yield samples by what became of them, if there are any: the ids of refusals among the names."""
        for name in OUTCOMES:
            samples: int = getattr(self, name)
            if samples:
                yield name, samples
        yield from ((reason, samples) for reason, samples in self.rejected.items() if samples)

    def refuse(self, reason: Reason, samples: int) -> None:
        """Count refused samples."""
        if reason is Reason.SHED:
            self.shed += samples
        else:
            self.rejected[reason.id] = self.rejected.get(reason.id, 0) + samples

    @property
    def balance(self) -> int:
        """Return received samples that nothing tells of: 0."""
        gone = self.merged + self.folded + self.deduplicated + self.shed
        return self.received - self.forwarded - gone - sum(self.rejected.values())

    def encode(self) -> bytes:
        """Return the record for metrics.ledger."""
        return codec("account").encode(asdict(self))
