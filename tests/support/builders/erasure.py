"""Invented people with stored data, and searches for what is left of them after an erasure."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from logins.held_permissions import ERASE
from sync.erasure.late_payloads import delete_late_payloads
from sync.erasure.requests import decide_erasure, find_subject, request_erasure
from sync.models import Attempt, Call, Delivery, Erasure, Link, Route
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from tests.support.people import hold_permissions_for_days
from tests.support.threads import in_threads
from webhooks.models import Event, Payload, Receipt, subject_key


@dataclass(frozen=True, slots=True)
class InventedPerson:
    """A person whose id, name and address are invented, so that none of them occurs by chance."""

    entity_id: str
    name: str
    email: str

    @property
    def body(self) -> bytes:
        return (
            f'{{"id":"{self.entity_id}","entityType":"USER","eventType":"UPDATE",'
            f'"timestamp":"2019-01-01T00:00:00Z"}}'
        ).encode()

    @property
    def words(self) -> tuple[bytes, ...]:
        return self.entity_id.encode(), self.name.encode(), self.email.encode()


def invented_person(number: int) -> InventedPerson:
    mark = hashlib.sha256(b"person %d" % number).hexdigest()[:10]
    return InventedPerson(f"PX{mark}{number}", f"Qvist{mark}", f"zx{mark}@example.com")


def receive_people(hub: Hub, people: Iterable[InventedPerson]) -> list[InventedPerson]:
    """Create these users in the identity service, then post and deliver a webhook for each. Returns them with their ids."""
    found = []
    for person in people:
        body = {
            "username": person.email.partition("@")[0],
            "name": {"givenName": "Qq", "familyName": person.name},
            "emails": [{"address": person.email, "verified": True}],
        }
        identity_user = hub.identity.directory.create_record("users", body)
        created = InventedPerson(str(identity_user["id"]), person.name, person.email)
        answer = hub.post_signed(created.body, f"msg-{created.entity_id}")
        assert answer.status_code == 200, answer.content
        found.append(created)
    hub.wait_until_quiet()
    return found


def store_people(people: Iterable[InventedPerson]) -> None:
    """Write the rows of a delivered webhook for each person directly, which is faster than a delivery."""
    route = Route.objects.filter(entity_type="USER", source__slug="aurora").get()
    for person in people:
        key = subject_key(route.source_id, "USER", person.entity_id)
        plain = b"|".join(person.words)
        kinds = ("webhook", "answer", "findings", "request", "response")
        payloads = [Payload.new(kind, plain, key) for kind in kinds]
        webhook, answer, findings, request, response = Payload.objects.bulk_create(payloads)
        now = timezone.now() - timedelta(minutes=5)
        facts = {"entity_type": "USER", "entity_id": person.entity_id}
        event = Event.objects.create(
            source=route.source,
            event_id=f"msg-{person.entity_id}",
            event_type="UPDATE",
            is_signed=True,
            digest=hashlib.sha256(person.body).digest(),
            payload=webhook,
            received_at=now,
            state="succeeded",
            **facts,
        )
        Receipt.objects.create(
            source=route.source,
            event=event,
            payload=webhook,
            answer=answer,
            verified_by="x",
            size=9,
            received_at=now,
        )
        ends = {"identity_id": route.identity_id, "target_id": route.target_id}
        delivery = Delivery.objects.create(
            event=event, route=route, state="succeeded", opened_at=now, **ends, **facts
        )
        attempt = Attempt.objects.create(
            delivery=delivery,
            number=1,
            cause="webhook",
            started_at=now,
            ended_at=now,
            record_id="4711",
            findings=findings,
        )
        Call.objects.create(
            attempt=attempt,
            connection_id=route.target_id,
            purpose="update",
            is_write=True,
            method="PATCH",
            path="/x",
            key=f"{attempt.key}-{hashlib.sha256(plain).hexdigest()[:16]}",
            started_at=now,
            request=request,
            response=response,
            response_part=0,
        )
        Link.objects.create(record_id="4711", applied_at=now, **ends, **facts)


def confirmed_erasure(person: InventedPerson, source: int | None = None) -> Erasure:
    """Create an erasure that one staff member requests and another confirms."""
    asker, other = (
        User.objects.get_or_create(username=name, defaults={"is_staff": True})[0]
        for name in ("asks", "confirms")
    )
    hold_permissions_for_days(other, ERASE)
    whose = find_subject("USER", person.entity_id, source)
    erasure = request_erasure(
        whose, ground="consent-withdrawn", reason=f"{person.name} wrote to us", by=asker
    )
    decide_erasure(erasure, confirms=True, by=other)
    return erasure


def erase_confirmed() -> int:
    """Run the erasure jobs as a worker would. Returns the number of erasures that ended."""
    finished = Erasure.objects.filter(state="done")
    before = finished.count()
    delete_late_payloads()
    run_jobs("erasure")
    return finished.count() - before


_meanwhile: list[Callable[[], Any]] = []


def during_next_erasure(settings: Any, happens: Callable[[], Any]) -> None:
    """Call `happens` once, on another thread, after the erasure's commit that destroys the key and before it erases rows."""
    settings.FURTHER_ERASERS = settings.FURTHER_ERASERS | {"meanwhile": f"{__name__}.run_meanwhile"}
    _meanwhile[:] = [happens]


def run_meanwhile(_: str, __: str) -> int:
    """Call the function given to `during_next_erasure`. Has the signature of an eraser in FURTHER_ERASERS."""
    if _meanwhile:
        in_threads(lambda _: _meanwhile.pop()(), 1)
    return 0


def read_all_cells() -> Iterator[tuple[str, bytes]]:
    """Yield every value of every row of every table as bytes, with `table.column`."""
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    yield f"{table}.{name}", _as_bytes(value)


def _as_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def find_in_tables(people: Iterable[InventedPerson]) -> set[str]:
    """Return the columns, as `table.column`, that contain a word of these people."""
    words = [word.lower() for person in people for word in person.words]
    by_column: dict[str, list[bytes]] = {}
    for name, value in read_all_cells():
        by_column.setdefault(name, []).append(value.lower())
    whole = {name: b"\x00".join(values) for name, values in by_column.items()}
    return {name for name, text in whole.items() if any(word in text for word in words)}


def readable_payloads() -> bytes:
    """Return the text of all payloads that can be decrypted with the remaining keys."""
    from database.encryption.at_rest import CannotDecrypt

    texts = []
    for payload in Payload.objects.select_related("subject"):
        try:
            texts.append(payload.decrypt())
        except CannotDecrypt:
            continue
    return b"\x00".join(texts)


def count_guessed_hashes(likely: Iterable[InventedPerson]) -> int:
    """Return how many hashes of these guesses (of id, name, address, webhook body) occur in any table."""
    kept = {value for _, value in read_all_cells()}
    kept |= {value[-16:] for value in kept if len(value) == 53}  # what an idempotency key has of a hash
    hits = 0
    for person in likely:
        for text in (*person.words, person.body, b"|".join(person.words)):
            digest = hashlib.sha256(text)
            hits += digest.digest() in kept or digest.hexdigest().encode() in kept
            hits += digest.hexdigest()[:16].encode() in kept
    return hits
