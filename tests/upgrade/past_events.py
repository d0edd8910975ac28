"""The events of a stored database: webhooks that come from the stand-in identity service and reach the shop or do not."""

from collections.abc import Iterable
from typing import Any

from django.test import override_settings

from devtools.sandbox_setup import SandboxSystems, seed_configuration
from sync.deliveries.claims import claim_delivery
from sync.execution.executor import run_due_deliveries
from sync.models import OPEN_STATES, Delivery, Route
from tests.support.builders import event_batches
from tests.support.builders.matched_records import hold_match
from tests.support.hub import Hub
from tests.upgrade.past_decisions import do_periodic_work
from webhooks.models import Event, Source, State
from webhooks.receiving.source_cache import find_source

PEOPLE, CHANGED, UNCHANGED, DELETED = 60, 60, 150, 6
BATCHES, PER_BATCH = 10, 20
OPEN = {"OPEN1": ["retrying"], "OPEN2": ["running", "pending"], "OPEN3": ["pending"], "OPEN4": ["pending"]}
"""The states of the deliveries that `open_deliveries` leaves, by person."""


def configure(systems: SandboxSystems) -> None:
    """Connect the hub to the stand-ins. Its deliveries are never given up, whenever they run again."""
    seed_configuration(systems)
    Route.objects.update(
        retry_base_seconds=0.1, retry_cap_seconds=1.0, gives_up_after_hours=876_000, max_attempts=1_000,
        max_removals=None,
    )  # fmt: skip
    Source.objects.update(silence_minutes=1_440)
    batched = Source.objects.create(slug="aurora-batches", name="Aurora ID, batches", scheme="none")
    batched.webhook_format = event_batches.FORMAT | {"content_types": ["application/json"]}
    batched.save()
    users = Route.objects.get(source__slug="aurora-unsigned", entity_type="USER")
    users.pk, users.slug, users.source = None, "", batched
    users.save(force_insert=True)


def name_of(number: int) -> str:
    return f"PERSON{number:03}"


def create_person(hub: Hub, name: str) -> None:
    user = {
        "id": name,
        "username": name.lower(),
        "name": {"givenName": "Aino", "familyName": f"Koski{name.lower()}"},
        "emails": [{"address": f"{name.lower()}@example.com", "verified": True}],
    }
    hub.identity.directory.create_record("users", user)


def send(hub: Hub, key: str, event_type: str = "UPDATE", entity_type: str = "USER") -> Event:
    """Send a signed webhook and wait for its outcome. Returns the event."""
    answer = hub.post_signed({"id": key, "entityType": entity_type, "eventType": event_type})
    hub.wait_until_quiet()
    assert answer.status_code != 503, answer.content
    return Event.objects.filter(entity_id=key, event_type=event_type).latest("pk")


def send_ordinary(hub: Hub) -> None:
    """Create, change and delete people, groups and files; repeat requests; send what changes nothing."""
    for number in range(PEOPLE):
        create_person(hub, name_of(number))
        send(hub, name_of(number), "CREATE")
    for number in range(CHANGED):
        hub.change_email(f"{name_of(number).lower()}@changed.example.com", name_of(number))
        send(hub, name_of(number))
    for number in range(DELETED):
        hub.identity.directory.delete_record("users", name_of(number))
        send(hub, name_of(number), "DELETE")
    for collection, entity_type in (("groups", "GROUP"), ("files", "FILE")):
        for record in hub.identity.list_records(collection):
            send(hub, record["id"], "CREATE", entity_type)
    for number in range(UNCHANGED):
        body = {"id": name_of(DELETED + number % 50), "entityType": "USER", "eventType": "UPDATE"}
        hub.post(body, respond="result")
    for _ in range(2):  # the second one is a duplicate
        hub.post_signed({"id": name_of(9), "entityType": "USER", "eventType": "UPDATE"}, "msg-sent-twice")
    send(hub, name_of(9), "UPDATE", "ROLE")  # no route: ignored
    hub.wait_until_quiet()


def send_batches(hub: Hub) -> None:
    """Send requests with many events each, one of them unreadable."""
    for batch in range(BATCHES):
        people = [name_of(DELETED + (batch * PER_BATCH + number) % 50) for number in range(PER_BATCH)]
        events: list[Any] = [event_batches.event(person, uid=f"{batch}-{person}") for person in people]
        for person in people[::3]:
            hub.change_email(f"{person.lower()}.{batch}@batch.example.com", person)
        hub.post({"events": events if batch else [*events, {"user": 7}]}, "aurora-batches")
        hub.wait_until_quiet()


def send_refused(hub: Hub) -> None:
    """Send requests that the hub does not accept."""
    hub.post_signed(b"{not json")
    hub.post({"id": "x"}, "aurora")  # not signed
    hub.post_signed({"id": "spaces are refused", "entityType": "USER", "eventType": "UPDATE"})
    hub.post({"id": name_of(9)}, "absent")


def fail_each_way(hub: Hub) -> list[Event]:
    """Let changes fail for several reasons. Returns the failed events; those of one reason form a group."""
    events = []
    reasons: list[tuple[str, dict[str, Any]]] = [("refuse", {}), ("refuse", {"status": 400}), ("echo", {})]
    for number, (kind, settings) in enumerate(reasons):
        added = hub.shop.faults.add(kind, methods=["PATCH"], **settings)
        events += [change(hub, name_of(20 + 5 * number + place)) for place in range(5)]
        hub.shop.faults.clear(added.id)
    create_person(hub, "NOADDRESS")
    hub.identity.directory.update_record("users", "NOADDRESS", {"emails": []}, replaces=False)
    events.append(send(hub, "NOADDRESS", "CREATE"))
    assert {event.state for event in events} == {State.DEAD}, [event.state for event in events]
    return events


def change(hub: Hub, name: str) -> Event:
    """Change the address of a person, and send the webhook."""
    hub.change_email(f"{name.lower()}.{Event.objects.count()}@example.com", name)
    return send(hub, name)


def interrupt_a_write(hub: Hub) -> None:
    """Apply a change whose answer is lost: the attempt ends as unknown, the next one confirms it, rechecks wait."""
    fault = hub.shop.faults.add("drop", methods=["PATCH"], times=1, applied=True)
    change(hub, name_of(45))
    hub.shop.faults.clear(fault.id)
    run_until_settled([name_of(45)])


def supersede(hub: Hub, failed: Event) -> None:
    """Let a later change of the person succeed: their failure counts as superseded."""
    change(hub, failed.entity_id)
    do_periodic_work()
    failed.refresh_from_db()
    assert failed.state == State.SUPERSEDED, failed.state


def hold_matches(hub: Hub, *names: str) -> list[Delivery]:
    """Let a person decide to whom a record belongs. Returns the held deliveries."""
    return [hold_match(hub, name) for name in names]


def hold_removals(hub: Hub, names: Iterable[str]) -> list[Delivery]:
    """Delete people while the route allows no removal. Returns the held deliveries."""
    Route.objects.filter(source__slug="aurora", entity_type="USER").update(max_removals=0)
    events = []
    for name in names:
        hub.identity.directory.delete_record("users", name)
        events.append(send(hub, name, "DELETE"))
    Route.objects.update(max_removals=None)
    held = list(Delivery.objects.filter(event__in=events, state=State.HELD))
    assert len(held) == len(events)
    return held


def run_until_settled(names: Iterable[str]) -> None:
    """Run due deliveries until these people have none that is open."""
    for _ in range(500):
        waiting = Delivery.objects.filter(
            entity_id__in=list(names), state__in=("pending", "running", "retrying")
        )
        if not waiting.exists():
            return
        waiting.update(due_at="2020-01-01T00:00:00Z")
        run_due_deliveries()
    raise AssertionError("deliveries did not end")


def open_deliveries(hub: Hub) -> None:
    """Leave deliveries of `OPEN` as a hub that was switched off leaves them: retrying, running with an ended lease,
    queued behind that one, and due.
    """
    for name in OPEN:
        create_person(hub, name)
        send(hub, name, "CREATE")
        hub.change_email(f"{name.lower()}@open.example.com", name)
    fault = hub.shop.faults.add("error", methods=["PATCH"])
    assert send(hub, "OPEN1").state == State.RETRYING
    hub.shop.faults.clear(fault.id)
    Source.objects.filter(slug="aurora").update(default_mode="ack")
    find_source.invalidate()
    with override_settings(WAKE_WORKERS="tests.upgrade.past_events.leave_to_workers"):
        claimed = send(hub, "OPEN2").deliveries.get()
        assert claim_delivery(claimed.pk) is not None
        send(hub, "OPEN2")
        send(hub, "OPEN3")
        send(hub, "OPEN4")
    Source.objects.filter(slug="aurora").update(default_mode="result")
    Delivery.objects.filter(pk=claimed.pk).update(lease_until="2020-01-01T00:00:00Z")
    Delivery.objects.filter(state__in=("pending", "retrying")).update(due_at="2020-01-01T00:00:00Z")
    left = Delivery.objects.filter(entity_id__in=OPEN, state__in=OPEN_STATES).order_by("pk")
    states = {name: [row.state for row in left if row.entity_id == name] for name in OPEN}
    assert states == OPEN, states


def leave_to_workers(_: object) -> None:
    """Wake no worker: a value of WAKE_WORKERS."""


def count_states() -> dict[str, int]:
    """Return how many events have each state."""
    states = Event.objects.values_list("state", flat=True)
    return {state: list(states).count(state) for state in sorted(set(states))}
