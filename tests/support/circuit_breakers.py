"""A hub whose systems fail, and what can be seen of its breakers."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.utils import timezone

from audit.models import Entry
from sync.models import Breaker, Connection, Delivery
from tests.support.hub import Hub, wait_until_quiet
from tests.support.unfinished_deliveries import close_what_is_left
from webhooks.models import State
from webhooks.models.rate_limit import forget_shares

ENOUGH_FAILURES = 3
SECONDS = 60  # of the first pause
PAST = "2000-01-01T00:00:00Z"


@contextmanager
def cautious_breakers() -> Iterator[None]:
    """Breakers that open after three failures, for a minute."""
    forget_shares()
    Connection.objects.update(breaker_failures=ENOUGH_FAILURES, breaker_seconds=SECONDS)
    yield
    forget_shares()
    close_what_is_left()


def people(hub: Hub, count: int) -> list[str]:
    """New persons of the identity service, whom the shop does not know."""
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


def told(hub: Hub, user: str) -> tuple[int, str]:
    """A webhook whose source waits: the status and the code, or the status word, of its answer."""
    answer = hub.post(webhook(user))
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


def breaker(slug: str = "shop") -> Breaker | None:
    return Breaker.objects.filter(connection__slug=slug).first()


def is_open(slug: str = "shop") -> bool:
    found = breaker(slug)
    return found is not None and found.open_until is not None


def pause(hub: Hub, user: str, times: int = ENOUGH_FAILURES) -> None:
    """The shop fails until its breaker is open; it works again afterwards."""
    fault = hub.shop.faults.add("error", status=503)
    for _ in range(times):
        told(hub, user)
    assert is_open()
    hub.shop.faults.clear(fault.id)


def end_pause() -> None:
    Breaker.objects.filter(open_until__isnull=False).update(open_until=PAST)


def make_due() -> None:
    wait_until_quiet()
    Delivery.objects.filter(state=State.RETRYING).update(due_at=PAST)


def seconds_until(moment: Any) -> float:
    return float((moment - timezone.now()).total_seconds())


def happenings(slug: str = "shop") -> list[str]:
    pk = Connection.objects.get(slug=slug).pk
    found = Entry.objects.filter(stream=f"setting:connection:{pk}", action__startswith="connection.")
    return list(found.order_by("pk").values_list("action", flat=True))


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    def one(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))
