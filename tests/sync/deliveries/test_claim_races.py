"""What changes between the reading of a delivery and its claim counts, whether it is claimed by one batch or with locks."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from sync.deliveries import claims
from sync.deliveries.claims import Claim, ConnectionPaused, claim_delivery
from sync.deliveries.predicates import SUSPECT_DEATHS
from sync.limits import concurrency_slots
from sync.models import Attempt, Breaker, Delivery, Link, MappingVersion
from tests.support.audit.chain_faults import faults
from tests.support.builders.history import a_replay
from tests.support.hub import EXAMPLE, Hub
from tests.support.people import person as staff
from tests.support.threads import in_threads
from webhooks.models import Event

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'
LATER = timedelta(minutes=1)


@pytest.fixture
def waiting(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Delivery]:
    """A delivery that is due, and that nobody delivers."""
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
    """A second one of its subject, of another event."""
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


def test_it_is_claimed_by_one_batch_where_nothing_has_happened(
    meanwhile: Callable[..., Claim | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_claim_with_locks", None)
    taken = meanwhile(lambda _: None)
    assert taken is not None
    row = Delivery.objects.get()
    assert (row.state, row.token, row.tries, row.last_number) == ("running", taken.token, 1, 1)
    assert row.lease_until is not None
    attempt = Attempt.objects.get()
    assert (attempt, attempt.number, attempt.cause, attempt.outcome) == (
        taken.attempt,
        1,
        "webhook",
        "started",
    )
    assert (taken.delivery.tries, taken.delivery.last_number, taken.link) == (1, 1, None)
    assert taken.stream_heads.keys() == {row.stream}
    assert faults() == []


NOT_OURS: dict[str, Callable[[Delivery], Any]] = {
    "is_due_later": lambda each: change(due_at=timezone.now() + LATER)(each),
    "is_held": change(state="held", due_at=None),
    "has_ended": change(state="succeeded", due_at=None),
    "is_claimed_by_another": lambda each: in_threads(lambda _: claim_delivery(each.pk), 1),
    "is_a_suspect": change(deaths=SUSPECT_DEATHS),
    "another_of_its_subject_runs": lambda each: another(
        each, state="running", token="0" * 32, lease_until=timezone.now() + LATER, due_at=None
    ),
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_it_is_not_claimed_where_meanwhile_it(what: str, meanwhile: Callable[..., Claim | None]) -> None:
    assert meanwhile(NOT_OURS[what]) is None
    assert faults() == []


def test_it_waits_for_a_breaker_that_has_opened(
    meanwhile: Callable[..., Claim | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process does not know of it yet."""
    known = iter([None, None])
    passing = concurrency_slots.allowed_deliveries
    monkeypatch.setattr(concurrency_slots, "allowed_deliveries", lambda each: next(known, passing(each)))

    def opens(delivery: Delivery) -> None:
        now = timezone.now()
        Breaker.objects.create(connection=delivery.commercial, opened_at=now, open_until=now + LATER)

    with pytest.raises(ConnectionPaused):
        meanwhile(opens)
    assert not Attempt.objects.exists()


def test_it_covers_what_has_come_for_the_same_subject(meanwhile: Callable[..., Claim | None]) -> None:
    taken = meanwhile(another)
    assert taken is not None
    assert len(taken.covered) == 1
    assert Delivery.objects.filter(covered_by=taken.attempt).count() == 1


def test_it_takes_what_somebody_has_chosen(meanwhile: Callable[..., Claim | None]) -> None:
    taken = meanwhile(change(takes="received"))
    assert taken is not None
    assert (taken.delivery.takes, taken.attempt.takes) == ("received", "received")


def test_it_maps_as_somebody_has_chosen(meanwhile: Callable[..., Claim | None]) -> None:
    version = MappingVersion.objects.latest("pk")
    taken = meanwhile(change(mapping_version=version))
    assert taken is not None
    assert taken.delivery.mapping_version_id == version.pk


def test_it_is_the_replay_that_somebody_has_asked_for(meanwhile: Callable[..., Claim | None]) -> None:
    asked = a_replay(staff("support"))
    taken = meanwhile(change(replay=asked))
    assert taken is not None
    assert (taken.attempt.replay_id, taken.attempt.cause) == (asked.pk, "replay")
    assert Delivery.objects.get().replay is None


def test_it_counts_the_attempts_of_others(meanwhile: Callable[..., Claim | None]) -> None:
    taken = meanwhile(change(tries=2, last_number=2))
    assert taken is not None
    assert (taken.attempt.number, taken.delivery.tries) == (3, 3)


def test_one_for_a_process_of_its_own_is_another(waiting: Delivery) -> None:
    assert claim_delivery(waiting.pk, in_own_process=True) is None


def test_where_its_first_entries_may_be_kept_no_longer_it_is_looked_up_where_they_end(
    waiting: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    Event.objects.update(received_at=timezone.now() - timedelta(hours=13))
    with_locks, calls = claims._claim_with_locks, []
    monkeypatch.setattr(claims, "_claim_with_locks", lambda *of: (calls.append(of), with_locks(*of))[1])
    assert claim_delivery(waiting.pk) is not None
    assert len(calls) == 1


def test_it_knows_the_record_that_somebody_has_made(meanwhile: Callable[..., Claim | None]) -> None:
    def make(delivery: Delivery) -> None:
        subject = {
            name: getattr(delivery, name) for name in ("entity_type", "entity_id", "identity", "commercial")
        }
        Link.objects.create(**subject, record_id="4711", applied_at=timezone.now())

    taken = meanwhile(make)
    assert taken is not None
    assert taken.link is not None
    assert taken.link.record_id == "4711"


def test_it_follows_what_was_said_of_it(meanwhile: Callable[..., Claim | None]) -> None:
    def say(delivery: Delivery) -> None:
        with transaction.atomic():
            append_entries(NewEntry(delivery.stream, "delivery.approved"))

    assert meanwhile(say) is not None
    assert faults() == []
