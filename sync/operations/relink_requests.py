"""Request, apply and cancel runs that link all records of a target again by their external ids."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from sync.jobs.submission import cancel_job, submit_job
from sync.models import (
    OPEN_RELINKING_STATES,
    Connection,
    ConnectionSide,
    RelinkExample,
    Relinking,
    RelinkingState,
)

KIND = "relink"
_RETENTION = timedelta(days=90)


class RelinkingRefused(ValueError):
    """The request was refused; the message is for the person who made it."""


def newest_relinking(connection: Connection) -> Relinking | None:
    """Return the last run of a connection; None if there was none."""
    rows = Relinking.objects.filter(connection=connection).select_related("requested_by", "applied_by")
    return rows.order_by("-pk").first()


def request_preview(connection: Connection, person: ActingPerson, reason: str) -> Relinking:
    """Let a worker find out what linking all records of a target again would change. Changes no link.

    Raises RelinkingRefused if the connection is no target, or if a run of it is open.
    """
    if connection.side != ConnectionSide.TARGET:
        raise RelinkingRefused(_("Only the records of a target system are linked."))
    with transaction.atomic():
        # FOR NO KEY UPDATE: transactions that insert rows which refer to the connection need not wait.
        Connection.objects.select_for_update(no_key=True).values_list("pk").get(pk=connection.pk)
        if Relinking.objects.filter(connection=connection, state__in=OPEN_RELINKING_STATES).exists():
            raise RelinkingRefused(_("A preview of this connection is already open."))
        relinking = Relinking(connection=connection, reason=reason, requested_at=timezone.now())
        relinking.requested_by_id = person.user.pk
        relinking.save(force_insert=True)
        submit_job(KIND, relinking.pk)
        _append_entry(relinking, "connection.relinking-previewed", person, {"reason": reason})
    return relinking


def apply_preview(relinking: Relinking, person: ActingPerson) -> None:
    """Let a worker link the records anew: it reads each of them again, and changes what differs then.

    Raises RelinkingRefused unless the preview is ready.
    """
    values = {"counts": {}, "last_link": 0, "problem": "", "applied_by_id": person.user.pk}
    with transaction.atomic():
        ready = Relinking.objects.filter(pk=relinking.pk, state=RelinkingState.READY)
        if not ready.update(state=RelinkingState.LINKING, **values):
            raise RelinkingRefused(_("This preview cannot be applied any more. Nothing was changed."))
        RelinkExample.objects.filter(relinking=relinking).delete()
        submit_job(KIND, relinking.pk)
        _append_entry(relinking, "connection.relinking-applied", person, dict(relinking.counts))


def cancel_relinking(relinking: Relinking, person: ActingPerson) -> None:
    """End a run; records that are linked already stay so. Raises RelinkingRefused if it has ended."""
    with transaction.atomic():
        rows = Relinking.objects.filter(pk=relinking.pk, state__in=OPEN_RELINKING_STATES)
        if not rows.update(state=RelinkingState.CANCELLED, ended_at=timezone.now(), problem=""):
            raise RelinkingRefused(_("It has already ended."))
        cancel_job(KIND, relinking.pk)
        _append_entry(relinking, "connection.relinking-cancelled", person, {})


def delete_old_relinkings() -> None:
    """Delete runs that ended three months ago, with their examples."""
    Relinking.objects.filter(ended_at__lt=timezone.now() - _RETENTION).delete()


def _append_entry(
    relinking: Relinking, action: str, person: ActingPerson, details: dict[str, JSONValue]
) -> None:
    stream = f"setting:connection:{relinking.connection_id}"
    append_entries(NewEntry(stream, action, person.actor, {**details, "address": person.address}))
