"""A back-test computes what a draft would have made of past events, without any request."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.erasure.erase import run_erasure
from sync.jobs.claims import claim_job_of
from sync.jobs.running_job import JobLost
from sync.mappings.backtests import BACK_TEST, BackTestRefused, request_backtest, run_in_request
from sync.models import Attempt, BackTest, Call, Delivery, Mapping, MappingDraft, Route
from tests.support.builders.backtests import a_draft, a_mapped_event, a_mapping_in_use, mapping_author
from tests.support.builders.erasure import confirmed_erasure, invented_person, receive_people
from tests.support.builders.history import NOON, a_delivery, a_source, an_attempt, an_event
from tests.support.hub import EXAMPLE, Hub
from tests.support.jobs import die_three_times, end_leases, run_jobs
from tests.support.people import entries
from webhooks.models import Event, Payload, SubjectKey

MAIL = {"fields": {"mail": {"path": "entity.mail"}}}


def request(draft: MappingDraft, wanted: int = 500) -> BackTest:
    return request_backtest(draft, wanted, mapping_author(), "a test")


def constant(mapping: Mapping, value: int = 1) -> MappingDraft:
    return a_draft(mapping, {"fields": {"mail": {"constant": value}}})


def back_test(mapping: Mapping, declaration: Any) -> BackTest:
    backtest = request(a_draft(mapping, declaration), 10)
    assert run_in_request(backtest)
    backtest.refresh_from_db()
    return backtest


@pytest.mark.django_db
def test_each_event_is_the_same_different_or_failing_in_one_or_both() -> None:
    """Values are compared with their types: 1 is not true."""
    mapping, route = a_mapping_in_use({"fields": {"a": {"path": "entity.old", "required": True}}})
    entities = ({"old": 1, "new": 1}, {"old": 1, "new": True}, {"old": 1}, {"new": 1}, {})
    for number, entity in enumerate(entities):
        a_mapped_event(route, entity, number)
    result = back_test(mapping, {"fields": {"a": {"path": "entity.new", "required": True}}})
    assert result.counts == {"same": 1, "different": 1, "fails-now": 1, "works-now": 1, "fails-both": 1}
    assert result.fields == {"a": 3}
    assert (result.tested_count, result.untestable, result.ended_by) == (5, {}, "no-more")
    keys = {"fields": {"a": {"path": "entity.old", "required": True}}, "match": {"external_id": "a"}}
    assert back_test(mapping, keys).fields == {"match.external_id": 3}


@pytest.mark.django_db
@pytest.mark.parametrize("kept", ["entity", "call"])
def test_the_entity_is_read_from_the_attempt_or_the_call(kept: str) -> None:
    mapping, route = a_mapping_in_use(MAIL)
    route.identity.settings = {"entities": {"USER": {"path": "/users/{id}"}}}
    route.identity.save()
    a_mapped_event(route, {"id": "USR-0", "mail": "A@x"}, stored_in=kept)
    result = back_test(mapping, {"fields": {"mail": {"path": "entity.mail", "apply": ["lower"]}}})
    assert (result.counts, result.fields) == ({"different": 1}, {"mail": 1})
    assert result.examples == [{"event": Event.objects.get().pk, "outcome": "different", "fields": ["mail"]}]


def test_real_webhooks_are_tested_without_requests(hub: Hub) -> None:
    hub.change_email("Anna.Back@example.com")
    hub.post(EXAMPLE)
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    mapping = Route.objects.filter(entity_type="USER").first().mapping  # type: ignore[union-attr]
    declaration = json.loads(json.dumps(mapping.current_version().declaration))
    declaration["fields"]["email"]["apply"] = []
    calls = len(hub.shop.read_journal()), len(hub.identity.read_journal())
    result = back_test(mapping, declaration)
    assert (result.counts, result.fields) == ({"different": 2}, {"email": 2})
    assert (len(hub.shop.read_journal()), len(hub.identity.read_journal())) == calls
    assert Attempt.objects.count() == Delivery.objects.count() == 2
    assert mapping.current_version().number == 1
    (entry,) = entries("mapping.backtested")
    assert entry["details"]["backtest"] == str(result.uuid)


@pytest.mark.submission
def test_erased_people_are_left_out_and_counted(hub: Hub) -> None:
    erased_person, _ = receive_people(hub, [invented_person(1), invented_person(2)])
    mapping = Route.objects.filter(entity_type="USER").first().mapping  # type: ignore[union-attr]
    noted = a_draft(mapping, {"fields": {"x": {"constant": 1}}}, note=f"as {erased_person.entity_id} asked")
    assert run_erasure(confirmed_erasure(erased_person))
    result = back_test(mapping, MAIL)
    assert (result.tested_count, result.untestable) == (1, {"erased": 1})
    noted.refresh_from_db()
    assert erased_person.entity_id not in noted.note


@pytest.mark.django_db
@pytest.mark.parametrize("kept", ["entity", "call"])
def test_an_entity_of_a_destroyed_key_is_counted_as_erased(kept: str) -> None:
    """Retention has deleted the webhook, and the event still has the id of its entity."""
    mapping, route = a_mapping_in_use(MAIL)
    a_mapped_event(route, {"mail": "a"}, stored_in=kept, payload=None)
    key = SubjectKey.objects.create(pseudonym="p", made_at=NOON, destroyed_at=NOON)
    Payload.objects.update(subject=key)
    assert back_test(mapping, {"fields": {"mail": {"constant": 1}}}).untestable == {"erased": 1}


@pytest.mark.django_db
def test_untestable_events_are_counted_by_reason() -> None:
    mapping, route = a_mapping_in_use(MAIL)
    a_mapped_event(route, {"mail": "a"}, 1)
    a_mapped_event(route, None, 2, stored_in="none")
    a_mapped_event(route, {"id": "another-person"}, 3, stored_in="call")
    never = an_attempt(a_delivery(an_event(4, source=route.source), route), 1)
    covered = a_delivery(an_event(5, source=route.source), route, covered_by=never)
    a_delivery(an_event(6, source=route.source), route)
    deleted = a_mapped_event(route, None, 7, stored_in="call")
    Call.objects.filter(attempt__delivery__event=deleted).update(status=404)
    an_event(8, source=route.source, entity_type="GROUP")
    result = back_test(mapping, {"fields": {"mail": {"path": "entity.email"}}})
    assert covered.covered_by_id == never.pk
    assert result.counts == {"different": 1}
    assert result.untestable == {"not-stored": 2, "not-fetched": 2, "covered": 1, "deleted": 1}
    assert (result.newest_at, result.oldest_at) == (NOON - timedelta(seconds=1), NOON - timedelta(seconds=7))


@pytest.mark.submission
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "error", "body", "reason"),
    [
        (404, "", {}, "deleted"),
        # A rule without condition.
        (403, "", {"error": "no such user"}, "deleted"),
        (403, "identity-credentials", {"error": "no access"}, "not-stored"),
        (200, "", {"data": {"user": None}}, "deleted"),
        (200, "identity-rejected", {"data": {"user": None}}, "not-stored"),
        (None, "identity-timeout", {}, "not-stored"),
    ],
)
def test_a_fetch_that_a_rule_calls_absent_counts_as_absent(
    status: int | None, error: str, body: Any, reason: str
) -> None:
    mapping, route = a_mapping_in_use(MAIL)
    user = {
        "path": "/users/{id}",
        "answers": [
            {"status": 403, "when": "body.error == 'no such user'", "means": "absent"},
            {"status": 200, "when": "body.data && body.data.user == `null`", "means": "absent"},
        ],
    }
    route.identity.settings = {"entities": {"USER": user}}
    route.identity.save()
    fetched = a_mapped_event(route, body, 1, stored_in="call")
    Call.objects.filter(attempt__delivery__event=fetched).update(status=status, error=error)
    assert back_test(mapping, {"fields": {"mail": {"path": "entity.email"}}}).untestable == {reason: 1}


@pytest.mark.django_db
def test_the_newest_events_of_all_sources_are_tested_up_to_the_requested_number() -> None:
    mapping, route = a_mapping_in_use(MAIL)
    other = Route.objects.get(pk=route.pk)
    other.pk, other.slug, other.source = None, "", a_source("second")
    other.save()
    for number in range(12):
        a_mapped_event(other if number % 2 else route, {"mail": number}, number)
    result = back_test(mapping, {"fields": {"mail": {"path": "entity.mail", "apply": ["text"]}}})
    assert (result.tested_count, result.ended_by, result.read_count) == (10, "enough", 10)
    assert result.oldest_at == NOON - timedelta(seconds=9)


@pytest.mark.submission
@pytest.mark.django_db
def test_statements_do_not_grow_with_the_events_of_a_chunk() -> None:
    mapping, route = a_mapping_in_use(MAIL)
    costs = []
    for number in range(40):
        a_mapped_event(route, {"mail": number}, number)
        if number in (9, 39):
            backtest = request(constant(mapping, number), 50)
            with CaptureQueriesContext(connection) as seen:
                run_in_request(backtest)
            # Savepoints are there because the test itself is a transaction.
            asked = [query["sql"] for query in seen.captured_queries]
            costs.append(sum(not sql.startswith(("SAVEPOINT", "RELEASE")) for sql in asked))
    assert costs[0] == costs[1] <= 12


@pytest.mark.django_db
def test_a_time_limit_ends_a_back_test_and_keeps_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.mappings.past_entities.CHUNK_SIZE", 5)
    mapping, route = a_mapping_in_use(MAIL)
    for number in range(12):
        a_mapped_event(route, {"mail": number}, number)
    backtest = request(constant(mapping), 100)
    assert run_in_request(backtest, 0.0)
    backtest.refresh_from_db()
    assert (backtest.state, backtest.ended_by, backtest.tested_count) == ("done", "time", 5)


@pytest.mark.django_db
def test_an_interrupted_back_test_is_restarted_and_its_old_worker_writes_nothing() -> None:
    mapping, route = a_mapping_in_use(MAIL)
    a_mapped_event(route, {"mail": 1})
    backtest = request(constant(mapping))
    first = claim_job_of(BACK_TEST, backtest.pk)
    assert first is not None
    end_leases()
    run_jobs("backtest")
    backtest.refresh_from_db()
    assert (backtest.state, backtest.tested_count) == ("done", 1)
    with pytest.raises(JobLost):
        BACK_TEST.run(first, lambda: True)
    backtest.refresh_from_db()
    assert (backtest.state, backtest.tested_count) == ("done", 1)
    run_jobs("backtest")
    assert not run_in_request(backtest)


@pytest.mark.django_db
def test_one_back_test_of_a_draft_at_a_time_tests_10_to_1000_events() -> None:
    mapping, _ = a_mapping_in_use(MAIL)
    draft = constant(mapping)
    for wanted in (9, 1001):
        with pytest.raises(BackTestRefused):
            request(draft, wanted)
    assert not BackTest.objects.exists()
    request(draft)
    with pytest.raises(BackTestRefused, match="already running"):
        request(draft)
    constant(mapping, 2)
    with pytest.raises(BackTestRefused, match="no longer exists"):
        request(draft)


@pytest.mark.django_db
def test_a_back_test_that_kills_its_workers_fails_and_another_can_be_requested() -> None:
    mapping, _ = a_mapping_in_use(MAIL)
    draft = constant(mapping)
    backtest = request(draft)
    die_three_times("backtest")
    backtest.refresh_from_db()
    assert (backtest.state, backtest.ended_at is not None) == ("failed", True)
    request(draft)
