"""Hand the requests to a source to its capture window, if one is open. Without one, none of this is called."""

import logging
from dataclasses import replace

from django.db import DatabaseError

from database.encryption.at_rest import CannotDecrypt
from webhooks.captures.capture_windows import RequestToCapture, capture_request
from webhooks.models import Source
from webhooks.receiving.incoming_request import IncomingRequest
from webhooks.receiving.request_verification import RequestRefused, VerifiedRequest

logger = logging.getLogger("hub.receive")


def capture_verified(source: Source, incoming: IncomingRequest) -> None:
    """Capture a verified request, before it is read: what cannot be read is to be seen too. A failure is
    logged only: the webhook is stored without its copy.
    """
    _capture(source, incoming, is_verified=True)


def capture_refused(
    source: Source, incoming: IncomingRequest, verified: VerifiedRequest | None, refusal: RequestRefused
) -> None:
    """Capture a refused request. `verified`: its verification, if it was refused after that, for a limit."""
    if verified is not None and verified.body is not None:
        incoming = replace(incoming, body=verified.body)
    _capture(source, incoming, is_verified=verified is not None, reason=refusal.reason or refusal.code)


def _capture(source: Source, incoming: IncomingRequest, *, is_verified: bool, reason: str = "") -> None:
    window = source.open_window
    if window is None or not window.is_open_at(incoming.received_at):
        return
    request = RequestToCapture(
        incoming.headers,
        incoming.body or b"",
        incoming.size or 0,
        incoming.address,
        incoming.received_at,
        # Of a source that verifies nothing anyone may be the sender.
        is_verified=is_verified and source.is_signed,
        reason=reason,
    )
    try:
        capture_request(source, request)
    except (DatabaseError, CannotDecrypt) as error:
        logger.error("a request of %s is not captured: %s was raised", source.slug, type(error).__name__)
