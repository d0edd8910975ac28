"""Link a record to a subject, or unlink it, by decision of a person. Nothing is sent."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from audit.entries.append import NewEntry, append_entries
from connectors.http.urls import UnsafeValueError, check_id
from connectors.registry import id_characters
from sync.deliveries.record_links import bind_record, stream_of_entity
from sync.models import Connection, Delivery, Link


class LinkRefused(ValueError):
    """The link was not changed; the message is for the person who asked for it."""


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A subject and a target connection, and who changes the link between them, why, and from which address."""

    identity: Connection
    target: Connection
    entity_type: str
    entity_id: str
    by: AbstractBaseUser
    reason: str
    address: str = ""

    def find_link(self) -> Link | None:
        """Return the link of the subject at the target connection; None if there is none."""
        return Link.objects.filter(
            entity_id=self.entity_id,
            entity_type=self.entity_type,
            identity=self.identity,
            target=self.target,
        ).first()


def link_record(request: LinkRequest, record_id: str) -> None:
    """Link a record to the subject. Raises LinkRefused without a reason, for an invalid id, while a delivery of the
    subject runs, or if the subject has a record or the record another subject.
    """
    try:
        check_id(record_id, id_characters(request.target.connector, request.target.settings))
    except UnsafeValueError:
        raise LinkRefused(_("This is not a valid record id.")) from None
    with transaction.atomic():
        _require_change_possible(request)
        link = request.find_link()
        if link is not None and link.record_id:
            raise LinkRefused(_("This entity already has a record. Unlink it first."))
        if not bind_record(_as_delivery(request), record_id):
            raise LinkRefused(
                _("Record %(record)s is linked to another entity. Unlink it there first.")
                % {"record": record_id}
            )
        _append_entry(request, "link.created")


def unlink_record(request: LinkRequest, record_id: str) -> None:
    """Unlink the record from the subject. Raises LinkRefused without a reason, while a delivery of the subject runs, or
    if another record, or none, is linked by now.
    """
    with transaction.atomic():
        _require_change_possible(request)
        link = request.find_link()
        # The row stays: it contains the time of the newest relayed data, and older ones must not be applied later.
        is_unlinked = link is not None and Link.objects.filter(pk=link.pk, record_id=record_id).exclude(
            record_id=""
        ).update(
            record_id="", write_counts=None, unkept_fields=None, external_id_field="", withheld_fields=None
        )
        if not is_unlinked:
            raise LinkRefused(_("The link was changed in the meantime. Reload the page."))
        _append_entry(request, "link.removed")


def _require_change_possible(request: LinkRequest) -> None:
    if not request.reason.strip():
        raise LinkRefused(_("Enter a reason. It is recorded in the audit log."))
    # Its end would write the link that it found.
    running = Delivery.objects.running().filter(
        entity_id=request.entity_id,
        entity_type=request.entity_type,
        identity=request.identity,
        target=request.target,
    )
    if running.exists():
        raise LinkRefused(_("A delivery of this entity is running. Try again in a moment."))


def _as_delivery(request: LinkRequest) -> Delivery:
    """Return an unsaved delivery of the subject, which names it for `bind_record`."""
    return Delivery(
        identity=request.identity,
        target=request.target,
        entity_type=request.entity_type,
        entity_id=request.entity_id,
    )


def _append_entry(request: LinkRequest, action: str) -> None:
    """Append an entry to the stream of the entity's newest event, where a search for the entity finds it.

    The entry does not contain the id of the record: it may identify a person, and the log cannot be erased.
    """
    stream = stream_of_entity(request.entity_type, request.entity_id, request.target)
    details = {"connection": request.target.slug, "reason": request.reason, "address": request.address}
    append_entries(NewEntry(stream, action, f"person:{request.by.pk}", details))
