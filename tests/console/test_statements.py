"""The number of SQL statements of a page does not grow with the rows that it shows."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sync.models import (
    Comparison,
    Delivery,
    FailureGroup,
    PairDraft,
    PersonRequest,
    PersonRequestMember,
    Route,
)
from sync.operations.failure_groups import refresh_failure_groups
from tests.support.builders.backtests import a_mapped_event, a_mapping_in_use
from tests.support.builders.compared_pairs import a_comparison, a_difference
from tests.support.builders.history import (
    NOON,
    a_call,
    a_delivery,
    a_receipt,
    a_replay,
    a_route,
    a_source,
    an_attempt,
    an_event,
    logged_in,
    sealed_findings,
)
from tests.support.builders.refusals import a_refusal
from tests.support.builders.settings_rows import DECLARATION
from tests.support.people import person

pytestmark = pytest.mark.django_db

EVENTS, REQUESTS, REPLAYS = "/admin/webhooks/event/", "/admin/webhooks/receipt/", "/admin/sync/personrequest/"


def add_rows(route: Route, bulk: PersonRequest, first: int, last: int) -> None:
    """Create so many failed, held and waiting deliveries, each with what the pages show of it."""
    now = timezone.now()
    change = {"action": "update", "record": "1", "fields": [], "same": {}}
    for number in range(first, last):
        dead = an_event(number, state="dead", code="target-rejected", received_at=now)
        failed = a_delivery(dead, route, settled_at=now)
        an_attempt(failed, 1)
        replay = a_replay(bulk.requested_by, events=1, deliveries=1)
        an_attempt(failed, 2, cause="replay", person_request=replay, code="target-rejected")
        PersonRequestMember.objects.create(
            person_request=bulk, event=dead, state="failed", why="target-rejected", at=now
        )
        held = a_delivery(an_event(1_000 + number, state="held", code="held", received_at=now), route)
        an_attempt(held, 1, code="held", findings=sealed_findings(change=change))
        waits = {"state": "retrying", "code": "target-unavailable", "entity_id": "U"}
        a_delivery(an_event(2_000 + number, received_at=now, **waits), route, due_at=now)
        a_call(an_attempt(Delivery.objects.earliest("pk"), 3 + number))
        # Requests and refusals by turns, so that the newest of a source are of both kinds.
        at = now - timedelta(seconds=60 - number)
        a_receipt(dead, received_at=at)
        a_difference(a_comparison(route), number)
        oldest = Comparison.objects.earliest("pk")
        a_difference(oldest, 1_000 + number, delivery_state="held", code="held")
        a_refusal(at=at)
    refresh_failure_groups()


def costs(client: Client, addresses: dict[str, int]) -> dict[str, int]:
    numbers = {}
    for address in addresses:
        with CaptureQueriesContext(connection) as statements:
            assert client.get(address).status_code == 200, address
        numbers[address] = len(statements)
    return numbers


@pytest.mark.submission
def test_pages_cost_the_same_for_few_rows_and_for_many() -> None:
    route = a_route(a_source())
    counts = {"total": 120, "events": 120, "failed": 120, "frozen_at": NOON, "state": "finished"}
    bulk = a_replay(person("support", "maija"), filter={"state": "dead"}, **counts)
    comparison = a_comparison(route)
    add_rows(route, bulk, 0, 3)
    first, waiting = Delivery.objects.earliest("pk"), Delivery.objects.filter(state="retrying").earliest("pk")
    group = FailureGroup.objects.get()
    most = {
        EVENTS: 9,
        f"{EVENTS}?state=dead": 9,
        f"{EVENTS}?state=dead,held": 9,
        f"{EVENTS}?received=24&state=dead": 9,
        f"{EVENTS}?entity_id=U": 9,
        f"{EVENTS}{first.event_id}/change/": 26,
        f"{EVENTS}{waiting.event_id}/change/": 19,
        "/admin/webhooks/entity/?type=USER&id=U": 21,
        "/admin/sync/delivery/": 10,
        f"/admin/sync/delivery/route/{route.pk}/": 11,
        "/admin/sync/failuregroup/": 7,
        f"/admin/sync/failuregroup/{group.pk}/change/": 12,
        REPLAYS: 13,
        f"{REPLAYS}{bulk.pk}/change/": 14,
        f"{REPLAYS}{bulk.uuid}/events/?member=failed": 13,
        f"{REQUESTS}?result=accepted": 12,
        f"{REQUESTS}?source=aurora&received=720": 13,
        f"/admin/webhooks/source/{route.source_id}/change/": 41,
        "/admin/sync/comparison/": 9,
        f"/admin/sync/comparison/route/{route.pk}/": 14,
        f"/admin/sync/comparison/{comparison.uuid}/change/": 12,
    }
    client = logged_in("support")
    costs(client, most)  # what is cached afterwards
    few = costs(client, most)
    add_rows(route, bulk, 3, 15)  # a page that is not full: a full one has one more
    assert costs(client, most) == few
    assert_at_most(most, few)


def add_pairs(route: Route, owner: User, first: int, last: int) -> None:
    """Create so many pair drafts and created ones, mappings, and more routes and stored entities of a mapping.
    Its routes have one source: its events are read by one statement for each source.
    """
    other = person("administrator", f"colleague-{first}")
    for number in range(first, last):
        a_route(route.source, mapping=route.mapping, entity_type=f"TYPE{number}")
        a_mapped_event(
            route, {"email": f"{number}@example.com"}, number, stored_in=("entity", "call")[number % 2]
        )
        a_mapping_in_use(DECLARATION)
        parts = {"sender": {"preset": "sandbox"}, "target": {"preset": "sandbox-shop"}}
        times = {"created_at": NOON, "ends_at": timezone.now() + timedelta(days=1)}
        for user in (owner, other):
            PairDraft.objects.create(owner=user, parts=parts, **times)
        PairDraft.objects.create(owner=owner, parts=parts, route=a_route(a_source(f"erp-{number}")), **times)


@pytest.mark.submission
def test_pages_of_mappings_and_pairs_cost_the_same_for_few_rows_and_for_many() -> None:
    owner = person("administrator+support", "maija")
    client = Client()
    client.force_login(owner)
    mapping, route = a_mapping_in_use(DECLARATION)
    add_pairs(route, owner, 0, 3)
    chosen = {"sender": route.source, "identity": route.identity, "target": route.target, "mapping": mapping}
    parts = {name: {"id": row.pk, "label": str(row)} for name, row in chosen.items()}
    times = {"created_at": NOON, "ends_at": timezone.now() + timedelta(days=1)}
    draft = PairDraft.objects.create(owner=owner, parts=parts, **times)
    presets = PairDraft.objects.latest("-pk")
    most = {
        f"/admin/sync/mapping/{mapping.pk}/edit/": 16,
        "/admin/connect/": 11,
        **{f"/admin/connect/{draft.uuid}/choose/{part}/": 14 for part in parts},
        f"/admin/connect/{draft.uuid}/review/": 25,
        f"/admin/connect/{presets.uuid}/discard/": 7,
        f"/admin/connect/{PairDraft.objects.exclude(route=None).earliest('pk').uuid}/created/": 13,
    }
    costs(client, most)  # what is cached afterwards
    few = costs(client, most)
    add_pairs(route, owner, 3, 9)
    assert costs(client, most) == few
    assert_at_most(most, few)


def assert_at_most(most: dict[str, int], counted: dict[str, int]) -> None:
    above = {
        address: (number, most[address]) for address, number in counted.items() if number > most[address]
    }
    assert above == {}
