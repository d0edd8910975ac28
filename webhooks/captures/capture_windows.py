"""Store the requests to a source for a while: 60 minutes, at most 50 requests, verified or not, deleted after 24 hours.

Of verified requests 2 MiB of bodies are stored whole, and of all others as much: a source accepts up to 1 MiB. Of
further ones the first 64 KiB are stored. So a window has at most 7.2 MiB of bodies. While no window is open, a request
costs nothing and nothing of it is stored here.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from audit.entries.append import NewEntry, append_entries
from config_schema.errors import SettingsInvalid
from database.cached_read import cached_read
from database.clock import read_clock
from webhooks.captures.masked_headers import mask_headers
from webhooks.captures.places import MAX_CAPTURED, KeptRequest, choose_replaced, has_place, sender_of
from webhooks.models import CapturedRequest, CaptureWindow, Source, source_key
from webhooks.protocol.body_secret import BodySecret, remove_body_secret
from webhooks.protocol.formats.body_reader import remove_dropped_values
from webhooks.protocol.schemes import read_settings
from webhooks.protocol.strict_form import is_form

WINDOW_LENGTH = timedelta(minutes=60)
# Of verified requests, and of all others.
MAX_WHOLE_BYTES = 2 * 1_048_576
CUT_BODY = 65_536
CAPTURE_RETENTION = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class RequestToCapture:
    """A request to a source. `headers` have lower-case names, `size` is that of the body as it was received. `reason`:
    the code of its refusal, "" without one.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    size: int
    address: str | None
    received_at: datetime
    is_verified: bool
    reason: str = ""


def open_window(source: Source, now: datetime) -> CaptureWindow | None:
    """Open a capture window of 60 minutes. Returns None if one is open already. The caller, in whose transaction this
    runs, records it on the audit log.
    """
    Source.objects.select_for_update(no_key=True).get(pk=source.pk)
    _close_if_ended(source, now)
    if CaptureWindow.objects.filter(source=source).exists():
        return None
    return CaptureWindow.objects.create(source=source, opened_at=now, ends_at=now + WINDOW_LENGTH)


def close_window(windows: QuerySet[CaptureWindow]) -> dict[str, int] | None:
    """Close the one of these windows that there is. Returns how many requests it captured, and how many of them were
    verified, for the entry that the caller appends to the audit log in this transaction; None if there is none.
    """
    window = windows.select_for_update().first()
    if window is None:
        return None
    kept = _list_kept(window.source_id, window.opened_at)
    window.delete()
    return {"captured": len(kept), "verified": sum(request.is_verified for request in kept)}


def close_ended_windows() -> None:
    """Close the windows whose time is over, each with an entry on the audit log."""
    now = read_clock()
    for source in Source.objects.filter(capture_window__ends_at__lte=now):
        with transaction.atomic():
            _close_if_ended(source, now)


def _close_if_ended(source: Source, now: datetime) -> None:
    counts = close_window(CaptureWindow.objects.filter(source=source, ends_at__lte=now))
    if counts is not None:
        append_entries(NewEntry(f"setting:source:{source.pk}", "source.capture-closed", "system", counts))


def capture_request(source: Source, request: RequestToCapture) -> bool:
    """Store a request if the window of its source, which may have been closed since it was read, has a place for it.
    Returns True if it was stored.

    1. Look at what is stored as it was up to a second ago: a flood of requests without a place costs no more.
    2. Lock the window, so that requests take its places one after the other.
    3. Replace another request if the window is full.
    """
    window = source.open_window
    new = KeptRequest(0, request.is_verified, sender_of(request.address))
    if window is None or not has_place(_list_recently_kept(source.pk, window.opened_at), new):
        return False
    with transaction.atomic():
        window = CaptureWindow.objects.select_for_update(no_key=True).filter(source=source).first()
        if window is None or not window.is_open_at(request.received_at):
            return False
        kept = _list_kept(source.pk, window.opened_at)
        if len(kept) >= MAX_CAPTURED:
            replaced = choose_replaced(kept, new)
            if replaced is None:
                return False
            CapturedRequest.objects.filter(pk=replaced).delete()
            kept = [stored for stored in kept if stored.pk != replaced]
        _store_request(source, request, kept)
    _list_recently_kept.invalidate()
    return True


def _list_kept(source_id: int, opened_at: datetime) -> list[KeptRequest]:
    rows = CapturedRequest.objects.filter(source=source_id, received_at__gte=opened_at)
    return [
        KeptRequest(pk, is_verified, sender_of(address), size)
        for pk, is_verified, address, size in rows.values_list("pk", "is_verified", "address", "stored_size")
    ]


_list_recently_kept = cached_read(settings.CONFIGURATION_SECONDS, max_entries=1000)(_list_kept)


def _store_request(source: Source, request: RequestToCapture, kept: list[KeptRequest]) -> None:
    room = MAX_WHOLE_BYTES - sum(
        stored.stored_size for stored in kept if stored.is_verified == request.is_verified
    )
    whole = _remove_secrets(source, request)
    body = whole if len(whole) <= room else whole[:CUT_BODY]
    key = source_key(source.pk)
    CapturedRequest.objects.create(
        source=source,
        received_at=request.received_at,
        address=request.address,
        is_verified=request.is_verified,
        reason=request.reason,
        size=request.size,
        stored_size=len(body),
        is_cut=len(body) < len(whole) or (not body and request.size > 0),
        key=key,
        encrypted=key.encryptor.encrypt(_encode_request(source, request.headers, body)),
    )


def _remove_secrets(source: Source, request: RequestToCapture) -> bytes:
    """Return the body without its secret and without the values that the source's format drops; b"" if they cannot be
    found in it.
    """
    content_type = request.headers.get("content-type", "")
    try:
        rule = (
            None if source.scheme != "body-secret" else read_settings(source.scheme, source.scheme_settings)
        )
        body = remove_dropped_values(source.parsed_format, request.body, content_type)
    except SettingsInvalid:
        return b""
    # That of a verified request is removed already.
    if isinstance(rule, BodySecret) and not request.is_verified:
        return remove_body_secret(rule, body, is_form=is_form(content_type))
    return body


def _encode_request(source: Source, headers: Mapping[str, str], body: bytes) -> bytes:
    document = {
        "headers": mask_headers(headers, source.scheme_settings),
        "body": base64.b64encode(body).decode(),
    }
    return json.dumps(document).encode()


def list_captured_requests(source: Source, now: datetime) -> QuerySet[CapturedRequest]:
    """Return the stored requests of a source that are not older than 24 hours, newest first."""
    return source.captured_requests.filter(received_at__gt=now - CAPTURE_RETENTION).order_by(
        "-received_at", "-pk"
    )


def decrypt_captured_request(row: CapturedRequest) -> tuple[dict[str, str], bytes]:
    """Decrypt a captured request. Returns its headers and its body, as far as that is stored. Raises CannotDecrypt."""
    document: dict[str, Any] = json.loads(row.key.decrypt(bytes(row.encrypted)))
    return document["headers"], base64.b64decode(document["body"])


def clean_up_captures() -> None:
    """Close the windows whose time is over, and delete the requests that were captured more than 24 hours ago."""
    close_ended_windows()
    CapturedRequest.objects.filter(received_at__lte=read_clock() - CAPTURE_RETENTION).delete()
