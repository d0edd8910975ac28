"""Request and decide erasures: one person requests, with a reason and a legal ground; another confirms or
refuses.
"""

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.append import NewEntry, append_entries
from logins.held_permissions import ERASE
from logins.second_person import Decider, possible_deciders, why_not_second
from sync.erasure.case_number import CaseNumberRefused, check_case_number, clean_case_number
from sync.erasure.subject_data import ErasureSubject, count_rows, find_subject
from sync.jobs import submission
from sync.models import Erasure, ErasureState, LegalGround
from webhooks.models import Event, is_erased

# Kind of the job that erases.
JOB_KIND = "erasure"


class ErasureRefused(ValueError):
    """The request was refused, with a sentence for the person who made it."""


def request_erasure(
    subject: ErasureSubject,
    *,
    ground: str,
    reason: str,
    by: AbstractBaseUser,
    address: str = "",
    case_number: str = "",
) -> Erasure:
    """Request an erasure; nothing is erased yet.

    Raises ErasureRefused without a reason or a legal ground, for an entity without stored data, or if its
    erasure was already requested; CaseNumberRefused if the case number may name a person.
    """
    reason = " ".join(reason.split())
    if not reason or ground not in LegalGround.values:
        raise ErasureRefused(_("Enter a reason and a legal ground. Both are stored with the erasure."))
    if is_erased(subject.entity_id) or not any(count_rows(subject).values()):
        raise ErasureRefused(_("No data is stored for this entity type and id."))
    case_number = clean_case_number(case_number)
    check_case_number(case_number, subject)
    erasure = Erasure(
        entity_type=subject.entity_type, entity_id=subject.entity_id, sources=list(subject.sources)
    )
    erasure.case_number = case_number
    erasure.ground, erasure.reason, erasure.requested_by_id, erasure.requested_at = (
        ground,
        reason[:500],
        by.pk,
        timezone.now(),
    )
    try:
        with transaction.atomic():
            erasure.save(force_insert=True)
            _append_entry(erasure, subject, "erasure.requested", by, address)
    except IntegrityError as error:
        # `one_open_erasure` allows one open request for an entity.
        raise ErasureRefused(_("The erasure of this entity has already been requested.")) from error
    return erasure


def decide_erasure(erasure: Erasure, *, confirms: bool, by: AbstractBaseUser, address: str = "") -> None:
    """Confirm or refuse an erasure. The person who requested it may refuse it, as a withdrawal, but not
    confirm it.

    Raises ErasureRefused if it was decided before, or if the person cannot be the second one. Workers erase what is
    confirmed.
    """
    if confirms and (why_not := why_not_confirm(erasure, by)):
        raise ErasureRefused(why_not)
    state = ErasureState.CONFIRMED if confirms else ErasureState.REFUSED
    subject = subject_of(erasure)
    with transaction.atomic():
        decided = Erasure.objects.filter(pk=erasure.pk, state=ErasureState.REQUESTED).update(
            state=state, decided_by=by.pk, decided_at=timezone.now()
        )
        if not decided:
            raise ErasureRefused(_("This was already decided."))
        if confirms:
            submission.submit_job(JOB_KIND, erasure.pk)
        _append_entry(erasure, subject, "erasure.confirmed" if confirms else "erasure.refused", by, address)
    erasure.refresh_from_db()


def why_not_confirm(erasure: Erasure, by: AbstractBaseUser) -> str:
    """Return a sentence that says why this person cannot confirm the erasure, or "" if they can."""
    if by.pk == erasure.requested_by_id:
        return _("Another person must approve an erasure that you requested.")
    return why_not_second(by.pk, erasure.requested_by_id, ERASE, erasure.requested_at)


def who_can_confirm(erasure: Erasure) -> list[Decider]:
    """Return who can confirm the erasure, and from when: see `possible_deciders`."""
    return possible_deciders(erasure.requested_by_id, ERASE, erasure.requested_at)


def failure_text(erasure: Erasure) -> str:
    """Return the reason why workers gave a confirmed erasure up, for people; empty if they did not."""
    return submission.failure_text_of(JOB_KIND, erasure.pk) if erasure.state == ErasureState.CONFIRMED else ""


def resume_erasure(erasure: Erasure, *, by: AbstractBaseUser, address: str = "") -> None:
    """Resume a confirmed erasure that workers gave up. Raises ErasureRefused if they did not give it up."""
    subject = subject_of(erasure)
    with transaction.atomic():
        # Two people who resume it at the same time take turns.
        Erasure.objects.select_for_update().filter(pk=erasure.pk).exists()
        erasure.refresh_from_db()
        if not failure_text(erasure):
            raise ErasureRefused(_("Nothing was resumed: the erasure is in progress or has finished."))
        submission.submit_job(JOB_KIND, erasure.pk)
        _append_entry(erasure, subject, "erasure.resumed", by, address)


def subject_of(erasure: Erasure) -> ErasureSubject:
    """Return the subject that was found when the erasure was requested."""
    return ErasureSubject(erasure.entity_type, erasure.entity_id, tuple(erasure.sources))


def _append_entry(
    erasure: Erasure, subject: ErasureSubject, action: str, by: AbstractBaseUser, address: str
) -> None:
    details = {
        "erasure": str(erasure.uuid),
        "pseudonyms": sorted(subject.pseudonyms.values()),
        "ground": erasure.ground,
        "address": address,
    }
    append_entries(NewEntry(erasure.stream, action, f"person:{by.pk}", details | case_details(erasure)))


def case_details(erasure: Erasure) -> dict[str, str]:
    """Return the case number as details of an audit entry, empty without one."""
    return {"case_number": erasure.case_number} if erasure.case_number else {}


__all__ = [
    "CaseNumberRefused",
    "ErasureRefused",
    "case_details",
    "decide_erasure",
    "failure_text",
    "find_subject",
    "request_erasure",
    "resume_erasure",
    "subject_of",
    "who_can_confirm",
    "why_not_confirm",
]


def has_confirmed_erasure(event: Event) -> bool:
    """True if the erasure of an event's entity was confirmed and has not finished."""
    erasures = Erasure.objects.filter(entity_id=event.entity_id, entity_type=event.entity_type)
    confirmed = erasures.filter(state=ErasureState.CONFIRMED).values_list("sources", flat=True)
    return any(event.source_id in sources for sources in confirmed)
