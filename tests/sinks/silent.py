"""A broker that says who it is and then nothing more, as one whose machine hangs."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse
from kafka.protocol.producer import ProduceRequest

TOPIC = "t"
_VERSIONS = {ProduceRequest.API_KEY: 7, MetadataRequest.API_KEY: 7, ApiVersionsRequest.API_KEY: 2}


class _Silent(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while head := self._read(4):
            request = self._read(*struct.unpack(">i", head))
            key, version, number = struct.unpack(">hhi", request[:8])
            answer = self._answer(key, version)
            if answer is not None:
                answer.with_header(correlation_id=number)
                self.request.sendall(answer.encode(header=True, framed=True))

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size and (more := self.request.recv(size - len(read))):
            read += more
        return read

    def _answer(self, key: int, version: int) -> Any:
        if key == ApiVersionsRequest.API_KEY:
            known = [
                ApiVersionsResponse.ApiVersion(api_key=one, min_version=0, max_version=most)
                for one, most in _VERSIONS.items()
            ]
            return ApiVersionsResponse(version=version, error_code=0, api_keys=known)
        if key == MetadataRequest.API_KEY:
            host, port = self.request.getsockname()
            broker = MetadataResponse.MetadataResponseBroker(node_id=1, host=host, port=port, rack=None)
            partitions = [
                MetadataResponse.MetadataResponseTopic.MetadataResponsePartition(
                    error_code=0, partition_index=number, leader_id=1, replica_nodes=[1], isr_nodes=[1]
                )
                for number in range(2)
            ]
            topic = MetadataResponse.MetadataResponseTopic(error_code=0, name=TOPIC, partitions=partitions)
            return MetadataResponse(version=version, brokers=[broker], controller_id=1, topics=[topic])
        return None


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def silent_broker() -> Iterator[str]:
    """Yield host:port of the broker; TOPIC has two partitions."""
    with _Server(("127.0.0.1", 0), _Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
