"""Little on the wire may be much in a heap: no request ends a job, and what stands behind it passes."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from kafka import KafkaProducer

from schemas import topics
from schemas.batch import Batch, Series, encode_series_set
from schemas.nan import MISSING
from tests.integration.failures import failures
from tests.integration.gated import account, batch
from tests.integration.pipeline import Pipeline, eventually, now_ms, tenant_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

Records = Callable[[str], Iterator[bytes]]


def test_a_record_that_unpacks_to_64_mb_is_refused_and_the_next_one_passes(pipeline: Pipeline) -> None:
    tenant = tenant_of("bomb")
    kafka = pipeline.stack.endpoints["kafka"]
    producer = KafkaProducer(bootstrap_servers=kafka, max_request_size=65 << 20, compression_type="gzip", acks="all")
    producer.send(topics.RAW, value=b"\0" * (64 << 20), key=tenant.encode()).get(timeout=60)
    producer.close()
    pipeline.send_record(batch(tenant, ["u0"]), tenant)
    eventually(lambda: account(pipeline, tenant)["forwarded"], 1)
    refused = "SELECT count() FROM rejections WHERE id = 'TG-record-size' AND value = 'more than 8388608 bytes'"
    eventually(lambda: pipeline.value(refused) > 0, wanted=True)


def zeros(_: str) -> Iterator[bytes]:
    """Yield 450 MB that are no batches."""
    yield from (bytes(1_000_000) for _ in range(450))


def sparse_rows(tenant: str) -> Iterator[bytes]:
    """Yield 48 batches of 8 MB, a sample in each and a million cells without one, of a set that is new."""
    series = [Series("lonely", (("n", str(number)),)) for number in range(1000)]
    at, known = now_ms() - 1000 + np.arange(1000), encode_series_set(series)
    for number in range(48):
        cells = np.full((1000, 1000), MISSING)
        cells[number, number] = 1.0
        yield Batch(tenant, "s", now_ms(), known, at, cells).encode()


@pytest.mark.parametrize(("records", "samples"), [(zeros, 0), (sparse_rows, 48)])
def test_what_one_request_unpacks_to_leaves_room_in_the_heap(
    pipeline: Pipeline, records: Records, samples: int
) -> None:
    """Each is a few MB on the wire and one poll of a heap's size by default; a backlog of large batches is as much."""
    tenant = tenant_of("backlog")
    before = failures(pipeline)
    producer = KafkaProducer(
        bootstrap_servers=pipeline.stack.endpoints["kafka"],
        max_request_size=1 << 30,
        batch_size=1 << 30,
        linger_ms=60_000,
        compression_type="lz4",
        acks="all",
    )
    for record in records(tenant):
        producer.send(topics.RAW, value=record, key=tenant.encode())
    producer.close()
    pipeline.send_record(batch(tenant, ["u0"]), tenant)
    eventually(lambda: account(pipeline, tenant)["forwarded"], samples + 1)
    stored = "SELECT count() FROM samples FINAL WHERE tenant = {tenant:String}"
    eventually(lambda: pipeline.value(stored, tenant=tenant), samples + 1)
    assert failures(pipeline) == before
