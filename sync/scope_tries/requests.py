"""Request, find and cancel tries of a condition."""

from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from config_schema.errors import SettingsInvalid
from database.clock import read_clock
from sync.jobs.submission import cancel_job, submit_job
from sync.models import OPEN_JOB_STATES, ConditionTry, JobState, Route
from sync.planning.scope import CONDITION

KIND = "condition-try"
# They are valid for an hour; the audit log has their numbers.
_RETENTION = timedelta(days=7)


class TryRefused(ValueError):
    """The try was refused, with a sentence for the person who requested it."""


def find_refusal(route: Route, condition: str) -> str:
    """Return why a condition of a route cannot be tried, in one sentence for people; empty if it can be."""
    if route.relays:
        return _(
            "A route that uses the webhook's own data has no condition: the data may be a part of the entity."
        )
    if not condition:
        return _(
            "Enter a condition. Without one, the route is for all entities, and nothing has to be tried."
        )
    try:
        CONDITION.read(condition, ())
    except SettingsInvalid as invalid:
        return _("This condition is not valid: %(why)s") % {"why": invalid.sentence}
    if not route.identity.is_enabled:
        return _("The connection %(connection)s is disabled.") % {"connection": route.identity}
    return ""


def request_try(route: Route, condition: str, by: ActingPerson, reason: str) -> ConditionTry:
    """Let a worker try a condition on the entities of a route. One of the route that is open is cancelled.

    The audit log keeps the reason, as the numbers say something about the contents of entities. Raises TryRefused if
    the condition is empty or not valid, the route relays, or its identity connection is disabled.
    """
    condition = condition.strip()
    if sentence := find_refusal(route, condition):
        raise TryRefused(sentence)
    with transaction.atomic():
        # Two requests of a route follow each other.
        Route.objects.select_for_update(no_key=True).values_list("pk").get(pk=route.pk)
        for other in ConditionTry.objects.filter(route=route.pk, state__in=OPEN_JOB_STATES):
            _cancel(other, by)
        row = ConditionTry(route=route, condition=condition, reason=reason, requested_at=read_clock())
        row.identity_id, row.target_id = route.identity_id, route.target_id
        row.entity_type, row.identity_type = route.entity_type, route.identity_type
        row.requested_by_id = by.user.pk
        row.save(force_insert=True)
        submit_job(KIND, row.pk)
        append_try_entry(row, "route.condition-tried", by, {"condition": condition, "reason": reason})
    return row


def cancel_try(row: ConditionTry, by: ActingPerson) -> bool:
    """End a try that waits or runs. Returns False if it has ended already."""
    with transaction.atomic():
        return _cancel(row, by)


def _cancel(row: ConditionTry, by: ActingPerson) -> bool:
    rows = ConditionTry.objects.filter(pk=row.pk, state__in=OPEN_JOB_STATES)
    if not rows.update(state=JobState.CANCELLED, ended_at=read_clock(), problem="", position=None):
        return False
    cancel_job(KIND, row.pk)
    append_try_entry(row, "route.condition-try-cancelled", by, {})
    return True


def newest_try(route: Route) -> ConditionTry | None:
    """Return the newest try of a route; None if there is none."""
    return ConditionTry.objects.filter(route=route.pk).order_by("-pk").first()


def append_try_entry(
    row: ConditionTry, action: str, by: ActingPerson | None, details: dict[str, JSONValue]
) -> None:
    """Append an entry of a try to the stream of its route, in the transaction that is open. `by`: None for the hub."""
    named: dict[str, JSONValue] = {"try": str(row.uuid), **details}
    if by is not None:
        named["address"] = by.address
    entry = NewEntry(f"route:{row.route_id}", action, "system" if by is None else by.actor, named)
    append_entries(entry)


def delete_old_tries() -> None:
    """Delete tries that ended a week ago, with their examples."""
    ConditionTry.objects.filter(ended_at__lt=read_clock() - _RETENTION).delete()
