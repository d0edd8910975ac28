"""What went wrong, and how it ended: an outage, an overtaken failure, held deletions, a match to decide."""

from collections.abc import Sequence

from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from devtools.stories.people import Member
from devtools.stories.story_context import StoryContext, person_named
from sync.deliveries.routes import resolved_routes
from sync.execution.executor import run_due_deliveries
from sync.models import FailureGroup, FailureGroupState, Route
from sync.operations.failure_decisions import decide_group, update_notes
from sync.replays.requests import request_replay
from webhooks.models import Event, State

_SENTENCE = "Telephone numbers that begin with + are not accepted."
_MAX_REMOVALS = 5


def solve_outage(context: StoryContext, members: Sequence[Member]) -> None:
    """Two days ago a release of the shop refused all telephone numbers. Support took the failures on, replayed one once
    the shop was corrected, then all.
    """
    support = person_named("support")
    context.clock.set_back(days=2, hours=3)
    fault = context.shop.faults.add("refuse", field="phone", sentence=_SENTENCE)
    failed = []
    for member in members:
        context.clock.advance(100)
        number = member.phone.replace("+35850", "+35840")
        failed.append(context.change_person(member.entity_id, {"mobiles": [{"number": number}]}))
    context.do_periodic_work()
    group = FailureGroup.objects.get()
    decide_group(group, FailureGroupState.ACKNOWLEDGED, by=support, reason="")
    group.refresh_from_db()
    notes = {
        "note": "The shop's release of this morning checks telephone numbers. They will correct it today.",
        "known_fix": "Ask the shop to correct its check, then replay one failure, then all.",
        "ticket_url": "https://tickets.example.com/SHOP-418",
    }
    update_notes(group, notes, by=support)
    context.clock.set_back(days=1, hours=22)
    context.shop.faults.clear(fault.id)
    _replay(failed[:1], "The shop has corrected its check: the first one")
    context.clock.advance(240)
    _replay(failed[1:], "The shop has corrected its check")
    context.do_periodic_work()
    group.refresh_from_db()
    decide_group(group, FailureGroupState.RESOLVED, by=support, reason="The shop has corrected its check")
    context.do_periodic_work()


def _replay(events: Sequence[Event], reason: str) -> None:
    request_replay(events, by=person_named("support").user, reason=reason, address="127.0.0.1")
    run_due_deliveries()


def overtake_failure(context: StoryContext, entity_id: str, free_address: str) -> None:
    """Yesterday a person chose an address that another customer has, and an hour later one that was free."""
    context.clock.set_back(days=1, hours=2)
    context.change_person(entity_id, {"emails": [{"address": "taken@example.com", "verified": True}]})
    context.do_periodic_work()
    context.clock.advance(3_400)
    context.change_person(entity_id, {"emails": [{"address": free_address, "verified": True}]})
    context.clock.advance(10)
    context.do_periodic_work()


def hold_match(context: StoryContext) -> None:
    """Today somebody registered with the address of a customer of the shop, and has not verified it."""
    context.clock.set_back(hours=5)
    user = {
        "id": "MEMBER3001",
        "username": "tuomas.takala",
        "name": {"givenName": "Tuomas", "familyName": "Takala"},
        "emails": [{"address": "taken@example.com", "verified": False}],
        "locale": "fi",
    }
    context.identity.directory.create_record("users", user)
    context.send_webhook("MEMBER3001", "CREATE")
    context.do_periodic_work()


def hold_deletions(context: StoryContext, members: Sequence[Member]) -> None:
    """Today a clean-up deleted members, more than the route lets through in an hour: the others wait for approval."""
    context.clock.set_back(hours=4)
    _limit_removals(context.route)
    resolved_routes.invalidate()
    context.clock.advance(1_200)
    for member in members:
        context.clock.advance(12)
        context.identity.directory.delete_record("users", member.entity_id)
        context.send_webhook(member.entity_id, "DELETE")
    context.do_periodic_work()


def count_held() -> int:
    """Return how many events wait for a person."""
    return Event.objects.filter(state=State.HELD).count()


@transaction.atomic
def _limit_removals(route: Route) -> None:
    """Change the limit of the route, with the entry that its form appends."""
    before = route.max_removals
    Route.objects.filter(pk=route.pk).update(max_removals=_MAX_REMOVALS)
    details = {"before": {"max_removals": before}, "after": {"max_removals": _MAX_REMOVALS}}
    administrator = person_named("administrator")
    append_entries(
        NewEntry(
            f"setting:route:{route.pk}",
            "route.changed",
            administrator.actor,
            {**details, "address": administrator.address},
        )
    )
