"""Brokers of a few lines: one that says who it is and then nothing more, as one whose machine hangs; one that takes."""

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse
from kafka.protocol.producer import ProduceRequest, ProduceResponse

TOPIC = "t"
_VERSIONS = {ProduceRequest.API_KEY: 7, MetadataRequest.API_KEY: 7, ApiVersionsRequest.API_KEY: 2}

Address = tuple[str, int]


class _Broker(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, takes: bool, leader: Callable[[], Address] | None, stamp: Callable[[], int], fault: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.takes = takes
        self.leader = leader or (lambda: ("127.0.0.1", self.server_address[1]))
        self.stamp = stamp
        self.fault = fault
        self.taken = 0
        self.open: list[Any] = []

    def cut(self) -> None:
        """End all connections, and take no more."""
        self.shutdown()
        self.server_close()
        for one in self.open:
            one.close()


class _Handler(socketserver.BaseRequestHandler):
    server: _Broker

    def handle(self) -> None:
        self.server.open.append(self.request)
        try:
            while head := self._read(4):
                request = self._read(*struct.unpack(">i", head))
                key, version, number = struct.unpack(">hhi", request[:8])
                answer = self._answer(key, version, request)
                if answer is not None:
                    answer.with_header(correlation_id=number)
                    self.request.sendall(answer.encode(header=True, framed=True))
        except OSError:  # cut
            return

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size and (more := self.request.recv(size - len(read))):
            read += more
        return read

    def _answer(self, key: int, version: int, request: bytes) -> Any:
        if key == ApiVersionsRequest.API_KEY:
            known = [
                ApiVersionsResponse.ApiVersion(api_key=one, min_version=0, max_version=most)
                for one, most in _VERSIONS.items()
            ]
            return ApiVersionsResponse(version=version, error_code=0, api_keys=known)
        if key == MetadataRequest.API_KEY:
            return self._metadata(version)
        if not self.server.takes:
            return None
        self.server.taken += 1
        return _taken(ProduceRequest.decode(request, version=version, header=True), version, self.server)

    def _metadata(self, version: int) -> Any:
        host, port = self.server.leader()
        # A broker's number goes with its address, as where all were replaced.
        broker = MetadataResponse.MetadataResponseBroker(node_id=port, host=host, port=port, rack=None)
        partitions = [
            MetadataResponse.MetadataResponseTopic.MetadataResponsePartition(
                error_code=0, partition_index=number, leader_id=port, replica_nodes=[port], isr_nodes=[port]
            )
            for number in range(2)
        ]
        topic = MetadataResponse.MetadataResponseTopic(error_code=0, name=TOPIC, partitions=partitions)
        return MetadataResponse(version=version, brokers=[broker], controller_id=port, topics=[topic])


def _taken(request: Any, version: int, server: _Broker) -> Any:
    topics = [
        ProduceResponse.TopicProduceResponse(
            name=topic.name,
            partition_responses=[
                ProduceResponse.TopicProduceResponse.PartitionProduceResponse(
                    index=part.index,
                    error_code=server.fault,
                    base_offset=0,
                    log_append_time_ms=server.stamp(),
                    log_start_offset=0,
                )
                for part in topic.partition_data
            ],
        )
        for topic in request.topic_data
    ]
    return ProduceResponse(version=version, responses=topics, throttle_time_ms=0)


@contextmanager
def broker(
    takes: bool, leader: Callable[[], Address] | None = None, stamp: Callable[[], int] = lambda: -1, fault: int = 0
) -> Iterator[_Broker]:
    """Yield a broker of TOPIC, which has two partitions; leader: whom it names for them, itself by default.

    stamp: what it says of when it took a record; -1: it has stamped none. fault: Kafka's code of why it takes none.
    """
    with _Broker(takes, leader, stamp, fault) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.cut()


@contextmanager
def silent_broker() -> Iterator[str]:
    """Yield host:port of a broker that takes nothing."""
    with broker(takes=False) as server:
        yield f"127.0.0.1:{server.server_address[1]}"
