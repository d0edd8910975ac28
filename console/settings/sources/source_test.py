"""Send a test event: sign a webhook as the source would and pass it through the real gate.

No route takes its entity type and event type, so it is stored, answered and ignored. No connection is called.
"""

import json
import uuid
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from config_schema.errors import SettingsInvalid
from console.base.audit_trail import client_address, record_action
from sync.delivery_service import DeliveryService
from sync.monitoring.health_figures import TEST_EVENT_TYPE
from webhooks.models import Event, Source
from webhooks.protocol.schemes import is_public_key, signed_query
from webhooks.protocol.signing import sign_body, sign_request
from webhooks.receiving.answers import Answer
from webhooks.receiving.incoming_request import IncomingRequest, sender_url
from webhooks.receiving.receive import receive_webhook


class CannotSendTestEvent(ValueError):
    """No test event can be sent. The text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class SentTestEvent:
    """The response that the source would get. `event` is None if the webhook was refused."""

    answer: Answer
    event: Event | None

    @property
    def was_accepted(self) -> bool:
        """Return True if the webhook was verified, stored and ignored, as intended."""
        return self.answer.code == "ignored"


def has_test_event(source: Source) -> bool:
    """Return True if the hub can make a webhook for this source: a format of its own is known to its sender alone, and
    one that is polled receives none.
    """
    try:
        return not source.is_polled and source.parsed_format.uses_default_fields
    except SettingsInvalid:  # what a form was given, which is shown with its errors
        return False


def send_test_event(request: HttpRequest, source: Source) -> SentTestEvent:
    """Send a test event and record it. Raises CannotSendTestEvent before anything is sent."""
    # A source may map any name to an event type; the test must never cause a delivery.
    if TEST_EVENT_TYPE in source.parsed_format.event_types:
        raise CannotSendTestEvent(
            _("The webhook format of the source uses the word %(word)s, which is reserved for test events.")
            % {"word": TEST_EVENT_TYPE}
        )
    if source.is_polled:
        raise CannotSendTestEvent(_("The source is polled: it receives no webhooks."))
    if not has_test_event(source):
        raise CannotSendTestEvent(
            _("The source has its own webhook format. Send a test event from the source instead.")
        )
    secrets = source.live_secrets(timezone.now())
    if source.needs_secret and not secrets:
        raise CannotSendTestEvent(_("The source has no active secret. Add one first."))
    # With a public key the hub can verify signatures and cannot make them.
    signing_secrets = [secret.value for secret in secrets if not is_public_key(secret.value)]
    if not signing_secrets and (secrets or (source.is_signed and not source.needs_secret)):
        raise CannotSendTestEvent(
            _(
                "The source signs with its own private key, which the hub does not have. Send a test "
                "event from the source instead."
            )
        )
    name = f"hub-test-{uuid.uuid4()}"
    # The newest secret: `live_secrets` returns the oldest first.
    arrival = _build_request(request, source, signing_secrets[-1] if signing_secrets else "", name)
    answer = receive_webhook(arrival, "en", DeliveryService())
    # Not by the event's id: without a signature that covers it, none is stored.
    event = Event.objects.filter(
        source=source, received_at=arrival.received_at, entity_type=TEST_EVENT_TYPE
    ).first()
    details = {"status": answer.status, "code": answer.code, "event": event.reference if event else ""}
    with transaction.atomic():
        record_action(request, f"setting:source:{source.pk}", "source.tested", details)
    return SentTestEvent(answer, event)


def _build_request(request: HttpRequest, source: Source, secret: str, name: str) -> IncomingRequest:
    """Build a signed webhook as the source would send it now, from this person's address."""
    now = timezone.now()
    document: dict[str, Any] = {
        "id": TEST_EVENT_TYPE,
        "entityType": TEST_EVENT_TYPE,
        "eventType": TEST_EVENT_TYPE,
        "eventId": name,
    }
    body = json.dumps(document, separators=(",", ":")).encode()
    content_type = min(source.parsed_format.content_types)
    headers = {"content-type": content_type, "webhook-id": name}
    incoming = IncomingRequest(
        source.slug,
        headers,
        body,
        len(body),
        client_address(request) or None,
        now,
        query_string=signed_query(source.scheme, source.scheme_settings),
        path=reverse("inbox", args=[source.slug]),
    )
    headers |= sign_request(
        source.scheme, source.scheme_settings, secret, body, name, now, url=sender_url(incoming)
    )
    sent = sign_body(source.scheme, source.scheme_settings, secret, body, name, now)
    return replace(incoming, body=sent, size=len(sent))
