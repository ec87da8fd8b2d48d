"""What the gate decided, as rows for the topics."""

from pyflink.common import Row

from schemas import topics
from udfs.gate.account import Account
from udfs.gate.gate import Passed, Refused


def row(outcome: Passed | Refused | Account, received_at: int, partition: int, offset: int) -> Row:
    """Return the ADDRESSED row of an outcome of the record of metrics.raw there that came at `received_at` (ms)."""
    if isinstance(outcome, Passed):
        return Row(topics.VALID, outcome.key.encode(), outcome.batch.encode(), outcome.event_time)
    if isinstance(outcome, Refused):
        record = outcome.refusal.encode(outcome.tenant, outcome.source, received_at, partition, offset)
        return Row(topics.REJECTED, outcome.tenant.encode(), record, received_at)
    return Row(topics.LEDGER, outcome.tenant.encode(), outcome.encode(), received_at)
