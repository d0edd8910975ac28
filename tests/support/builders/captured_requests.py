"""Captured requests, stored through an open window of their source."""

from datetime import datetime, timedelta

from webhooks.captures.capture_windows import RequestToCapture, capture_request
from webhooks.models import CapturedRequest, CaptureWindow, Source

BODY = b'{"user": {"id": "U-1", "is_new": true}}'


def a_captured_request(
    source: Source, at: datetime, body: bytes = BODY, size: int | None = None, **headers: str
) -> CapturedRequest:
    """Capture an unverified request, of whose headers `headers` replace some, by a window that was opened before."""
    CaptureWindow.objects.get_or_create(
        source=source, defaults={"opened_at": at, "ends_at": at + timedelta(minutes=60)}
    )
    usual = {"authorization": "Bearer secret", "content-type": "application/json", "user-agent": "vendor"}
    request = RequestToCapture(
        usual | {name.replace("_", "-"): value for name, value in headers.items()},
        body,
        len(body) if size is None else size,
        "192.0.2.7",
        at,
        is_verified=False,
        reason="wrong-signature",
    )
    assert capture_request(Source.objects.get(pk=source.pk), request)
    return CapturedRequest.objects.latest("pk")
