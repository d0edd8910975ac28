"""The circuit breaker: a system that does not work is left alone, and those who wait for it lose no try."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from audit.models import Entry
from sync import breaking, slots
from sync.models import Attempt, Breaker, Connection, Delivery, Route
from sync.tasks import run_due
from tests.hub import Hub
from webhooks.models import Event, State
from webhooks.models.pace import forget_shares

ENOUGH_FAILURES = 3
SECONDS = 60  # of the first pause
PAST = "2000-01-01T00:00:00Z"


@pytest.fixture
def cautious(hub: Hub) -> Iterator[Hub]:
    """The hub, whose breakers open after three failures, for a minute."""
    forget_shares()
    Connection.objects.update(breaker_failures=ENOUGH_FAILURES, breaker_seconds=SECONDS)
    yield hub
    forget_shares()


def people(hub: Hub, count: int) -> list[str]:
    """New persons of the identity service, whom the shop does not know."""
    users = [f"PERSON{number}" for number in range(count)]
    for user in users:
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create("users", {"id": user, "username": user.lower(), "emails": emails})
    return users


def webhook(user: str, **members: Any) -> dict[str, Any]:
    return {"id": user, "entityType": "USER", "eventType": "UPDATE"} | members


def ack(user: str) -> dict[str, Any]:
    return webhook(user, respond="ack")


def told(hub: Hub, user: str) -> tuple[int, str]:
    """A webhook whose source waits: the status and the code, or the status word, of its answer."""
    answer = hub.post(webhook(user))
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


def breaker(slug: str = "shop") -> Breaker | None:
    return Breaker.objects.filter(connection__slug=slug).first()


def is_open(slug: str = "shop") -> bool:
    found = breaker(slug)
    return found is not None and found.open_until is not None


def pause(hub: Hub, user: str, times: int = ENOUGH_FAILURES) -> None:
    """The shop fails until its breaker is open; it works again afterwards."""
    fault = hub.shop.faults.add("error", status=503)
    for _ in range(times):
        told(hub, user)
    assert is_open()
    hub.shop.faults.clear(fault.id)


def end_pause() -> None:
    Breaker.objects.filter(open_until__isnull=False).update(open_until=PAST)


def make_due() -> None:
    Delivery.objects.filter(state=State.RETRYING).update(due_at=PAST)


def seconds_until(moment: Any) -> float:
    return float((moment - timezone.now()).total_seconds())


def happenings(slug: str = "shop") -> list[str]:
    pk = Connection.objects.get(slug=slug).pk
    found = Entry.objects.filter(stream=f"setting:connection:{pk}", action__startswith="connection.")
    return list(found.order_by("pk").values_list("action", flat=True))


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    def one(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))


# When it opens


FAILURES_OF_THE_SYSTEM = [
    ({"kind": "error", "status": 500}, "unavailable"),
    ({"kind": "error", "status": 503}, "unavailable"),
    ({"kind": "drop"}, "unavailable"),
    ({"kind": "hang"}, "timeout"),
    ({"kind": "throttle"}, "throttled"),
    ({"kind": "error", "status": 401}, "credentials"),
    ({"kind": "error", "status": 403}, "credentials"),
]


@pytest.mark.parametrize("side", ["identity", "shop"])
@pytest.mark.parametrize(("fault", "word"), FAILURES_OF_THE_SYSTEM, ids=lambda each: str(each))
def test_it_opens_after_so_many_failures_of_the_system_in_a_row(
    cautious: Hub, side: str, fault: dict[str, Any], word: str
) -> None:
    Connection.objects.update(deadline_seconds=0.3)
    getattr(cautious, side).faults.add_json(fault)
    slug, code = ("aurora", f"identity-{word}") if side == "identity" else ("shop", f"target-{word}")
    users = people(cautious, ENOUGH_FAILURES)
    answers = []
    for user in users:
        assert not is_open(slug)
        answers.append(told(cautious, user))
    assert answers == [(424, code)] * ENOUGH_FAILURES
    opened = breaker(slug)
    assert opened is not None
    assert opened.code == code
    assert SECONDS * 0.75 <= seconds_until(opened.open_until) <= SECONDS * 1.25
    assert not is_open("shop" if side == "identity" else "aurora")


@pytest.mark.parametrize("status", [400, 404, 409, 410, 422])
def test_it_never_opens_for_what_the_shop_says_of_one_record(cautious: Hub, status: int) -> None:
    cautious.shop.faults.add("refuse", status=status)
    codes = {told(cautious, user)[1] for user in people(cautious, ENOUGH_FAILURES + 2)}
    assert codes == {"target-rejected"}
    assert not is_open()


@pytest.mark.parametrize("fault", [{"kind": "refuse"}, None], ids=["a refusal", "a success"])
def test_an_answer_in_between_begins_the_count_anew(cautious: Hub, fault: dict[str, Any] | None) -> None:
    users = people(cautious, 2 * ENOUGH_FAILURES)
    for number, user in enumerate(users):
        cautious.shop.faults.clear()
        if number != ENOUGH_FAILURES - 1:
            cautious.shop.faults.add("error", status=503)
        elif fault is not None:
            cautious.shop.faults.add_json(fault)
        assert not is_open(), f"after {number}"
        told(cautious, user)
    assert is_open()


def test_our_own_pace_is_no_failure_of_the_system(cautious: Hub) -> None:
    Connection.objects.filter(slug="shop").update(requests_per_second=0.01)
    for user in people(cautious, ENOUGH_FAILURES + 2):
        cautious.post(ack(user))
    cautious.wait_until_idle()
    assert not is_open()
    assert set(Delivery.objects.values_list("state", "tries")) == {(State.RETRYING, 0)}


# While it is open


def test_while_it_is_open_nothing_is_sent_and_the_source_is_told_the_truth_at_once(cautious: Hub) -> None:
    first, second = people(cautious, 2)
    pause(cautious, first)
    before = len(cautious.shop.journal()), len(cautious.identity.journal()), Attempt.objects.count()
    began = time.monotonic()
    answer = cautious.post(webhook(second, respond={"mode": "result", "wait": 10_000}))
    assert time.monotonic() - began < 3
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["retrying"]) == (424, "target-unavailable", True)
    make_due()
    assert run_due() == 0
    after = len(cautious.shop.journal()), len(cautious.identity.journal()), Attempt.objects.count()
    assert after == before
    waiting = Delivery.objects.get(entity_id=second)
    assert (waiting.state, waiting.code, waiting.tries) == (State.RETRYING, "target-unavailable", 0)
    assert Event.objects.get(entity_id=second).state == State.RETRYING
    assert Entry.objects.filter(stream=waiting.stream, action="delivery.postponed").count() == 1


def test_what_waits_is_delivered_when_the_pause_is_over(cautious: Hub) -> None:
    first, second = people(cautious, 2)
    pause(cautious, first)
    told(cautious, second)
    end_pause()
    assert run_due() >= 1
    assert cautious.customer(second) is not None
    assert Delivery.objects.get(entity_id=second).tries == 1


def test_a_webhook_that_comes_again_does_not_go_past_an_open_breaker(cautious: Hub) -> None:
    first, second = people(cautious, 2)
    pause(cautious, first)
    sent = [cautious.post_signed(webhook(second), "msg_again") for _ in range(2)]
    assert [each.status_code for each in sent] == [424, 424]
    assert sent[1].json()["retrying"] is True
    assert not Attempt.objects.filter(delivery__entity_id=second).exists()


def test_an_attempt_that_was_under_way_when_it_opened_costs_no_try(cautious: Hub) -> None:
    Connection.objects.update(breaker_failures=1)
    users = people(cautious, 4)
    cautious.shop.faults.add("slow", seconds=0.4)
    cautious.shop.faults.add("error", status=503)
    for user in users:
        cautious.post(ack(user))
    cautious.wait_until_idle()
    assert Attempt.objects.count() == len(users), "all of them were under way"
    assert sorted(Delivery.objects.values_list("tries", flat=True)) == [0, 0, 0, 1]
    assert set(Delivery.objects.values_list("state", flat=True)) == {State.RETRYING}


# Afterwards


def test_one_probe_fails_it_costs_no_try_and_the_next_pause_is_longer(cautious: Hub) -> None:
    users = people(cautious, 6)
    pause(cautious, users[0])
    for user in users[1:]:
        told(cautious, user)
    cautious.shop.faults.add("slow", seconds=0.3)
    cautious.shop.faults.add("error", status=503)
    tries = sum(Delivery.objects.values_list("tries", flat=True))
    attempts = Attempt.objects.count()
    end_pause()
    make_due()
    at_once(run_due, run_due)
    assert Attempt.objects.count() == attempts + 1
    assert sum(Delivery.objects.values_list("tries", flat=True)) == tries
    again = breaker()
    assert again is not None
    assert again.openings == 2
    assert 2 * SECONDS * 0.75 <= seconds_until(again.open_until) <= 2 * SECONDS * 1.25
    assert happenings() == ["connection.paused", "connection.paused"]


def test_pauses_grow_no_longer_than_ten_minutes(cautious: Hub) -> None:
    [user] = people(cautious, 1)
    cautious.shop.faults.add("error", status=503)
    pauses = []
    for number in range(ENOUGH_FAILURES + 6):
        told(cautious, user)
        if number >= ENOUGH_FAILURES - 1:
            found = breaker()
            assert found is not None
            pauses.append(seconds_until(found.open_until))
            end_pause()
    assert pauses[1] > pauses[0]
    assert all(480 * 0.98 <= each <= 600 * 1.21 for each in pauses[4:])
    assert Delivery.objects.filter(state=State.DEAD).count() == 0


def count_over_growth(hub: Hub) -> list[str]:
    """Moments at which more attempts were at the shop than one and as many as had ended."""
    seen: dict[str, list[float]] = {}
    for entry in hub.shop.journal():
        seen.setdefault(entry["attempt"], []).extend((entry["started"], entry["ended"]))
    spans = [(min(each), max(each)) for each in seen.values()]
    found = []
    for began, _ in spans:
        running = sum(start <= began < end for start, end in spans)
        ended = sum(end <= began for _, end in spans)
        if running > 1 + ended:
            found.append(f"{running} at once after {ended}")
    return found


def recover(hub: Hub) -> None:
    """The shop comes back, slowly, and three processes look for what is due."""
    users = people(hub, 14)
    pause(hub, users[0])
    for user in users[1:]:
        hub.post(ack(user))
    hub.shop.requests.clear()
    hub.shop.faults.add("slow", seconds=0.05)
    end_pause()
    make_due()
    until = time.monotonic() + 15
    while Delivery.objects.exclude(state=State.SUCCEEDED).filter(state__in=["pending", "retrying"]).exists():
        assert time.monotonic() < until, "it did not recover"
        at_once(run_due, run_due, run_due)


def test_each_success_lets_one_more_through_until_it_closes(cautious: Hub) -> None:
    recover(cautious)
    assert count_over_growth(cautious) == []
    closed = breaker()
    assert closed is not None
    assert (closed.open_until, closed.failures, closed.openings, closed.code) == (None, 0, 0, "")
    assert happenings() == ["connection.paused", "connection.resumed"]


def test_a_breaker_that_lets_all_through_at_once_is_caught(
    cautious: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = slots.passing
    monkeypatch.setattr(slots, "passing", lambda connection: 0 if good(connection) == 0 else None)
    recover(cautious)
    assert count_over_growth(cautious) != []


@pytest.mark.parametrize("successes", [0, 1, breaking.ENOUGH - 1])
def test_a_failure_while_it_tries_again_opens_it_at_once(cautious: Hub, successes: int) -> None:
    [user] = people(cautious, 1)
    pause(cautious, user)
    end_pause()
    for _ in range(successes):
        assert told(cautious, user)[0] == 200
    cautious.shop.faults.add("error", status=503)
    assert told(cautious, user) == (424, "target-unavailable")
    again = breaker()
    assert again is not None
    assert (again.openings, again.successes) == (2, 0)
    assert seconds_until(again.open_until) > 0


# Retry-After


@pytest.mark.parametrize(("asked", "pause"), [(10, SECONDS), (120, 120), (86_400, 600)])
def test_a_pause_is_as_long_as_the_system_asks_up_to_ten_minutes(
    cautious: Hub, asked: int, pause: int
) -> None:
    Connection.objects.update(breaker_failures=1)
    cautious.shop.faults.add("throttle", retry_after=asked)
    assert told(cautious, people(cautious, 1)[0]) == (424, "target-throttled")
    opened = breaker()
    assert opened is not None
    assert pause * 0.75 <= seconds_until(opened.open_until) <= pause * 1.25


@pytest.mark.parametrize(("asked", "least", "most"), [(120, 115, 125), (86_400, 295, 305)])
def test_a_delivery_waits_as_long_as_it_was_asked_to_up_to_its_routes_longest_pause(
    cautious: Hub, asked: int, least: int, most: int
) -> None:
    Route.objects.update(retry_cap_seconds=300)
    cautious.shop.faults.add("throttle", retry_after=asked)
    told(cautious, people(cautious, 1)[0])
    assert least <= seconds_until(Delivery.objects.get().due_at) <= most


# Two systems


def test_the_shop_is_not_blamed_for_an_identity_service_that_is_down(cautious: Hub) -> None:
    users = people(cautious, ENOUGH_FAILURES + 1)
    cautious.identity.faults.add("error", status=503)
    codes = [told(cautious, user)[1] for user in users]
    assert codes == ["identity-unavailable"] * len(users)
    assert (is_open("aurora"), is_open("shop")) == (True, False)
    assert cautious.shop.journal() == []
    assert happenings("shop") == []


def test_a_shop_that_is_down_leaves_the_identity_services_failures_counted_from_its_last_answer(
    cautious: Hub,
) -> None:
    users = people(cautious, 2 * ENOUGH_FAILURES)
    cautious.identity.faults.add("error", status=503, times=ENOUGH_FAILURES - 1)
    cautious.shop.faults.add("error", status=503, times=1)
    for user in users[:ENOUGH_FAILURES]:
        told(cautious, user)
    found = breaker("aurora")
    assert found is not None
    assert found.failures == 0
    assert not is_open("aurora")


@pytest.mark.parametrize("is_down", ["aurora", "shop"])
def test_one_system_resumes_while_the_other_stays_paused(cautious: Hub, is_down: str) -> None:
    pause(cautious, people(cautious, 1)[0])
    past, later = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(minutes=5)
    both = {"shop": past, "aurora": past} | {is_down: later}
    for slug, moment in both.items():
        connection = Connection.objects.get(slug=slug)
        Breaker.objects.update_or_create(
            connection=connection, defaults={"open_until": moment, "opened_at": past, "openings": 1}
        )
    asked = len(cautious.shop.journal())
    make_due()
    assert run_due() == 0
    assert len(cautious.shop.journal()) == asked


# Relayed deliveries


def relayed(user: str) -> dict[str, Any]:
    entity = {"id": user, "emails": [{"address": f"{user.lower()}@relayed.example.com", "verified": True}]}
    return webhook(user, eventType="CREATE", data=entity)


@pytest.mark.parametrize(
    ("goes_on", "state", "retrying"), [(None, State.DEAD, False), (True, State.RETRYING, True)]
)
def test_a_relayed_webhook_for_a_paused_shop_is_told_whether_it_goes_on(
    cautious: Hub, goes_on: bool | None, state: State, retrying: bool
) -> None:
    first, second = people(cautious, 2)
    pause(cautious, first)
    Route.objects.update(relays=True, continues_after_failure=goes_on)
    answer = cautious.post_signed(relayed(second))
    assert (answer.status_code, answer.json()["retrying"]) == (424, retrying)
    delivery = Delivery.objects.get(entity_id=second)
    assert (delivery.state, delivery.attempts.count()) == (state, 0)


def test_a_relayed_webhook_does_not_wait_for_an_identity_service_that_it_does_not_ask(cautious: Hub) -> None:
    users = people(cautious, ENOUGH_FAILURES + 1)
    fault = cautious.identity.faults.add("error", status=503)
    for user in users[:-1]:
        told(cautious, user)
    cautious.identity.faults.clear(fault.id)
    assert is_open("aurora")
    Route.objects.update(relays=True)
    answer = cautious.post_signed(relayed(users[-1]))
    assert (answer.status_code, answer.json().get("status")) == (200, "succeeded")


def test_a_relayed_success_says_nothing_of_an_identity_service_that_it_did_not_ask(cautious: Hub) -> None:
    users = people(cautious, ENOUGH_FAILURES + 1)
    cautious.identity.faults.add("error", status=503)
    for user in users[1:]:
        Route.objects.filter(source__slug="aurora").update(relays=True)
        assert cautious.post_signed(relayed(users[0])).status_code == 200
        assert told(cautious, user) == (424, "identity-unavailable")
    assert is_open("aurora")
