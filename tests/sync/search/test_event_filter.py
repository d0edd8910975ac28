"""One parser for the list, the downloads and the command: they select the same events."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.http import QueryDict
from django.utils import timezone

from console.ui.event_filters import describe_filter
from exports.models import Export
from sync.models import Connection
from sync.search.event_filter import resolve_filter
from sync.search.time_ranges import InvalidFilter
from tests.support.builders.history import a_delivery, a_route, a_source, an_event, logged_in
from webhooks.models import Event

pytestmark = pytest.mark.django_db
LIST = "/admin/webhooks/event/"
NOW = datetime(2026, 3, 4, 13, tzinfo=UTC)

QUERIES = [
    "",
    "state=dead,held",
    "state=nonsense",
    "code=target-rejected",
    "target=nowhere",
    "target=shop&code=target-rejected&state=dead",
    "state=dead,held&target=shop",
    "event_type=other",
    "source=nowhere",
    "received=1&received_from=2026-01-01T00:00",
    "received_from=2026-01-01T00:00&received_to=2026-01-02T00:00",
    "entity_id=USR-3",
    "q=%20USR-3%20&state=succeeded",
    "q={reference}",
    "q={uuid}",
    "state=succeeded&event_type=UPDATE&source=aurora&received_to=2026-06-01",
]

SLIPS = ("state=nonsense", "target=nowhere", "source=nowhere")  # the command refuses them


def history() -> Event:
    an_event(1, received_at=timezone.now() - timedelta(minutes=5))
    an_event(2, state="dead", code="target-rejected", event_id="msg_1")
    an_event(7, state="held", code="held", entity_type="GROUP")
    an_event(8, state="retrying", code="target-rejected")
    an_event(3, event_type="CREATE")
    an_event(4, event_type="MOVED")
    found = an_event(5, source=a_source("other"), event_id="msg_1")
    an_event(6, received_at="2026-01-01T12:00:00Z")
    two = failed_at_two_systems()
    one = an_event(9, state="dead", code="target-timeout")
    for delivery in two.deliveries.select_related("target", "route"):
        is_shop = delivery.target.slug == "shop"
        a_delivery(one, delivery.route, **({"state": "succeeded", "code": ""} if is_shop else {}))
    return found


def failed_at_two_systems() -> Event:
    """Rejected by the shop, not answered by the CRM; it shows one of both reasons."""
    event = an_event(7, state="dead", code="target-rejected")
    a_delivery(event, a_route(event.source))
    crm = Connection.objects.create(slug="crm", side="target", connector="rest-target")
    a_delivery(event, a_route(event.source, target=crm), code="target-timeout")
    an_event(8, state="retrying", code="target-rejected")
    return event


def test_with_a_connection_the_reason_is_that_of_the_delivery_to_it() -> None:
    failed_at_two_systems()
    for words, found in (
        ({"target": "shop", "code": "target-rejected", "state": "dead"}, 1),
        ({"target": "crm", "code": "target-timeout", "state": "dead"}, 1),
        ({"target": "crm", "code": "target-rejected", "state": "dead"}, 0),
        ({"code": "target-rejected"}, 2),
        ({"code": "target-timeout"}, 0),
        ({"target": "crm"}, 1),
    ):
        assert resolve_filter(words, NOW).apply_to(Event.objects.all()).count() == found, words


@pytest.mark.submission
def test_for_every_filter_the_exported_rows_are_those_of_the_list(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    event, client = history(), logged_in("auditor")
    for query in (query.format(reference=event.reference, uuid=event.uuid) for query in QUERIES):
        listed = [row.event.reference for row in client.get(f"{LIST}?{query}").context["page"].rows]
        words = QueryDict(query).dict()
        resolved = resolve_filter(words, timezone.now())
        meant = resolved.apply_to(Event.objects.order_by("-received_at", "-id"))
        assert [event.reference for event in meant] == listed
        again = resolve_filter(resolved.to_params(), NOW + timedelta(days=400))
        assert again.to_params() == resolved.to_params()
        assert set(again.apply_to(Event.objects.all())) == set(meant)
        outputs = [b"".join(client.get(f"{LIST}download/jsonl?{query}").streaming_content)]
        if query not in SLIPS:
            call_command("export_events", **words)
            outputs.append(capfdbinary.readouterr().out)
        for lines in outputs:
            assert [json.loads(line)["reference"] for line in lines.splitlines()] == listed, query


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"state": "deadd"}, "Unknown state 'deadd'. Available: closed, dead, held,"),
        ({"source": "nosuch"}, "Unknown source 'nosuch'. Available: aurora, other."),
        ({"target": "nosuch"}, "Unknown connection 'nosuch'. Available:"),
        (
            {"received_from": "2026-02-01", "received_to": "2026-01-01"},
            "The period from 2026-02-01 00:00:00+00:00 until 2026-01-01 00:00:00+00:00 is empty",
        ),
    ],
)
def test_the_command_refuses_an_unknown_filter_that_the_list_ignores(
    words: dict[str, str], told: str
) -> None:
    history()
    assert logged_in("auditor").get(LIST, words).status_code == 200
    with pytest.raises(CommandError) as refusal:
        call_command("export_events", **words, evidence=True, reason="the audit")
    assert told in str(refusal.value)
    assert not Export.objects.exists()


def test_a_searched_text_keeps_its_first_interpretation() -> None:
    an_event(1, entity_id="msg_7")
    resolved = resolve_filter({"q": "msg_7"}, NOW)
    an_event(2, event_id="msg_7")
    assert [
        event.entity_id for event in resolve_filter(resolved.to_params(), NOW).apply_to(Event.objects.all())
    ] == ["msg_7"]
    assert [
        event.entity_id for event in resolve_filter({"q": "msg_7"}, NOW).apply_to(Event.objects.all())
    ] == ["USR-2"]


def test_a_period_becomes_a_time_and_the_later_start_counts() -> None:
    assert resolve_filter({"received": "1"}, NOW).to_params() == {
        "received_from": "2026-03-04T12:00:00.000000Z"
    }
    both = resolve_filter({"received": "1", "received_from": "2026-03-04T12:30"}, NOW)
    assert both.to_params() == {"received_from": "2026-03-04T12:30:00.000000Z"}


def test_invalid_filters_are_refused_everywhere() -> None:
    for words in (
        {"received": "2"},
        {"received_from": "soon"},
        {"received_to": "99999"},
        {"entity_id": "\0"},
    ):
        with pytest.raises(InvalidFilter):
            resolve_filter(words, NOW)
        with pytest.raises(CommandError, match="Invalid filters"):
            call_command("export_events", **words)


def test_a_filter_is_described_with_one_phrase_for_each_condition() -> None:
    words = {
        "state": "dead,held",
        "code": "target-rejected",
        "event_type": "other",
        "received_to": "2026-01-01",
    }
    assert describe_filter(resolve_filter(words, NOW).to_params()) == [
        "Status: Failed, Held for approval",
        "Reason: The target system rejected the change",
        "Type: other",
        "Received before 2026-01-01 00:00 UTC",
    ]
    assert describe_filter(resolve_filter({}, NOW).to_params()) == []


@pytest.mark.only_sqlite
def test_events_of_a_source_in_a_rare_state_are_found_by_the_state() -> None:
    """A source has sent nearly all events; fewer than a page of them may be held."""
    a_source("aurora"), a_source("other")
    newest_first = Event.objects.order_by("-received_at", "-pk")
    for sources in ("aurora", "aurora,other", "!other"):
        for states in ({"state": "held"}, {"state": "retrying", "code": "target-rejected"}):
            plan = resolve_filter({**states, "source": sources}, NOW).apply_to(newest_first).explain()
            assert "event_state" in plan, (states, sources, plan)
            assert "event_source" not in plan, (states, sources, plan)
