"""Request, apply, approve and cancel runs that link all records of a comparison whose verified value is unique."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from logins.held_permissions import APPROVE_REPLAYS
from logins.second_person import Decider, possible_deciders, why_not_second
from sync.comparisons.requests import latest_comparison, pair_of
from sync.jobs.submission import cancel_job, submit_job
from sync.models import (
    OPEN_MATCH_LINKING_STATES,
    Comparison,
    ComparisonState,
    Difference,
    DifferenceKind,
    DifferenceStatus,
    MatchLinking,
    MatchLinkingMember,
    MatchLinkingState,
)

KIND = "match-linking"
_RETENTION = timedelta(days=90)
_DELETE_BATCH = 1_000


class LinkingRefused(ValueError):
    """The request was refused; the message is for the person who made it."""


def select_found(comparison: Comparison) -> QuerySet[Difference]:
    """Select what the matching desk of a comparison lists: records found by a value, confirmed or not."""
    rows = Difference.objects.filter(comparison=comparison, kind=DifferenceKind.FOUND_BY_VALUE)
    return rows.exclude(status=DifferenceStatus.CANDIDATE).exclude(entity_id="").order_by("pk")


def newest_linking(comparison: Comparison) -> MatchLinking | None:
    """Return the last run of a comparison; None if there was none."""
    people = ("requested_by", "applied_by", "approved_by")
    return comparison.match_linkings.select_related(*people).order_by("-pk").first()


def require_decidable(comparison: Comparison) -> None:
    """Raise LinkingRefused unless records of a comparison can be linked: it is the newest that its pair has finished,
    and its route still compares this pair.
    """
    route = comparison.route
    if comparison.state != ComparisonState.DONE:
        raise LinkingRefused(_("The comparison has not finished."))
    if route.relays or pair_of(route) != pair_of(comparison):
        raise LinkingRefused(_("The route has changed since the comparison. Compare again."))
    newest = latest_comparison(route)
    if newest is None or newest.pk != comparison.pk:
        raise LinkingRefused(_("There is a newer comparison. Decide about what that one found."))


def request_preview(comparison: Comparison, person: ActingPerson, reason: str) -> MatchLinking:
    """Let a worker find out which records would be linked. Links nothing.

    Raises LinkingRefused without a reason, for a comparison whose records cannot be linked, if it found none by a
    value, and if a run of it is open.
    """
    reason = " ".join(reason.split())[:500]
    if not reason:
        raise LinkingRefused(_("Enter a reason. It is recorded in the audit log."))
    require_decidable(comparison)
    total = select_found(comparison).count()
    if not total:
        raise LinkingRefused(_("The comparison found no record by a value."))
    linking = MatchLinking(comparison=comparison, reason=reason, requested_at=timezone.now(), total=total)
    linking.requested_by_id = person.user.pk
    try:
        with transaction.atomic():
            # The database allows one open run of a comparison.
            linking.save(force_insert=True)
            submit_job(KIND, linking.pk)
            _append_entry(linking, "links.previewed", person, {"reason": reason, "of": total})
    except IntegrityError:
        raise LinkingRefused(_("A preview of this comparison is already open.")) from None
    return linking


def apply_linking(linking: MatchLinking, person: ActingPerson, approval_limit: int) -> MatchLinkingState:
    """Let a worker plan each subject again and link the records that are still certain; or ask for the approval of a
    second person if the preview would link more than `approval_limit`. Returns the new state.

    Raises LinkingRefused unless the preview is ready, and if it would link nothing.
    """
    count = linking.linkable_count
    if linking.state == MatchLinkingState.READY and not count:
        raise LinkingRefused(_("No record would be linked."))
    state = MatchLinkingState.AWAITING if count > approval_limit else MatchLinkingState.LINKING
    action = "links.started" if state == MatchLinkingState.LINKING else "links.awaits-approval"
    changes = {"applied_by": person.user.pk, "applied_at": timezone.now()}
    details: Mapping[str, JSONValue] = {"linked": count, "limit": approval_limit, "reason": linking.reason}
    if not _change_state(linking, (MatchLinkingState.READY,), state, changes, person, action, details):
        raise LinkingRefused(_("This preview cannot be applied any more. Nothing was linked."))
    return state


def approve_linking(linking: MatchLinking, person: ActingPerson) -> None:
    """Let the run link, as a second person. Raises LinkingRefused for a person who cannot be the second one, and if it
    does not wait for one.
    """
    if why_not := why_not_approve(linking, person):
        raise LinkingRefused(why_not)
    changes, details = {"approved_by": person.user.pk}, {"linked": linking.linkable_count}
    before, after = (MatchLinkingState.AWAITING,), MatchLinkingState.LINKING
    if not _change_state(linking, before, after, changes, person, "links.approved", details):
        raise LinkingRefused(_("It does not wait for approval any more."))


def why_not_approve(linking: MatchLinking, person: ActingPerson) -> str:
    """Return a sentence that says why this person cannot approve the run, or "" if they can."""
    first = linking.applied_by_id or linking.requested_by_id
    if first == person.user.pk:
        return _("You started this, so a second person must approve it.")
    return why_not_second(person.user.pk, first, APPROVE_REPLAYS, _started_at(linking))


def who_can_approve(linking: MatchLinking) -> list[Decider]:
    """Return who can approve the run, and from when: see `possible_deciders`."""
    first = linking.applied_by_id or linking.requested_by_id
    return possible_deciders(first, APPROVE_REPLAYS, _started_at(linking))


def _started_at(linking: MatchLinking) -> datetime:
    return linking.applied_at or linking.requested_at


def cancel_linking(linking: MatchLinking, person: ActingPerson) -> None:
    """End a run; records that are linked already stay so. Raises LinkingRefused if it has ended."""
    with transaction.atomic():
        changes = {"ended_at": timezone.now(), "problem": ""}
        rows = MatchLinking.objects.filter(pk=linking.pk, state__in=OPEN_MATCH_LINKING_STATES)
        if not rows.update(state=MatchLinkingState.CANCELLED, **changes):
            raise LinkingRefused(_("It has already ended."))
        cancel_job(KIND, linking.pk)
        linking.refresh_from_db()
        _append_entry(linking, "links.cancelled", person, {"counts": dict(linking.counts)})
    delete_members(linking)


def _change_state(
    linking: MatchLinking,
    before: tuple[MatchLinkingState, ...],
    after: MatchLinkingState,
    changes: Mapping[str, object],
    person: ActingPerson,
    action: str,
    details: Mapping[str, JSONValue],
) -> bool:
    """Change the state by compare-and-set with its entry, and submit the job of a run that links. Returns False if the
    state was another.
    """
    begun = {"counts": {}, "position": {}, "read_entities": 0, "problem": ""}
    with transaction.atomic():
        rows = MatchLinking.objects.filter(pk=linking.pk, state__in=before)
        written = {**changes, **(begun if after == MatchLinkingState.LINKING else {})}
        if not rows.update(state=after, **written):
            return False
        if after == MatchLinkingState.LINKING:
            submit_job(KIND, linking.pk)
        _append_entry(linking, action, person, details)
    return True


def _append_entry(
    linking: MatchLinking, action: str, person: ActingPerson, details: Mapping[str, JSONValue]
) -> None:
    facts = {"linking": str(linking.uuid), **details, "address": person.address}
    append_entries(NewEntry(linking.comparison.stream, action, person.actor, facts))


def delete_members(linking: MatchLinking) -> None:
    """Delete the subjects of a run that has ended, in batches."""
    members = MatchLinkingMember.objects.filter(linking=linking).order_by("pk")
    while keys := list(members.values_list("pk", flat=True)[:_DELETE_BATCH]):
        members.filter(pk__in=keys).delete()


def delete_old_linkings() -> None:
    """Delete the subjects of runs that have ended, and runs that ended three months ago."""
    ended = MatchLinking.objects.exclude(state__in=OPEN_MATCH_LINKING_STATES)
    with_members = MatchLinkingMember.objects.filter(linking=OuterRef("pk"))
    for linking in ended.filter(Exists(with_members)):
        delete_members(linking)
    ended.filter(ended_at__lt=timezone.now() - _RETENTION).delete()
