"""A hub in the test process: webhooks come through Django's client, both stand-in services are called over real HTTP."""

import base64
import hashlib
import hmac
import json
import os
import time
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.test import Client

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from sync.execution import executor as execution_executor
from sync.models import Delivery
from webhooks.models import State

SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"
EXAMPLE = b'{"id":"IDNUMBER1234","entityType":"USER","eventType":"UPDATE","timestamp":"2019-01-01T00:00:00Z"}'
ANNA = "IDNUMBER1234"


def new_sealing_key() -> str:
    """Return a fresh key for SEALING_KEYS."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def signature_headers(body: bytes, webhook_id: str, at: float | None = None) -> dict[str, str]:
    """Return the three headers of Standard Webhooks for these bytes."""
    seconds = str(int(at if at is not None else time.time()))
    key = base64.b64decode(SIGNING_SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, b".".join([webhook_id.encode(), seconds.encode(), body]), hashlib.sha256)
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": webhook_id, "webhook-timestamp": seconds, "webhook-signature": signature}


def wait_until_quiet(seconds: float = 60.0) -> None:
    """Wait until the threads of this process are idle, also those that go on with due deliveries after an answer."""
    until = time.monotonic() + seconds
    executor = execution_executor._process_executor()
    while executor.used_slots:
        assert time.monotonic() < until, "deliveries did not end"
        time.sleep(0.005)


@dataclass
class Hub:
    """One hub, one identity service, one shop."""

    identity: IdentityService
    shop: ShopService
    client: Client
    sent: int = 0

    def post(
        self, body: bytes | dict[str, Any], slug: str = "aurora-unsigned", **headers: str
    ) -> HttpResponse:
        """Post a webhook to the unsigned source."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(f"/webhooks/{slug}", raw, content_type="application/json", headers=headers)

    def post_signed(
        self, body: bytes | dict[str, Any], webhook_id: str | None = None, **headers: str
    ) -> HttpResponse:
        """Post a signed webhook, with a new id unless one is given."""
        self.sent += 1
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        name = webhook_id or f"msg_{self.sent}_{time.monotonic_ns()}"
        return self.post(raw, "aurora", **(signature_headers(raw, name) | headers))

    def change_email(self, address: str, user: str = ANNA) -> str:
        """Change a user's address in the identity service without a webhook. Returns the address."""
        self.identity.directory.update_record(
            "users", user, {"emails": [{"address": address, "verified": True}]}, replaces=False
        )
        return address

    def customer(self, user: str = ANNA) -> dict[str, Any] | None:
        """Return the shop's record of a user; None if it has none."""
        customers = [
            customer
            for customer in self.shop.list_records("customers")
            if customer.get("external_id") == user
        ]
        assert len(customers) <= 1, "the shop has two records of one user"
        return customers[0] if customers else None

    def writes(self) -> list[dict[str, Any]]:
        """Return the write requests to the shop, oldest first."""
        return self.shop.read_journal(only_writes=True)

    def wait_until_idle(self, seconds: float = 60.0) -> None:
        """Wait until no delivery is pending or running."""
        until = time.monotonic() + seconds
        while Delivery.objects.filter(state__in=[State.PENDING, State.RUNNING]).exists():
            assert time.monotonic() < until, "deliveries did not end"
            time.sleep(0.02)

    def wait_until_quiet(self, seconds: float = 60.0) -> None:
        wait_until_quiet(seconds)

    def wait_until_shop_is_idle(self) -> None:
        """Wait until the shop has no open request, at most 10 s: for broken variants that never become idle."""
        until = time.monotonic() + 10
        while (
            any(request["ended"] is None for request in self.shop.read_journal()) and time.monotonic() < until
        ):
            time.sleep(0.05)
