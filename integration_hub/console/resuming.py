"""A person ends the pause of a connection: the next delivery that is due tries it."""

from django.db import transaction
from django.http import HttpRequest

from integration_hub.console.recording import record
from sync.breaking import forget
from sync.clock import database_now
from sync.models import Breaker, Connection


def try_now(request: HttpRequest, connection: Connection) -> bool:
    """End the pause at this moment, on record; whether there was one. The breaker stays half-open until enough
    deliveries succeeded: one goes first, and where it fails the next pause begins.
    """
    with transaction.atomic():
        paused = Breaker.objects.filter(connection=connection, open_until__gt=database_now())
        ended = bool(paused.update(open_until=database_now()))
        if ended:
            record(request, f"setting:connection:{connection.pk}", "connection.retried")
    forget()
    return ended
