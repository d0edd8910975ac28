"""How each broken variant breaks the good function. Runs inside the hub's processes.

Django and the hub are imported late: this module is loaded before either may be.
"""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

AFTER_THE_ANSWER = 0.02
TEN_YEARS = 315_360_000.0


def answer_first(receive: Callable[..., Any]) -> Callable[..., Any]:
    """Say 202 at once; store a moment later, in a thread."""

    def receive_later(*arguments: Any) -> Any:
        from webhooks.receiving.answers import Answer

        threading.Timer(AFTER_THE_ANSWER, receive, arguments).start()
        return Answer(202, b'{"status":"accepted"}', "accepted", {}, is_final=False)

    return receive_later


def record_no_write_before(record_request: Callable[..., None]) -> Callable[..., None]:
    """A write is announced as if it were a read: its row comes with the attempt's end."""

    def record_read(self: Any, request: Any) -> None:
        record_request(self, request._replace(is_write=False))

    return record_read


def believe_every_token(statement: Any) -> Any:
    """The same statement, whoever holds the delivery and whether or not it runs. ValueError where it asks for neither."""
    from database.statement import Statement

    sql, fence = statement.sql, "token = %s AND COALESCE(state, '') = 'running'"
    if fence not in sql:
        raise ValueError(f"the statement has no fence {fence!r}")
    return Statement(sql.replace(fence, "COALESCE(token = %s, TRUE) IS NOT NULL"))


def believe_every_token_of(statements: Any) -> Any:
    """The same for the statement of each database."""
    return {vendor: believe_every_token(each) for vendor, each in statements.items()}


def let_them_all_run(goes_first: Callable[..., bool]) -> Callable[..., bool]:
    """A sibling that runs is no reason to wait."""

    def goes_first_unless_running(other: Any, delivery: Any) -> bool:
        return other.state != "running" and goes_first(other, delivery)

    return goes_first_unless_running


def settle_what_came_later(settle: Callable[..., Any]) -> Callable[..., Any]:
    """Every delivery of the subject that is open when an attempt ends takes over its outcome."""

    def settle_all(claim: Any, *arguments: Any) -> Any:
        settled = settle(claim, *arguments)
        if settled is None:
            return None
        return dataclasses.replace(settled, events=(*settled.events, *_take_along(claim)))

    return settle_all


def _take_along(claim: Any) -> tuple[int, ...]:
    from django.utils import timezone

    from sync.models import Delivery
    from webhooks.models import Event

    own = Delivery.objects.get(pk=claim.delivery.pk)
    subject = {name: getattr(own, name) for name in ("entity_id", "entity_type", "identity", "commercial")}
    later = Delivery.objects.filter(**subject, state__in=["pending", "retrying"]).exclude(pk=own.pk)
    events = tuple(later.values_list("event_id", flat=True))
    later.filter(event_id__in=events).update(
        state=own.state, code=own.code, covered_by=claim.attempt, due_at=None, settled_at=timezone.now()
    )
    Event.objects.filter(pk__in=events).update(state=own.state, code=own.code)
    return events


def wait_for_ever(next_try: Callable[..., float | None]) -> Callable[..., float | None]:
    """Ten years until the next try, where there is one."""

    def never(*arguments: Any, **named: Any) -> float | None:
        return None if next_try(*arguments, **named) is None else TEN_YEARS

    return never
