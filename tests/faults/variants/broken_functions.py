"""Replacements of functions of the hub in broken variants; they run inside the hub's processes.

Django and the hub are imported within functions: this module is loaded before they may be.
"""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

AFTER_THE_ANSWER = 0.02
TEN_YEARS = 315_360_000.0


def answer_first(receive: Callable[..., Any]) -> Callable[..., Any]:
    """Answer 202 at once and store the webhook a moment later, on a thread."""

    def receive_later(*arguments: Any) -> Any:
        from webhooks.receiving.answers import Answer

        threading.Timer(AFTER_THE_ANSWER, receive, arguments).start()
        return Answer(202, b'{"status":"accepted"}', "accepted", {}, is_final=False)

    return receive_later


def store_halves(store: Callable[..., Any]) -> Callable[..., Any]:
    """Store the first event of a batch in a commit of its own, then the whole batch, of which it is a repeat then."""

    def store_twice(
        source: Any, incoming: Any, verified: Any, request: Any, *arguments: Any, **named: Any
    ) -> Any:
        first = dataclasses.replace(request, events=request.events[:1])
        store(source, incoming, verified, first, *arguments, **named)
        return store(source, incoming, verified, request, *arguments, **named)

    return store_twice


def store_reversed(insert_batch: Callable[..., Any]) -> Callable[..., Any]:
    """Store the events of a batch in the opposite order. The answer has the order of the request."""

    def insert_reversed(*arguments: Any) -> Any:
        *others, items = arguments
        stored = insert_batch(*others, items[::-1])
        stored.items = items
        return stored

    return insert_reversed


def store_all_but_one(insert_batch: Callable[..., Any]) -> Callable[..., Any]:
    """Do not store the last new event of a batch with at least three that is answered at once. The answer names it."""

    def insert_all_but_one(*arguments: Any) -> Any:
        *others, items = arguments
        new = [item for item in items if hasattr(item, "session")]
        if len(new) < 3 or others[0].parsed_format.batch_response == "result":
            return insert_batch(*arguments)
        stored = insert_batch(*others, [item for item in items if item is not new[-1]])
        stored.items = items
        return stored

    return insert_all_but_one


def find_no_id(_: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that finds no id of an event."""
    return lambda *_: None


def reverse_results(batch_answer: Callable[..., Any]) -> Callable[..., Any]:
    """List the results in the opposite order."""
    return lambda results, *arguments, **named: batch_answer(results[::-1], *arguments, **named)


def record_no_write_before(record_request: Callable[..., None]) -> Callable[..., None]:
    """Record a write as if it were a read, so that its row is written at the end of the attempt."""

    def record_read(self: Any, request: Any) -> None:
        record_request(self, request._replace(is_write=False))

    return record_read


def believe_every_token(statement: Any) -> Any:
    """Return the statement without the check of the lease token. Raises ValueError if it has none."""
    from database.statement import Statement

    sql, fence = statement.sql, "token = %s AND COALESCE(state, '') = 'running'"
    if fence not in sql:
        raise ValueError(f"the statement has no fence {fence!r}")
    return Statement(sql.replace(fence, "COALESCE(token = %s, TRUE) IS NOT NULL"))


def believe_every_token_of(statements: Any) -> Any:
    """Return the statements of both databases without the check of the lease token."""
    return {vendor: believe_every_token(statement) for vendor, statement in statements.items()}


def let_them_all_run(goes_first: Callable[..., bool]) -> Callable[..., bool]:
    """Do not wait for a running delivery of the same subject."""

    def goes_first_unless_running(other: Any, delivery: Any) -> bool:
        return other.state != "running" and goes_first(other, delivery)

    return goes_first_unless_running


def settle_what_came_later(settle: Callable[..., Any]) -> Callable[..., Any]:
    """Settle every open delivery of the subject with the outcome of an attempt that ends."""

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
    subject = {name: getattr(own, name) for name in ("entity_id", "entity_type", "identity", "target")}
    later = Delivery.objects.filter(**subject, state__in=["pending", "retrying"]).exclude(pk=own.pk)
    events = tuple(later.values_list("event_id", flat=True))
    later.filter(event_id__in=events).update(
        state=own.state, code=own.code, covered_by=claim.attempt, due_at=None, settled_at=timezone.now()
    )
    Event.objects.filter(pk__in=events).update(state=own.state, code=own.code)
    return events


def wait_for_ever(next_try: Callable[..., float | None]) -> Callable[..., float | None]:
    """Delay every retry by ten years."""

    def never(*arguments: Any, **named: Any) -> float | None:
        return None if next_try(*arguments, **named) is None else TEN_YEARS

    return never
