"""Comparisons of a pair of peers, which the running worker carries out."""

import io
import json
from contextlib import suppress
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.core.management import call_command

from sync.comparisons.make_equal import select_differences
from sync.models import Comparison, PersonRequestState, Route
from tests.peers.cases.pair import Pair
from tests.support.builders.bulk_replays import start_bulk_replay
from tests.support.processes.workers import wait_until

# What a person decides, or what belongs to nobody: the users of a peer itself among it.
WITHOUT_BUTTON = {"found-by-value", "unlinked-record", "unknown-record", "unmappable"}
_TOGETHER = ("differs", "missing-record")


@dataclass(frozen=True, slots=True)
class Found:
    """A comparison that has ended. `found`: kind, id of the entity or record, and fields of each difference.

    `kinds`: of those whose delivery has not failed; a target refuses users without a name, for example.
    """

    comparison: Comparison
    found: frozenset[tuple[str, str, tuple[str, ...]]]
    kinds: frozenset[str]


def people_route_of(pair: Pair) -> Route:
    return Route.objects.get(source__slug=pair.slug, entity_type="USER")


def compare(route: Route) -> Found:
    """Compare the people of a route as an operator does, and wait for the result. Both lists have to be complete."""
    output = io.StringIO()
    with suppress(SystemExit):
        call_command("compare", route.slug, "--json", stdout=output)
    [result] = json.loads(output.getvalue())
    assert (result["state"], result["identity_gap"], result["target_gap"]) == ("done", "", ""), result
    comparison = Comparison.objects.get(uuid=result["comparison"])
    rows = comparison.differences.values_list("kind", "entity_id", "record_id", "fields")
    kinds = comparison.differences.exclude(delivery_state="dead").values_list("kind", flat=True)
    return Found(
        comparison,
        frozenset((kind, entity or record, tuple(sorted(fields))) for kind, entity, record, fields in rows),
        frozenset(kinds),
    )


def make_equal(found: Found, route: Route, by: User) -> None:
    """Make equal what differs and what is missing, and wait until each is."""
    if not found.comparison.differences.filter(kind__in=_TOGETHER).exists():
        return
    request = start_bulk_replay(by, select_differences(by, found.comparison, route, kinds=_TOGETHER))

    def has_finished() -> bool:
        request.refresh_from_db()
        return request.state == PersonRequestState.FINISHED

    wait_until(has_finished, 180)
