"""References in the preview of a replay, the trial and back-test of a draft, and the warnings at saving."""

import pytest

from sync.mappings.backtests import request_backtest, run_in_request
from sync.mappings.configuration_gaps import mapping_gaps, reference_warnings
from sync.models import Attempt, Link, Mapping, MappingVersion, Route
from sync.replays.replay_preview import preview_replay
from sync.replays.requests import ReplayOptions
from tests.support.builders.backtests import a_draft, mapping_author
from tests.support.builders.references import (
    MEMBERS,
    add_group,
    delivery_of,
    end_wait_of,
    run_again,
    set_field,
    tell,
)
from tests.support.hub import ANNA, Hub
from webhooks.models import Event


def group_route() -> Route:
    return Route.objects.get(source__slug="aurora", entity_type="GROUP")


def declaration() -> dict[str, object]:
    return dict(MappingVersion.objects.get(mapping=group_route().mapping_id).declaration)


def test_a_preview_shows_a_missing_reference_and_then_the_record(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS | {"when_missing": "leave_out"})
    add_group(hub, "TEAM", [ANNA])
    tell(hub, "GROUP", "TEAM")
    end_wait_of("TEAM")
    assert run_again("TEAM") == "succeeded"
    event = Event.objects.get(entity_id="TEAM")
    # A replay waits again, so the preview shows what is missing and not what would be left out.
    (planned,) = preview_replay(event, ReplayOptions(), "person:1")
    assert (planned.code, planned.change) == ("reference-missing", None)
    assert planned.result is not None
    assert [error.field for error in planned.result.errors] == ["members"]
    tell(hub, "USER", ANNA)
    (planned,) = preview_replay(event, ReplayOptions(), "person:1")
    assert planned.change is not None
    assert planned.change.values_to_send == {"members": [Link.objects.get(entity_id=ANNA).record_id]}
    # A preview lets nothing wait.
    assert Attempt.objects.filter(delivery=delivery_of("TEAM").pk).count() == 2


@pytest.mark.submission
def test_a_backtest_compares_names_and_waits_for_nothing(hub: Hub) -> None:
    add_group(hub, "TEAM", [ANNA])
    tell(hub, "GROUP", "TEAM")
    mapping = group_route().mapping
    draft = a_draft(mapping, declaration() | {"fields": {"name": MEMBERS}})
    backtest = request_backtest(draft, 10, mapping_author(), "to see")
    run_in_request(backtest)
    backtest.refresh_from_db()
    assert backtest.counts == {"different": 1}
    assert backtest.fields["name"] == 1


def test_a_type_that_nothing_delivers_is_a_warning_and_no_gap(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS)
    route = group_route()
    assert list(reference_warnings(route, declaration())) == []
    Route.objects.filter(entity_type="USER").update(is_enabled=False)
    (sentence,) = reference_warnings(route, declaration())
    assert "refers to records of USER" in sentence
    gaps = mapping_gaps(Mapping.objects.get(pk=route.mapping_id), declaration())
    assert gaps.enabled_routes == []
    # Both routes of the sandbox use this mapping.
    assert len(gaps.warnings) == 2
    assert list(reference_warnings(route, {"fields": "broken"})) == []
