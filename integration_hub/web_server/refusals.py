"""The server's own answers to invalid requests: JSON like all others, with nothing of the request."""

from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import responses

from webhooks.receiving.answers import problem_answer

RETRY_SECONDS = 5
_TEMPORARY = ("storage-unavailable", "too-many-requests")


class RefusedRequest(Exception):
    """A request that does not reach the application. `reason` is for the log and contains nothing of the request."""

    def __init__(self, status: int = 400, reason: str = "malformed", code: str = "bad-request") -> None:
        super().__init__(status, reason, code)
        self.status = status
        self.reason = reason
        self.code = code


def slow_request() -> RefusedRequest:
    """Return the refusal of a request that did not arrive in time."""
    return RefusedRequest(408, "too slow", "slow-request")


def internal_error() -> RefusedRequest:
    """Return the refusal for a failure outside Django, which answers its own."""
    return RefusedRequest(500, "internal error", "internal-error")


def build_response(refusal: RefusedRequest, *, without_body: bool = False) -> bytes:
    """Return the whole HTTP response to a refused request. `without_body` is for HEAD. The connection ends with it."""
    answer = problem_answer(refusal.code, "en", status=refusal.status)
    return format_response(
        refusal.status,
        answer.body,
        answer.content_type,
        without_body=without_body,
        may_retry=refusal.code in _TEMPORARY,
    )


def format_response(
    status: int, body: bytes, content_type: str, *, without_body: bool, may_retry: bool = False
) -> bytes:
    """Return the bytes of an HTTP response after which the connection ends."""
    lines = (
        # A status that is set by UNAVAILABLE_STATUS may have no phrase.
        f"HTTP/1.1 {status} {responses.get(status, '')}",
        f"Date: {format_datetime(datetime.now(UTC), usegmt=True)}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *((f"Retry-After: {RETRY_SECONDS}",) if may_retry else ()),
    )
    return "\r\n".join((*lines, "", "")).encode() + (b"" if without_body else body)
