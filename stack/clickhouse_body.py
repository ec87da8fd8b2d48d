"""Bodies of HTTP requests and answers: framing, compression, limits counted before anything is kept."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Protocol

import lz4.frame
from backports import zstd

from stack.clickhouse_errors import BAD_ARGUMENTS, NETWORK_ERROR, NOT_IMPLEMENTED, QUERY_IS_TOO_LARGE, Refused

PIECE = 1 << 20


class Reader(Protocol):
    """The part of a socket's file that is needed here."""

    def read(self, size: int = -1, /) -> bytes: ...  # noqa: D102 - io.BufferedIOBase
    def readline(self, limit: int | None = -1, /) -> bytes: ...  # noqa: D102 - io.BufferedIOBase


class Headers(Protocol):
    """The part of email.message.Message that is needed here."""

    def get(self, name: str, /) -> str | None: ...  # noqa: D102 - see class


class Limit:
    """Counts bytes and raises Refused past the limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen = 0

    def add(self, size: int) -> None:
        """Count size bytes in."""
        self._seen += size
        if self._seen > self._most:
            raise Refused.here(
                QUERY_IS_TOO_LARGE,
                "TG-clickhouse-body-size",
                f"request body of more than {self._most} bytes (TIDEGAUGE_CLICKHOUSE_MAX_BODY_BYTES)",
            )


class Body:
    """One request's body. Iterate to get it decompressed, in pieces of at most about 1 MiB; raises Refused.

    limit: most bytes, counted both as sent and decompressed.
    """

    def __init__(self, source: Reader, headers: Headers, limit: int) -> None:
        self._encoding = headers.get("Content-Encoding") or ""
        self._plain = Limit(limit)
        self._wire = self._watched(_framed(source, headers, Limit(limit)))
        self.finished = False

    def _watched(self, wire: Iterator[bytes]) -> Iterator[bytes]:
        yield from wire
        self.finished = True

    def __iter__(self) -> Iterator[bytes]:
        for piece in _decompressed(self._wire, self._encoding):
            self._plain.add(len(piece))
            yield piece

    def drain(self, most: int) -> bool:
        """Read what the request left, up to `most` bytes; tell whether its end was reached and a next one may come."""
        seen = 0
        try:
            for piece in self._wire:
                seen += len(piece)
                if seen > most:
                    return False
        except Refused:
            return False
        return self.finished


def _framed(source: Reader, headers: Headers, limit: Limit) -> Iterator[bytes]:
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        yield from _chunked(source, limit)
        return
    length = headers.get("Content-Length") or "0"
    if not length.isdecimal():
        raise Refused.here(BAD_ARGUMENTS, "TG-clickhouse-length", f"Content-Length {length[:40]!r} is not a number")
    left = int(length)
    limit.add(left)
    while left:
        piece = source.read(min(left, PIECE))
        if not piece:
            raise _broken()
        left -= len(piece)
        yield piece


def _chunked(source: Reader, limit: Limit) -> Iterator[bytes]:
    while True:
        line = source.readline(1024)
        try:
            size = int(line.split(b";")[0].strip(), 16)
        except ValueError:
            raise _broken() from None
        if size < 0:
            raise _broken()
        limit.add(size)
        if size == 0:
            while source.readline(65536).strip():
                pass
            return
        while size:
            piece = source.read(min(size, PIECE))
            if not piece:
                raise _broken()
            size -= len(piece)
            yield piece
        source.readline(8)


def _broken() -> Refused:
    return Refused.here(NETWORK_ERROR, "TG-clickhouse-body", "the request body ends before its declared length", 400)


class _Inflate:
    """zlib with the face of the other decompressors: bounded output per call, eof, needs_input, unused_data."""

    def __init__(self, wbits: int) -> None:
        self._object = zlib.decompressobj(wbits)
        self.needs_input = True

    def decompress(self, data: bytes, most: int) -> bytes:
        out = self._object.decompress(self._object.unconsumed_tail + data, most)
        self.needs_input = not self._object.unconsumed_tail
        return out

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data


_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: _Inflate(31),
    "deflate": lambda: _Inflate(15),
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
}


def _decompressed(body: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from body
        return
    make = _DECOMPRESSORS.get(encoding)
    if make is None:
        detail = f"Content-Encoding {encoding[:40]!r}, known: {', '.join(_DECOMPRESSORS)}"
        raise Refused.here(NOT_IMPLEMENTED, "TG-clickhouse-encoding", detail)
    machine = None
    try:
        for piece in body:
            data = piece
            while data or (machine is not None and not machine.needs_input):
                if machine is None:
                    machine = make()
                out = machine.decompress(data, PIECE)
                data = b""
                if out:
                    yield out
                if machine.eof:
                    # Clients compress block by block: a body may be several frames.
                    data, machine = machine.unused_data or b"", None
    except (zlib.error, RuntimeError, EOFError, zstd.ZstdError) as error:
        raise Refused.here(BAD_ARGUMENTS, "TG-clickhouse-encoding", f"the body is not {encoding}: {error}") from None
    if machine is not None:
        raise _broken()


def read_all(body: Iterable[bytes], most: int) -> bytes:
    """Return a statement's text whole; raises Refused past `most` bytes."""
    parts, size = [], 0
    for piece in body:
        parts.append(piece)
        size += len(piece)
        if size > most:
            raise Refused.here(QUERY_IS_TOO_LARGE, "TG-clickhouse-sql-size", f"a statement of more than {most} bytes")
    return b"".join(parts)


def parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a multipart/form-data body (RFC 7578): query and param_*; raises Refused."""
    head = b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            raise Refused.here(NOT_IMPLEMENTED, "TG-clickhouse-external", "external data tables are not served")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            fields[name] = value.decode(errors="replace")
    return fields


class Compressor(Protocol):
    """A running compression of one answer."""

    def compress(self, data: memoryview, /) -> bytes: ...  # noqa: D102 - see class
    def flush(self) -> bytes: ...  # noqa: D102 - see class


class _Lz4:
    def __init__(self) -> None:
        self._object = lz4.frame.LZ4FrameCompressor()
        self._head = self._object.begin()

    def compress(self, data: memoryview) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._object.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._object.flush())


# The cheapest first: an answer mostly crosses the loopback only.
_COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "lz4": _Lz4,
    "zstd": lambda: zstd.ZstdCompressor(1),
    "gzip": lambda: zlib.compressobj(1, zlib.DEFLATED, 31),
    "deflate": lambda: zlib.compressobj(1, zlib.DEFLATED, 15),
}


def choose(accepted: str) -> str:
    """Return the encoding to answer in, empty for none: the first of ours that Accept-Encoding names."""
    names = {part.split(";")[0].strip().lower() for part in accepted.split(",") if not part.rstrip().endswith("q=0")}
    return next((name for name in _COMPRESSORS if name in names), "")


def compressed(body: Iterable[memoryview], encoding: str) -> Iterator[bytes | memoryview]:
    """Yield body compressed by one of choose()'s encodings, or as it is if encoding is empty."""
    if not encoding:
        yield from body
        return
    machine = _COMPRESSORS[encoding]()
    for piece in body:
        out = machine.compress(piece)
        if out:
            yield out
    yield machine.flush()
