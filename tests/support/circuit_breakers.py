"""Helpers for tests of circuit breakers: failing systems, and the state of the breakers."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.utils import timezone

from audit.models import Entry
from sync.models import Breaker, Connection, Delivery
from tests.support.hub import Hub, wait_until_quiet
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import State
from webhooks.models.rate_limit import forget_quotas

ENOUGH_FAILURES = 3
SECONDS = 60  # of the first pause
PAST = "2000-01-01T00:00:00Z"


@contextmanager
def cautious_breakers() -> Iterator[None]:
    """Configure all breakers to open for a minute after three failures."""
    forget_quotas()
    Connection.objects.update(breaker_failures=ENOUGH_FAILURES, breaker_seconds=SECONDS)
    yield
    forget_quotas()
    close_open_deliveries()


def create_people(hub: Hub, count: int) -> list[str]:
    """Create people in the identity service without customers in the shop. Returns their ids."""
    users = [f"PERSON{number}" for number in range(count)]
    for user in users:
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails}
        )
    return users


def webhook(user: str, **members: Any) -> dict[str, Any]:
    return {"id": user, "entityType": "USER", "eventType": "UPDATE"} | members


def ack(user: str) -> dict[str, Any]:
    return webhook(user, respond="ack")


def send_and_wait(hub: Hub, user: str) -> tuple[int, str]:
    """Post a webhook that waits for its outcome. Returns the HTTP status, and the code or the status word of the answer."""
    answer = hub.post(webhook(user))
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


def breaker(slug: str = "shop") -> Breaker | None:
    return Breaker.objects.filter(connection__slug=slug).first()


def is_open(slug: str = "shop") -> bool:
    shop_breaker = breaker(slug)
    return shop_breaker is not None and shop_breaker.open_until is not None


def open_breaker(hub: Hub, user: str, times: int = ENOUGH_FAILURES) -> None:
    """Let the shop fail until its breaker is open, then clear the fault."""
    fault = hub.shop.faults.add("error", status=503)
    for _ in range(times):
        send_and_wait(hub, user)
    assert is_open()
    hub.shop.faults.clear(fault.id)


def end_pause() -> None:
    Breaker.objects.filter(open_until__isnull=False).update(open_until=PAST)


def make_due() -> None:
    wait_until_quiet()
    Delivery.objects.filter(state=State.RETRYING).update(due_at=PAST)


def seconds_until(moment: Any) -> float:
    return float((moment - timezone.now()).total_seconds())


def breaker_entries(slug: str = "shop") -> list[str]:
    pk = Connection.objects.get(slug=slug).pk
    stored_entries = Entry.objects.filter(stream=f"setting:connection:{pk}", action__startswith="connection.")
    return list(stored_entries.order_by("pk").values_list("action", flat=True))


def run_at_once(*calls: Callable[[], Any]) -> list[Any]:
    def one(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))
