"""Exports above EXPORT_LIMIT events wait for a second person, who may create exports too."""

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from exports.jobs.lifecycle import append_export_entry, submit_export
from exports.models import Export, ExportState
from logins.held_permissions import APPROVE_EXPORTS
from logins.second_person import Decider, possible_deciders, why_not_second


class ApprovalRefused(ValueError):
    """The approval was refused, with a sentence for the person who wanted to give it."""


def awaiting_exports() -> QuerySet[Export]:
    """Return the exports that await a second person."""
    return Export.objects.filter(state=ExportState.AWAITING)


def why_not_approve(export: Export, by: User) -> str:
    """Return a sentence that says why this person cannot approve the export, or "" if they can."""
    if by.pk == export.requested_by_id:
        return _("You requested this export, so a second person must approve it.")
    return why_not_second(by.pk, int(export.requested_by_id or 0), APPROVE_EXPORTS, export.created_at)


def who_can_approve(export: Export) -> list[Decider]:
    """Return who can approve the export, and from when: see `possible_deciders`."""
    return possible_deciders(int(export.requested_by_id or 0), APPROVE_EXPORTS, export.created_at)


def approve_export(export: Export, *, by: User, address: str) -> None:
    """Approve an export as the second person; a worker then makes it from the beginning.

    Raises ApprovalRefused for a person who cannot approve it, and if it does not await approval any more.
    """
    if why_not := why_not_approve(export, by):
        raise ApprovalRefused(why_not)
    with transaction.atomic():
        values = {"state": ExportState.WAITING, "approved_by": by.pk, "approved_at": timezone.now()}
        # Compare-and-set: of two people who decide at the same time, one does.
        if not awaiting_exports().filter(pk=export.pk).update(**values, total=None, position=0, progress={}):
            raise ApprovalRefused(_("This was already decided."))
        submit_export(export)
        append_export_entry(export, "export.approved", f"person:{by.pk}", {"address": address})
