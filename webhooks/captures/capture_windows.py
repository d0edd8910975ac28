"""Store unverified requests of a source for a while: 15 minutes, at most 20 requests, deleted after 24 hours.

A body is stored whole as long as those of the window have at most 4 MiB together: a source accepts up to 1 MiB. Of
others the first 64 KiB are stored. So a window has at most 5.25 MiB of bodies. Outside one nothing of a body is stored.
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
from database.encryption.at_rest import decrypt, encrypt
from webhooks.captures.masked_headers import mask_headers
from webhooks.models import CapturedRequest, CaptureWindow, Source

WINDOW_LENGTH = timedelta(minutes=15)
MAX_CAPTURED = 20
MAX_WHOLE_BYTES = 4 * 1_048_576
CUT_BODY = 65_536
CAPTURE_RETENTION = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class UnverifiedRequest:
    """An unverified request to capture. `headers` have lower-case names, `reason`: why it is not verified."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    address: str | None
    received_at: datetime
    reason: str


def open_window(source: Source, now: datetime) -> CaptureWindow | None:
    """Open a capture window of 15 minutes. Returns None if one is open already. The caller, in whose transaction this
    runs, records it on the audit log.
    """
    Source.objects.select_for_update(no_key=True).get(pk=source.pk)
    if CaptureWindow.objects.filter(source=source, ends_at__gt=now).exists():
        return None
    values = {"opened_at": now, "ends_at": now + WINDOW_LENGTH, "captured": 0, "whole_bytes": 0}
    window, _ = CaptureWindow.objects.update_or_create(source=source, defaults=values)
    return window


# Read at most once in that time by each process, and only for requests that are refused.
@cached_read(settings.CONFIGURATION_SECONDS, max_entries=1000)
def find_open_window(source_id: int) -> CaptureWindow | None:
    """Return the capture window of a source if it has room for requests, even one that has ended."""
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
        # Compare-and-set: other requests may use up the room at the same moment.
        size = len(request.body)
        is_whole = bool(
            open_rows.filter(whole_bytes__lte=MAX_WHOLE_BYTES - size).update(
                captured=F("captured") + 1, whole_bytes=F("whole_bytes") + size
            )
        )
        has_room = is_whole or open_rows.update(captured=F("captured") + 1)
        if has_room:
            body = request.body if is_whole else request.body[:CUT_BODY]
            CapturedRequest.objects.create(
                source=source,
                received_at=request.received_at,
                address=request.address,
                reason=request.reason,
                size=size,
                encrypted=_encrypt_request(source, request.headers, body),
            )
    if not has_room:
        find_open_window.invalidate()
    return bool(has_room)


def _encrypt_request(source: Source, headers: Mapping[str, str], body: bytes) -> bytes:
    document = {
        "headers": mask_headers(headers, source.scheme, source.scheme_settings),
        "body": base64.b64encode(body).decode(),
    }
    return encrypt(json.dumps(document).encode())


def list_captured_requests(source: Source, now: datetime) -> QuerySet[CapturedRequest]:
    """Return the stored requests of a source that are not older than 24 hours, newest first."""
    return source.captured_requests.filter(received_at__gt=now - CAPTURE_RETENTION).order_by(
        "-received_at", "-pk"
    )


def decrypt_captured_request(row: CapturedRequest) -> tuple[dict[str, str], bytes]:
    """Decrypt a captured request. Returns its headers and its body, shorter than `size` if that was not stored whole.
    Raises CannotDecrypt.
    """
    document: dict[str, Any] = json.loads(decrypt(bytes(row.encrypted)))
    return document["headers"], base64.b64decode(document["body"])


def delete_expired_captures() -> None:
    """Delete the captured requests that were stored more than 24 hours ago."""
    CapturedRequest.objects.filter(received_at__lte=read_clock() - CAPTURE_RETENTION).delete()


def erase_captures(_entity_id: str, _name: str) -> int:
    """Delete all captured requests, of all sources, for an erasure. Returns their number.

    An unverified body may have any form, so a search for the id of the entity would prove nothing.
    """
    return CapturedRequest.objects.all().delete()[0]
