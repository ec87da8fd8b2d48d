"""A refusal: what was refused, why, and what to do about it."""

from dataclasses import dataclass

from schemas.codec import codec
from schemas.reason import Reason

_SHOWN = 256
_SAMPLE_BYTES = 512


@dataclass(slots=True)
class Refusal:
    """Series or samples of one batch refused for one reason; value is the first offender.

    setting: what changes the limit, where it is not the reason's own; empty if nothing does.
    """

    reason: Reason
    value: str
    limit: str = ""
    series: int = 0
    samples: int = 0
    sample: bytes = b""
    setting: str | None = None

    def encode(self, tenant: str, source: str, received_at: int, partition: int = -1, offset: int = -1) -> bytes:
        """Return the Rejected record; partition and offset: of the record in metrics.raw."""
        shown = self.value if len(self.value) <= _SHOWN else f"{self.value[:_SHOWN]}… ({len(self.value)} characters)"
        limit = f"; the limit is {self.limit}" if self.limit else ""
        setting = self.reason.setting if self.setting is None else self.setting
        change = f"; {setting} changes it" if setting else ""
        return codec("rejected").encode(
            {
                "tenant": tenant,
                "source": source,
                "id": self.reason.id,
                "message": f"{self.reason.meaning}: {shown!r}{limit}{change}",
                "value": shown,
                "limit": self.limit,
                "setting": setting,
                "series": self.series,
                "samples": self.samples,
                "received_at": received_at,
                "sample": self.sample[:_SAMPLE_BYTES],
                "partition": partition,
                "offset": offset,
            }
        )
