"""Reading of one request from the bytes of a connection, without waiting. gunicorn's parser gets the whole head, and
the application the whole body.
"""

import io
import re
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from django.core.exceptions import RequestDataTooBig
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

from integration_hub.web_server.chunked_body import ChunkedBody
from integration_hub.web_server.refusals import RefusedRequest
from webhooks.protocol.formats.webhook_format import DEFAULT_MAX_BODY_BYTES, MAX_BODY_BYTES
from webhooks.receiving.incoming_request import client_address

MAX_HEAD_BYTES = 65_536
# Of a form of the console, as in Django's DATA_UPLOAD_MAX_MEMORY_SIZE.
MAX_FORM_BYTES = 2_621_440
# The largest body by the beginning of its path, decoded as the application decodes it. Which sources accept more than
# the usual is known to the application.
ADMIN_PATH, WEBHOOK_PATH = "/admin/", "/webhooks/"
_BODY_LIMITS = ((ADMIN_PATH, MAX_FORM_BYTES), (WEBHOOK_PATH, MAX_BODY_BYTES))

# Bytes that no head may contain. They are looked for before its end has come, which may never come: TLS, for example.
_NEVER_IN_HEAD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n")
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (LimitRequestLine, 414),
    (LimitRequestHeaders, 431),
    (ExpectationFailed, 417),
)


class BodySender(NamedTuple):
    """What the head of a request says about who sends its body. `path` is decoded, `address` empty if it is unknown."""

    address: str
    path: str
    cookies: str


class RequestReader:
    """A request while it arrives. `buffer` holds what is not read yet, in the end what follows the request."""

    def __init__(self, config: Any, client: Any) -> None:
        self.buffer = bytearray()
        self.received = 0
        self.is_complete = False
        # True if the application gets the request although its body is too large to be read.
        self.is_cut_off = False
        self._config = config
        self._client = client
        self._searched = 0
        self._request: Any = None
        self._chunks: ChunkedBody | None = None
        self._length = 0
        self._is_head = False

    @property
    def request(self) -> Any:
        """The request for gunicorn, with its body in memory."""
        assert self.is_complete
        return self._request

    @property
    def is_large(self) -> bool:
        """True if the body needs more memory than the body of a usual webhook, or will when it has arrived."""
        if self._chunks is not None:
            return len(self._chunks.data) > DEFAULT_MAX_BODY_BYTES and not self.is_cut_off
        return self._length > DEFAULT_MAX_BODY_BYTES and not self.is_cut_off

    @property
    def sender(self) -> BodySender:
        """Return who sends the body, once the head has arrived."""
        peer = self._client[0] if isinstance(self._client, tuple) else ""
        address = client_address(peer, self._header("X-FORWARDED-FOR", ","))
        return BodySender(address or "", unquote(self._request.path), self._header("COOKIE", "; "))

    def refuse_large_body(self) -> None:
        """Read no more of the body than that of a usual webhook. The application gets the request, and refuses it."""
        if self.is_complete:
            return  # it is in memory already
        if self._chunks is not None:
            self._chunks.limit_size(DEFAULT_MAX_BODY_BYTES)
        self.is_cut_off = True
        self._read_body()

    def _header(self, name: str, separator: str) -> str:
        return separator.join(value for key, value in self._request.headers if key == name)

    @property
    def is_head(self) -> bool:
        """True if the method is HEAD, as far as is known."""
        return self._is_head or self.buffer.startswith(b"HEAD ")

    def feed(self, data: bytes) -> None:
        """Read what has arrived. Raises RefusedRequest if it is not a valid request."""
        self.buffer += data
        self.received += len(data)
        if self._request is None:
            self._read_head()
        if self._request is not None and not self.is_complete:
            self._read_body()

    def take_expectation(self) -> bool:
        """True, once, if the client waits for `100 Continue` before it sends the body."""
        if self._request is None or self.is_complete or not self._request._expected_100_continue:
            return False
        self._request._expected_100_continue = False
        return not self.buffer

    def _read_head(self) -> None:
        end = self.buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        size = end + 4 if end >= 0 else len(self.buffer)
        if _NEVER_IN_HEAD.search(self.buffer, max(0, self._searched - 1), size):
            raise RefusedRequest(reason="control character in the head")
        self._searched = size
        if (
            size > (longest := self._config.limit_request_line + 2)
            and self.buffer.find(b"\r\n", 0, longest) < 0
        ):
            raise RefusedRequest(414, "request line")
        if end >= 0:
            head = bytes(self.buffer[:size])
            self._is_head = head.startswith(b"HEAD ")
            del self.buffer[:size]
            self._request = self._parse_head(head)
        if size > MAX_HEAD_BYTES:
            raise RefusedRequest(431, "head")

    def _parse_head(self, head: bytes) -> Any:
        try:
            request = Request(self._config, IterUnreader([head]), self._client)
        except (ParseException, OSError, StopIteration, ValueError) as error:
            status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 400)
            raise RefusedRequest(status, type(error).__name__) from error
        request.headers = _checked_headers(request)
        # A later minor version is answered with the version that the server speaks.
        request.version = min(request.version, (1, 1))
        self._prepare_body(request)
        return request

    def _prepare_body(self, request: Any) -> None:
        reader, path = request.body.reader, unquote(request.path)
        limit = next(
            (size for beginning, size in _BODY_LIMITS if path.startswith(beginning)), DEFAULT_MAX_BODY_BYTES
        )
        if isinstance(reader, ChunkedReader):
            self._chunks = ChunkedBody(limit, lambda fields: _check_trailers(request, fields))
        else:
            self._length = reader.length
            self.is_cut_off = self._length > limit

    def _read_body(self) -> None:
        if self._chunks is not None:
            self._chunks.feed(self.buffer)
            self.is_cut_off = self._chunks.is_too_large
            self.is_complete = self._chunks.is_complete or self.is_cut_off
            body = bytes(self._chunks.data) if self.is_complete else b""
        else:
            self.is_complete = self.is_cut_off or len(self.buffer) >= self._length
            body = bytes(self.buffer[: self._length]) if self.is_complete else b""
            del self.buffer[: len(body)]
        if self.is_complete:
            self._request._expected_100_continue = False
            self._request.body = _CutOffBody(body) if self.is_cut_off else io.BytesIO(body)
            if self.is_cut_off:
                self._request.force_close()


class _CutOffBody(io.BytesIO):
    """The beginning of a body that is larger than anything the application reads. No one gets it instead of the whole
    body: a read beyond its end raises RequestDataTooBig.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is None or size < 0 or len(data) < size:
            raise RequestDataTooBig
        return data


def _check_trailers(request: Any, fields: bytes) -> None:
    try:
        request.parse_headers(fields, from_trailer=True)
    except (ParseException, ValueError) as error:
        raise RefusedRequest(reason="trailer") from error


def _checked_headers(request: Any) -> list[tuple[str, str]]:
    """Return the headers of a request. Raises RefusedRequest for some that gunicorn's parser accepts."""
    # The hub decodes no other coding, and would take the encoded bytes for the body.
    codings = [value.lower() for name, value in request.headers if name == "TRANSFER-ENCODING"]
    if codings not in ([], ["chunked"]):
        raise RefusedRequest(reason="transfer coding")
    if request.version > (1, 0) and all(name != "HOST" for name, _ in request.headers):
        raise RefusedRequest(reason="no Host")
    if request.uri.startswith("/") or request.uri == "*" or request.method == "CONNECT":
        return list(request.headers)
    # RFC 9112, section 3.2.2: the host of an absolute target counts, and the header does not.
    target = urlsplit(request.uri)
    if target.scheme not in ("http", "https") or not target.netloc:
        raise RefusedRequest(reason="target")
    return [*((name, value) for name, value in request.headers if name != "HOST"), ("HOST", target.netloc)]
