"""An event that the shop rejected, with all its stored data."""

import json
from typing import Any

from tests.support.builders.history import (
    a_call,
    a_delivery,
    a_receipt,
    a_route,
    an_attempt,
    an_event,
    sealed,
    sealed_findings,
)
from webhooks.models import Event

SECRET = "anna.private@example.com"


def a_failed_event(**values: Any) -> Event:
    """Create an event that the shop rejected, with one receipt, delivery, attempt and call."""
    payload = sealed("webhook", {"id": "USR-0", "previous": {"email": SECRET}})
    event = an_event(**{"state": "dead", "code": "target-rejected", "payload": payload} | values)
    a_receipt(event, status=422, code="target-rejected", answer=sealed("answer", {"detail": SECRET}))
    change = {
        "action": "update",
        "record": "4711",
        "fields": [{"name": "email", "before": "old@example.com", "after": SECRET}],
        "same": {"language": "fi"},
    }
    attempt = an_attempt(
        a_delivery(event, a_route(event.source), attempts_used=1, last_number=1),
        1,
        code="target-rejected",
        findings=sealed_findings(
            change=change,
            answer={"sentence": "Taken.", "errors": [{"field": "email", "code": "dup", "detail": ""}]},
        ),
    )
    a_call(
        attempt,
        status=422,
        response=sealed("response", [{"headers": {}, "body": json.dumps({"who": SECRET})}]),
    )
    return event
