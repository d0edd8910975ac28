"""The hub and its stand-in systems while the stories happen, all in this process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.test import Client

from audit.entries.acting_person import ActingPerson
from devtools.sandbox_setup import SIGNED
from devtools.stories.moved_clock import MovedClock
from sandbox.identity import IdentityService
from sandbox.identity.signing import sign_webhook
from sandbox.identity.webhook import Webhook
from sandbox.shop import ShopService
from sync.housekeeping.audit_upkeep import seal_audit
from sync.models import Route
from sync.operations.failure_groups import refresh_failure_groups
from sync.operations.superseded_failures import supersede_failures
from webhooks.models import Event

_STORED = frozenset({200, 202, 409, 422, 424})


@dataclass(slots=True)
class StoryContext:
    """What the stories act on. `secret`: of the source, with which the identity service signs its webhooks."""

    clock: MovedClock
    identity: IdentityService
    shop: ShopService
    secret: str
    client: Client = field(default_factory=lambda: Client(headers={"host": "127.0.0.1"}))
    _numbers: Any = field(default_factory=lambda: count(1))

    def send_webhook(
        self,
        entity_id: str,
        event_type: str = "UPDATE",
        entity_type: str = "USER",
        occurred_at: str | None = None,
    ) -> Event:
        """Send a signed webhook about what happened just now, or at this time, and wait for the hub's answer. Returns
        its event. Raises CommandError if the hub stored none.
        """
        body = Webhook(entity_type, entity_id, event_type, occurred_at).encode_body()
        webhook_id, sent_at = f"msg_{next(self._numbers):06}", int(self.clock.now().timestamp())
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(sent_at),
            "webhook-signature": sign_webhook(self.secret, webhook_id, sent_at, body),
        }
        answer = self.client.post(
            f"/webhooks/{SIGNED}", body, content_type="application/json", headers=headers
        )
        if answer.status_code not in _STORED:
            raise CommandError(f"The hub answered {answer.status_code} to a webhook of a story.")
        return Event.objects.get(source__slug=SIGNED, event_id=webhook_id)

    def change_person(self, entity_id: str, changes: Mapping[str, object]) -> Event:
        """Change a person in the identity service, and send the webhook."""
        self.identity.directory.update_record("users", entity_id, changes, replaces=False)
        return self.send_webhook(entity_id)

    def do_periodic_work(self) -> None:
        """Do what a worker does every few seconds and what these stories need."""
        supersede_failures()
        refresh_failure_groups()
        seal_audit()

    @property
    def route(self) -> Route:
        """Return the route of people."""
        routes = Route.objects.select_related("source", "identity", "target", "mapping")
        return routes.get(source__slug=SIGNED, entity_type="USER")


def person_named(name: str) -> ActingPerson:
    """Return the person with this login as the one who acts."""
    return ActingPerson(User.objects.get(username=name), "127.0.0.1")
