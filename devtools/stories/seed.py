"""Let the stories happen on a hub that has no event yet: three days, in a few seconds.

The hub itself receives, delivers, replays, compares and seals; the two stand-in systems answer from the data with which
they start afterwards. So both have what the hub says that they have. Whatever is interrupted has happened as far as it
got: a hub with events is never changed.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from django.db import connection

from devtools.sandbox_setup import SIGNED, UNSIGNED, SandboxSystems
from devtools.stories import changes, incidents
from devtools.stories.moved_clock import MovedClock
from devtools.stories.people import Member, add_members
from devtools.stories.story_context import StoryContext
from sandbox.identity import IdentityService
from sandbox.identity.entities import ENTITY_TYPES
from sandbox.shop import ShopService
from sync.housekeeping.audit_upkeep import verify_audit_log_nightly
from sync.statistics.periodic_recount import recount_stale_hours
from webhooks.models import Event, Source

_REFUSED, _DELETED, _IMPORTED, _UNEVENTFUL = 30, 15, 214, 21
_OVERTAKEN = "5f2a9c0e7b1d4e8890aa0004"  # Eero


def may_seed() -> bool:
    """Return True for a hub on SQLite that has no event, and no source but those of the sandbox."""
    is_unused = (
        not Event.objects.exists() and not Source.objects.exclude(slug__in=(SIGNED, UNSIGNED)).exists()
    )
    return is_unused and connection.vendor == "sqlite"


def seed_stories(clock: MovedClock, systems: SandboxSystems, data: Path, new_secret: str) -> str:
    """Let the stories happen between the stand-in systems, whose data are in this folder, and the hub that `systems`
    connects to them. `new_secret` replaces the signing secret. Returns one line that says what there is.
    """
    identity = IdentityService(port=_port(systems.identity_url), data=data, token=systems.identity_token)
    shop = ShopService(port=_port(systems.shop_url), data=data, token=systems.shop_token)
    # What an interrupted start left there belongs to events that are gone.
    identity.reset()
    shop.reset()
    with identity, shop:
        context = StoryContext(clock, identity, shop, systems.signing_secret)
        differences = _tell_stories(context, new_secret)
        clock.set_back()
        context.do_periodic_work()
        recount_stale_hours()
    return (
        f"Seeded three days of stories: {Event.objects.count()} events, {incidents.count_held()} held for a decision, "
        f"{differences} differences."
    )


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _tell_stories(context: StoryContext, new_secret: str) -> int:
    """Let everything happen in the order of its time. Returns how many differences the comparison found."""
    members = map(Member, range(_REFUSED + _DELETED + _IMPORTED + _UNEVENTFUL))
    refused, deleted, imported, uneventful = (
        list(islice(members, number)) for number in (_REFUSED, _DELETED, _IMPORTED, _UNEVENTFUL)
    )
    context.clock.set_back(days=3)
    add_members(context.identity, context.shop, [*refused, *deleted, *imported, *uneventful])
    _report_first_entities(context)
    _change_phones(context, uneventful[:7], hours=(70, 52))
    incidents.solve_outage(context, refused)
    _change_phones(context, uneventful[7:14], hours=(45, 27))
    incidents.overtake_failure(context, _OVERTAKEN, "eero.makela@example.org")
    changes.rotate_signing_secret(context, new_secret)
    context.clock.set_back(hours=10)
    verify_audit_log_nightly()
    incidents.hold_match(context)
    incidents.hold_deletions(context, deleted)
    changes.draft_mapping(context)
    comparison = changes.compare_after_import(context, imported)
    _change_phones(context, uneventful[14:], hours=(0.8, 0.1))
    return comparison.out_of_step_count


def _report_first_entities(context: StoryContext) -> None:
    """Three days ago the hub was connected: each person, group and file was reported once."""
    for collection, entity_type in ENTITY_TYPES.items():
        for entity in context.identity.list_records(collection):
            if not entity["id"].startswith("MEMBER"):
                context.clock.advance(30)
                context.send_webhook(entity["id"], "CREATE", entity_type, entity["meta"]["created"])
    context.do_periodic_work()


def _change_phones(context: StoryContext, members: Sequence[Member], hours: tuple[float, float]) -> None:
    """Let members change their telephone numbers, from so many hours ago to so many."""
    begin, end = hours
    for place, member in enumerate(members):
        context.clock.set_back(hours=begin - (begin - end) * place / len(members))
        number = member.phone.replace("+35850", "+35844")
        context.change_person(member.entity_id, {"mobiles": [{"number": number}]})
    context.do_periodic_work()
