"""Decoding of a chunked request body (RFC 9112, section 7.1), piece by piece as it arrives. Linear in what arrives."""

import re
from collections.abc import Callable

from gunicorn.http.body import CHUNK_EXT_RE

from integration_hub.web_server.refusals import RefusedRequest

MAX_SIZE_LINE_BYTES = 1_024
# Of one body. They carry nothing that the hub reads, and are not part of its length.
MAX_EXTENSION_BYTES = 16_384
MAX_TRAILER_BYTES = 8_192

_SIZE = re.compile(rb"[0-9A-Fa-f]+")


class ChunkedBody:
    """The body decoded so far. `check_trailers` raises for invalid trailer fields, which are dropped."""

    def __init__(self, most: int, check_trailers: Callable[[bytes], object]) -> None:
        self.data = bytearray()
        self.is_complete = False
        self._most = most
        self._check_trailers = check_trailers
        self._step: Callable[[bytearray], bool] = self._read_size
        self._left = 0
        self._extensions = 0

    @property
    def is_too_large(self) -> bool:
        """True if the body is larger than allowed. The rest need not be read."""
        return len(self.data) > self._most

    def limit_size(self, most: int) -> None:
        """Allow no more than this from now on."""
        self._most = most

    def feed(self, buffer: bytearray) -> None:
        """Consume the part of the buffer that belongs to the body. Raises RefusedRequest if it is malformed."""
        while not self.is_complete and not self.is_too_large and self._step(buffer):
            pass

    def _read_size(self, buffer: bytearray) -> bool:
        line = _take_line(buffer, MAX_SIZE_LINE_BYTES)
        if line is None:
            if buffer and not _SIZE.match(buffer):
                raise RefusedRequest(reason="chunk size")
            return False
        size, semicolon, extension = line.partition(b";")
        if semicolon:
            size = size.rstrip(b" \t")
            self._extensions += len(extension)
            if self._extensions > MAX_EXTENSION_BYTES or not CHUNK_EXT_RE.fullmatch(b";" + extension):
                raise RefusedRequest(reason="chunk extension")
        if not _SIZE.fullmatch(size):
            raise RefusedRequest(reason="chunk size")
        self._left = int(size, 16)
        self._step = self._read_data if self._left else self._read_trailers
        return True

    def _read_data(self, buffer: bytearray) -> bool:
        taken = buffer[: self._left]
        del buffer[: len(taken)]
        self.data += taken
        self._left -= len(taken)
        if not self._left:
            self._step = self._read_end_of_chunk
        return bool(taken)

    def _read_end_of_chunk(self, buffer: bytearray) -> bool:
        if not b"\r\n".startswith(buffer[:2]):
            raise RefusedRequest(reason="end of a chunk")
        if len(buffer) < 2:
            return False
        del buffer[:2]
        self._step = self._read_size
        return True

    def _read_trailers(self, buffer: bytearray) -> bool:
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
            self.is_complete = True
            return True
        end = buffer.find(b"\r\n\r\n")
        if (end if end >= 0 else len(buffer)) > MAX_TRAILER_BYTES:
            raise RefusedRequest(431, "trailers")
        if end < 0:
            if buffer.count(b"\n") != buffer.count(b"\r\n"):
                raise RefusedRequest(reason="bare line feed")
            return False
        self._check_trailers(bytes(buffer[:end]))
        del buffer[: end + 4]
        self.is_complete = True
        return True


def _take_line(buffer: bytearray, longest: int) -> bytes | None:
    """Remove the first line from the buffer. Returns None if it has not arrived in whole."""
    end = buffer.find(b"\n", 0, longest + 2)
    if end < 0:
        if len(buffer) > longest + 1:
            raise RefusedRequest(reason="line of a chunk")
        return None
    line = bytes(buffer[: end + 1])
    if not line.endswith(b"\r\n"):
        raise RefusedRequest(reason="bare line feed")
    del buffer[: end + 1]
    return line[:-2]
