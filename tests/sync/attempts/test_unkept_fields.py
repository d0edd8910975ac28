"""A target that never gives back what it was sent is noticed, and not written to at every webhook."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from sync.deliveries.record_links import bind_record
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery, Finding, Link, Route
from sync.operations.manual_links import LinkRequest, unlink_record
from sync.planning.change import Change
from sync.replays.replay_preview import preview_replay
from sync.replays.requests import ReplayOptions, request_replay
from tests.support.circuit_breakers import make_due
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.people import entries
from webhooks.models import Event

LIMIT = 4
PHONE = "+358409999999"


@pytest.fixture(autouse=True)
def _low_limit(settings: Any) -> None:
    settings.UNKEPT_WRITES = LIMIT


def want_phone(hub: Hub, number: str = PHONE) -> None:
    """Change the user's number in the identity service without a webhook."""
    hub.identity.directory.update_record("users", ANNA, {"mobiles": [{"number": number}]}, replaces=False)


def alter_phone(hub: Hub, stores: str = "nothing") -> None:
    hub.shop.faults.clear()
    hub.shop.faults.add("alter", field="phone", stores=stores)


def deliver(hub: Hub) -> str:
    """Post a webhook. Returns the state of its event."""
    answer = hub.post_signed(EXAMPLE)
    assert answer.status_code == 200
    hub.wait_until_quiet()
    return str(answer.json()["status"])


def phones_sent(hub: Hub) -> list[str]:
    return [write["body"]["phone"] for write in hub.writes() if "phone" in write["body"]]


def unkept() -> Any:
    text = Link.objects.get().unkept_fields
    return None if text is None else json.loads(text)


def last_change() -> Any:
    attempt = Attempt.objects.order_by("pk").last()
    assert attempt is not None
    return attempt.stored_finding(Finding.CHANGE)


def test_a_repeated_difference_is_counted_and_then_no_longer_sent(hub: Hub) -> None:
    want_phone(hub)
    alter_phone(hub, "digits")
    first = 1  # it follows a change of the entity, and is another difference than the later ones
    states, noticed = [], []
    for _ in range(first + LIMIT + 3):
        states.append(deliver(hub))
        noticed.append(unkept())
    assert states == ["succeeded"] * (first + LIMIT) + ["unchanged"] * 3
    assert noticed == [None] * (first + 2) + [["phone"]] * (LIMIT + 1)
    assert phones_sent(hub) == [PHONE] * (first + LIMIT)
    assert [field["name"] for field in last_change()["left_out"]] == ["phone"]
    assert entries("attempt.unchanged")[-1]["details"]["left_out"] == ["phone"]


def stop_sending(hub: Hub) -> None:
    """Deliver until the field is left out."""
    want_phone(hub)
    alter_phone(hub)
    assert [deliver(hub) for _ in range(LIMIT + 1)] == ["succeeded"] * LIMIT + ["unchanged"]


@pytest.mark.submission
def test_a_replay_sends_the_field_as_its_preview_shows_also_when_it_is_retried(hub: Hub) -> None:
    stop_sending(hub)
    sent, event = len(phones_sent(hub)), Event.objects.order_by("pk").last()
    assert event is not None
    (planned,) = preview_replay(event, ReplayOptions(), "person:1")
    assert isinstance(planned.change, Change)
    assert [field.name for field in planned.change.fields] == ["phone"]
    assert len(phones_sent(hub)) == sent, "a preview sends nothing"
    hub.shop.faults.add("error", status=503, methods=["GET"], times=1)
    request_replay([event], by=User.objects.create_user("anna"), reason="it was corrected")
    for _ in range(2):
        make_due()
        run_due_deliveries()
        hub.wait_until_quiet()
    causes = list(
        Attempt.objects.filter(delivery__event=event).order_by("pk").values_list("cause", flat=True)
    )
    assert causes[-2:] == ["replay", "retry"]
    assert len(phones_sent(hub)) == sent + 1
    # The next webhook leaves it out again.
    assert deliver(hub) == "unchanged"


@pytest.mark.submission
def test_unlinking_forgets_the_counts(hub: Hub) -> None:
    stop_sending(hub)
    link = Link.objects.get()
    request = LinkRequest(
        link.identity,
        link.target,
        link.entity_type,
        link.entity_id,
        User.objects.create_user("a"),
        "wrong",
    )
    unlink_record(request, link.record_id)
    link.refresh_from_db()
    assert (link.record_id, link.write_counts, link.unkept_fields) == ("", None, None)


@pytest.mark.submission
def test_the_counts_are_those_of_one_record_only(hub: Hub) -> None:
    stop_sending(hub)
    delivery = Delivery.objects.order_by("pk").last()
    assert delivery is not None
    assert bind_record(delivery, "4713")
    link = Link.objects.get()
    assert (link.write_counts, link.unkept_fields) == (None, None)


@pytest.mark.submission
def test_writes_that_failed_are_not_counted(hub: Hub) -> None:
    want_phone(hub)
    Route.objects.update(max_attempts=1)
    hub.shop.faults.add("after", methods=["PATCH"])
    for _ in range(LIMIT + 1):
        hub.shop.catalogue.update_record("customers", "4711", {"phone": "1"}, replaces=False)
        assert hub.post_signed(EXAMPLE).status_code >= 400
        hub.wait_until_quiet()
    assert len(phones_sent(hub)) == LIMIT + 1
    assert not Link.objects.exclude(write_counts=None).exists()


def test_no_value_can_be_read_from_the_counts(hub: Hub) -> None:
    want_phone(hub)
    alter_phone(hub, "upper")
    hub.change_email("anna.new@example.com")
    deliver(hub)
    counts = Link.objects.get().write_counts
    assert counts is not None
    assert set(json.loads(counts)) == {"phone", "email"}
    assert "@" not in counts
    assert "358" not in counts
    # Found with its value, the field costs nothing any more.
    deliver(hub)
    assert Link.objects.get().write_counts is None
