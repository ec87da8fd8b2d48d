"""What became of the samples of one record: a row of the ledger. It balances, or something was lost."""

from dataclasses import asdict, dataclass, field

from schemas.codec import codec
from schemas.reason import Reason


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
