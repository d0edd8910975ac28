"""What people of the hub did meanwhile: rotate a secret, draft a mapping, compare the two systems."""

import copy
import json
from collections.abc import Sequence

from devtools.stories.people import Member
from devtools.stories.story_context import StoryContext, person_named
from sync.comparisons.requests import request_comparison
from sync.jobs.job_execution import run_next_jobs
from sync.mappings.backtests import request_backtest, run_in_request
from sync.mappings.drafts import DeclarationText, current_version, open_draft, save_draft, seen_versions
from sync.models import Comparison, ComparisonCause, ComparisonState
from webhooks.receiving.source_cache import find_source
from webhooks.secret_rotation import newest_secret_id, rotate_secret

_EXPIRY_HOURS = 24
# An entity that is not listed has to be absent twice, half a minute apart.
_ABSENCE_SECONDS = 31.0


def rotate_signing_secret(context: StoryContext, new_secret: str) -> None:
    """Yesterday an administrator entered a new secret, with which the identity service signs from then on."""
    context.clock.set_back(hours=20)
    administrator, source = person_named("administrator"), context.route.source
    context.secret = rotate_secret(
        source,
        typed=new_secret,
        hours=_EXPIRY_HOURS,
        newest=newest_secret_id(source),
        reason="Yearly rotation",
        actor=administrator.actor,
        address=administrator.address,
    )
    find_source.invalidate()
    context.do_periodic_work()


def draft_mapping(context: StoryContext) -> None:
    """This morning an administrator drafted another mapping of people, and tried it on the events so far."""
    context.clock.set_back(hours=2, minutes=30)
    administrator, mapping = person_named("administrator"), context.route.mapping
    current = current_version(mapping)
    assert current is not None
    declaration = copy.deepcopy(current.declaration)
    declaration["fields"]["last_name"]["apply"] = ["trim", "upper"]
    draft = save_draft(
        mapping,
        DeclarationText(declaration, json.dumps(declaration, indent=2, ensure_ascii=False)),
        "Family names in capitals, for the labels of parcels",
        seen_versions(current, open_draft(mapping)),
        administrator,
    )
    context.clock.advance(90)
    run_in_request(request_backtest(draft, 50, administrator, "Labels of parcels"))
    context.do_periodic_work()


def compare_after_import(context: StoryContext, members: Sequence[Member]) -> Comparison:
    """An hour ago an import into the shop brought old values back, and support compared the two systems."""
    context.clock.set_back(hours=1, minutes=20)
    for place, member in enumerate(members):
        record = context.shop.store.find_records("customers", "external_id", member.entity_id)[0]
        old = {"language": "en"} if place % 3 == 0 else {"phone": member.phone.replace("+35850", "+3589")}
        context.shop.catalogue.update_record("customers", str(record["id"]), old, replaces=False)
    context.clock.set_back(hours=1)
    comparison = request_comparison(
        context.route,
        cause=ComparisonCause.PERSON,
        by=person_named("support").user,
        address="127.0.0.1",
    )
    while comparison.state in (ComparisonState.WAITING, ComparisonState.RUNNING):
        run_next_jobs(kinds=("comparison",))
        context.clock.advance(_ABSENCE_SECONDS)
        comparison.refresh_from_db()
    context.do_periodic_work()
    return comparison
