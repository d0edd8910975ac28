"""Store unverified requests of a source for a while: 15 minutes, at most 20 requests, deleted after 24 hours.

A request has at most 64 KiB of body and 50 headers, so a window stores at most 2 MB. Outside a window nothing of a
body is stored.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from database.cached_read import cached_read
from database.clock import read_clock
from webhooks.captures.masked_headers import mask_headers
from webhooks.encryption.at_rest import decrypt, encrypt
from webhooks.models import CapturedRequest, CaptureWindow, Source

WINDOW_LENGTH = timedelta(minutes=15)
MAX_CAPTURED = 20
MAX_BODY = 65_536
KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class UnverifiedRequest:
    """The part of a request that is stored. `headers` have lower-case names."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    address: str | None
    received_at: datetime
    reason: str


def open_window(source: Source, now: datetime) -> CaptureWindow | None:
    """Open a window of 15 minutes. None if one is open. The caller records it on the audit log in its transaction."""
    Source.objects.select_for_update(no_key=True).get(pk=source.pk)
    if CaptureWindow.objects.filter(source=source, ends_at__gt=now).exists():
        return None
    values = {"opened_at": now, "ends_at": now + WINDOW_LENGTH, "captured": 0}
    window, _ = CaptureWindow.objects.update_or_create(source=source, defaults=values)
    return window


# Read at most once in that time by each process, and only for requests that are refused.
@cached_read(settings.CONFIGURATION_SECONDS, max_entries=1000)
def find_open_window(source_id: int) -> CaptureWindow | None:
    """Return the window of a source that has room, also if it has ended."""
    return CaptureWindow.objects.filter(source=source_id, captured__lt=MAX_CAPTURED).first()


def capture_request(source: Source, request: UnverifiedRequest) -> bool:
    """Store an unverified request if a window of its source is open. Returns True if it was stored."""
    window = find_open_window(source.pk)
    if window is None or not window.opened_at <= request.received_at < window.ends_at:
        return False
    open_rows = CaptureWindow.objects.filter(
        pk=window.pk,
        captured__lt=MAX_CAPTURED,
        opened_at__lte=request.received_at,
        ends_at__gt=request.received_at,
    )
    with transaction.atomic():
        # Compare-and-set: other requests may take the last places at the same moment.
        has_place = open_rows.update(captured=F("captured") + 1)
        if has_place:
            CapturedRequest.objects.create(
                source=source,
                received_at=request.received_at,
                address=request.address,
                reason=request.reason,
                size=len(request.body),
                sealed=_seal(source, request),
            )
    if not has_place:
        find_open_window.invalidate()
    return bool(has_place)


def _seal(source: Source, request: UnverifiedRequest) -> bytes:
    document = {
        "headers": mask_headers(request.headers, source.scheme, source.scheme_settings),
        "body": base64.b64encode(request.body[:MAX_BODY]).decode(),
    }
    return encrypt(json.dumps(document).encode())


def captured_requests(source: Source, now: datetime) -> QuerySet[CapturedRequest]:
    """Return the stored requests of a source that are not older than 24 hours, newest first."""
    return source.captured_requests.filter(received_at__gt=now - KEPT_FOR).order_by("-received_at", "-pk")


def open_captured(row: CapturedRequest) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a stored request. Raises CannotDecrypt."""
    document: dict[str, Any] = json.loads(decrypt(bytes(row.sealed)))
    return document["headers"], base64.b64decode(document["body"])


def delete_expired_captures() -> None:
    """Delete the requests that were stored more than 24 hours ago."""
    CapturedRequest.objects.filter(received_at__lte=read_clock() - KEPT_FOR).delete()


def erase_captures(_entity_id: str, _name: str) -> int:
    """Delete all stored requests, of all sources, for an erasure. Returns their number.

    Nothing says about whom an unverified body is: it may be of any form, so a search for the id would prove nothing.
    """
    return CapturedRequest.objects.all().delete()[0]
