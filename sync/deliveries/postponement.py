"""Postpone deliveries while a connection's breaker is open: no attempt is made and none is used."""

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from sync.deliveries.event_state import refresh_event_states
from sync.models import Breaker, Connection, Delivery
from webhooks.models import State


def postpone_delivery(delivery_id: int, connection: Connection) -> tuple[int, ...]:
    """Set a pending delivery to retrying, because the breaker of this connection is open.

    Returns the key of its event; nothing if the delivery was not pending. The delivery stays due: the sweep finds it
    once the breaker lets deliveries through.
    """
    with transaction.atomic():
        breaker = Breaker.objects.filter(pk=connection.pk).first()
        # A breaker that has closed since has no code any more.
        code = breaker.code if breaker and breaker.code else "interrupted"
        # A retrying delivery has its reason already.
        deliveries = Delivery.objects.filter(pk=delivery_id, state=State.PENDING).select_related("event")
        delivery = deliveries.select_for_update(of=("self",)).first()
        if delivery is None:
            return ()
        Delivery.objects.filter(pk=delivery_id).update(state=State.RETRYING, code=code)
        refresh_event_states([delivery.event_id])
        details = {"connection": connection.slug, "code": code}
        entry = NewEntry(delivery.stream, "delivery.postponed", details=details)
        append_entries(entry, at=timezone.now())
    return (delivery.event_id,)
