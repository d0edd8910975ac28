"""What the receiving half needs of the delivering half (see `webhooks.delivering`), in one object."""

import time

from django.db import transaction

from sync.claiming import due, siblings
from sync.clock import database_now
from sync.models import Delivery
from sync.opening import open_deliveries
from sync.outcomes import EventOutcome, give_up_what_must_not_go_on, outcome_of
from sync.settling import refresh_events
from sync.tasks import wake
from sync.waiting import wait, waiting_for
from webhooks.models import Event, State


class Deliveries:
    """Opens the deliveries of an event, waits for them, and says what became of it."""

    def open(self, event: Event) -> None:
        """Inside the transaction that stores the event, before it is saved with its state."""
        open_deliveries(event)

    def deliver(self, event: Event, seconds: float, *, with_entity: bool = False) -> EventOutcome:
        """Begin what is open and wait for it, at most `seconds`; then the outcome as it stands.

        Where this process has no place left for it, nobody waits: a worker will find it.
        """
        until = time.monotonic() + seconds
        with waiting_for(event.pk) as signal:
            has_place = wake(event.deliveries.filter(state=State.PENDING).values_list("pk", flat=True))
            is_done = wait(event.pk, signal, until) if has_place and seconds > 0 else False
        if is_done:
            self._give_up(event)
        return outcome_of(event, with_entity=with_entity)

    def deliver_again(self, event: Event, seconds: float, *, with_entity: bool = False) -> EventOutcome:
        """For a webhook that came again: what waits for its next try becomes due now, and is waited for.

        Deliveries that were asked to wait by the other side (429 with Retry-After) keep their time.
        """
        Delivery.objects.filter(event=event, state=State.RETRYING).exclude(
            code__endswith="-throttled"
        ).update(state=State.PENDING, due_at=database_now())
        return self.deliver(event, seconds, with_entity=with_entity)

    def outcome(self, event: Event) -> EventOutcome:
        """What became of the event so far."""
        return outcome_of(event)

    def _give_up(self, event: Event) -> None:
        """End what must not go on, then wake what waited behind it."""
        if not event.deliveries.filter(state=State.RETRYING).exists():
            return
        with transaction.atomic():
            stopped = give_up_what_must_not_go_on(event)
            if stopped:
                refresh_events([event.pk])
        followers = [
            due().filter(pk__in=siblings(each).values("pk")).order_by("pk").first() for each in stopped
        ]
        wake(each.pk for each in followers if each is not None)
