"""Changes between the read of a delivery and its claim are respected."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from sync.deliveries import claims
from sync.deliveries.claims import Claim, ConnectionPaused, claim_delivery
from sync.deliveries.predicates import ISOLATION_DEATHS
from sync.limits import concurrency_slots
from sync.models import Attempt, Breaker, Delivery, Link, MappingVersion
from tests.support.audit.chain_faults import find_chain_faults
from tests.support.builders.history import a_replay
from tests.support.hub import EXAMPLE, Hub
from tests.support.people import person as staff
from tests.support.threads import in_threads
from webhooks.models import Event

pytestmark = pytest.mark.concurrent

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'
LATER = timedelta(minutes=1)


@pytest.fixture
def waiting(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Delivery]:
    """Create a delivery that is due and not claimed."""
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    assert hub.post_signed(ACK).status_code == 202
    yield Delivery.objects.get()
    Delivery.objects.update(state="closed", due_at=None, token=None, lease_until=None)


@pytest.fixture
def meanwhile(waiting: Delivery, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Claim | None]:
    """Claim it, and let something happen once it has been read."""
    load = claims._load_delivery

    def claimed(happens: Callable[[Delivery], Any]) -> Claim | None:
        def and_then(pk: int) -> Any:
            monkeypatch.setattr(claims, "_load_delivery", load)
            found = load(pk)
            happens(waiting)
            return found

        monkeypatch.setattr(claims, "_load_delivery", and_then)
        return claim_delivery(waiting.pk)

    return claimed


def change(**values: Any) -> Callable[[Delivery], Any]:
    return lambda delivery: Delivery.objects.filter(pk=delivery.pk).update(**values)


def another(delivery: Delivery, **values: Any) -> Delivery:
    """Create a second delivery of the subject, for another event."""
    sibling = Delivery.objects.get(pk=delivery.pk)
    event = sibling.event
    event.pk, event.uuid, event.event_id = None, None, None
    event._state.adding = True
    event.uuid = type(event)._meta.get_field("uuid").get_default()
    event.save()
    sibling.pk, sibling.event = None, event
    sibling._state.adding = True
    for name, value in values.items():
        setattr(sibling, name, value)
    sibling.save()
    return sibling


def test_a_delivery_is_claimed_if_nothing_changed(meanwhile: Callable[..., Claim | None]) -> None:
    claim = meanwhile(lambda _: None)
    assert claim is not None
    row = Delivery.objects.get()
    assert (row.state, row.token, row.attempts_used, row.last_number) == ("running", claim.token, 1, 1)
    assert row.lease_until is not None
    attempt = Attempt.objects.get()
    assert (attempt, attempt.number, attempt.cause, attempt.outcome) == (
        claim.attempt,
        1,
        "webhook",
        "started",
    )
    assert (claim.delivery.attempts_used, claim.delivery.last_number, claim.link) == (1, 1, None)
    assert claim.stream_heads.keys() == {row.stream}
    assert find_chain_faults() == []


NOT_OURS: dict[str, Callable[[Delivery], Any]] = {
    "is_due_later": lambda delivery: change(due_at=timezone.now() + LATER)(delivery),
    "is_held": change(state="held", due_at=None),
    "has_ended": change(state="succeeded", due_at=None),
    "is_claimed_by_another": lambda delivery: in_threads(lambda _: claim_delivery(delivery.pk), 1),
    "needs_isolation": change(deaths=ISOLATION_DEATHS),
    "another_of_its_subject_runs": lambda delivery: another(
        delivery, state="running", token="0" * 32, lease_until=timezone.now() + LATER, due_at=None
    ),
}


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I9")
@pytest.mark.parametrize("what", NOT_OURS)
def test_a_delivery_is_not_claimed_if_it_changed_meanwhile(
    what: str, meanwhile: Callable[..., Claim | None]
) -> None:
    assert meanwhile(NOT_OURS[what]) is None
    assert find_chain_faults() == []


def test_a_delivery_waits_for_a_breaker_that_has_opened(
    meanwhile: Callable[..., Claim | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of this process does not contain the breaker yet."""
    known = iter([None, None])
    passing = concurrency_slots.allowed_deliveries
    monkeypatch.setattr(
        concurrency_slots, "allowed_deliveries", lambda connection: next(known, passing(connection))
    )

    def opens(delivery: Delivery) -> None:
        now = timezone.now()
        Breaker.objects.create(connection=delivery.target, opened_at=now, open_until=now + LATER)

    with pytest.raises(ConnectionPaused):
        meanwhile(opens)
    assert not Attempt.objects.exists()


def test_a_claim_covers_later_deliveries_of_the_same_subject(meanwhile: Callable[..., Claim | None]) -> None:
    claim = meanwhile(another)
    assert claim is not None
    assert len(claim.covered) == 1
    assert Delivery.objects.filter(covered_by=claim.attempt).count() == 1


def test_a_claim_belongs_to_the_replay_requested_meanwhile(meanwhile: Callable[..., Claim | None]) -> None:
    """With its payload and its mapping, and after the attempts of other processes."""
    replay, version = a_replay(staff("support")), MappingVersion.objects.latest("pk")
    chosen = {"person_request": replay, "payload_choice": "received", "mapping_version": version}
    claim = meanwhile(change(**chosen, attempts_used=2, last_number=2))
    assert claim is not None
    assert (claim.attempt.person_request_id, claim.attempt.cause) == (replay.pk, "replay")
    assert Delivery.objects.get().person_request is None
    assert (claim.delivery.payload_choice, claim.attempt.payload_choice) == ("received", "received")
    assert claim.delivery.mapping_version_id == version.pk
    assert (claim.attempt.number, claim.delivery.attempts_used) == (3, 3)


def test_an_isolated_claim_is_a_separate_case(waiting: Delivery) -> None:
    assert claim_delivery(waiting.pk, in_own_process=True) is None


def test_the_stream_head_is_looked_up_if_its_first_entries_may_be_pruned(
    waiting: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    Event.objects.update(received_at=timezone.now() - timedelta(hours=13))
    prepare, given = claims.prepare_append, []
    monkeypatch.setattr(
        claims,
        "prepare_append",
        lambda *entries, heads: (given.append(heads), prepare(*entries, heads=heads))[1],
    )
    assert claim_delivery(waiting.pk) is not None
    assert given == [None]


def test_a_claim_uses_a_link_created_meanwhile(meanwhile: Callable[..., Claim | None]) -> None:
    def make(delivery: Delivery) -> None:
        subject = {
            name: getattr(delivery, name) for name in ("entity_type", "entity_id", "identity", "target")
        }
        Link.objects.create(**subject, record_id="4711", applied_at=timezone.now())

    claim = meanwhile(make)
    assert claim is not None
    assert claim.link is not None
    assert claim.link.record_id == "4711"


def test_audit_log_entries_of_a_claim_follow_entries_added_meanwhile(
    meanwhile: Callable[..., Claim | None],
) -> None:
    def say(delivery: Delivery) -> None:
        with transaction.atomic():
            append_entries(NewEntry(delivery.stream, "delivery.approved"))

    assert meanwhile(say) is not None
    assert find_chain_faults() == []


@pytest.mark.promise("I9", "T15")
def test_the_database_refuses_a_second_running_delivery_of_a_subject(waiting: Delivery) -> None:
    assert claim_delivery(waiting.pk) is not None
    claimed = {"state": "running", "token": uuid4(), "lease_until": timezone.now(), "due_at": None}
    unclaimed = dict.fromkeys(("token", "lease_until", "identity_slot", "target_slot"))
    other = another(waiting, state="pending", **unclaimed)
    with pytest.raises(IntegrityError, match="one_running_delivery|UNIQUE"), transaction.atomic():
        Delivery.objects.filter(pk=other.pk).update(**claimed)
    Delivery.objects.filter(pk=waiting.pk).update(state="dead", **unclaimed)
    Delivery.objects.filter(pk=other.pk).update(**claimed)
