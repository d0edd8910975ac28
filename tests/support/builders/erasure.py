"""People of whom something is kept, and where to look for what is left of them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from sync.erasure.late_payloads import delete_late_payloads
from sync.erasure.requests import decide_erasure, find_subject, request_erasure
from sync.models import Attempt, Call, Delivery, Erasure, Link, Route
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from tests.support.threads import in_threads
from webhooks.models import Event, Payload, Receipt, subject_key


@dataclass(frozen=True, slots=True)
class Somebody:
    """Invented, so that no word of theirs can be found by chance."""

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


def somebody(number: int) -> Somebody:
    mark = hashlib.sha256(b"person %d" % number).hexdigest()[:10]
    return Somebody(f"PX{mark}{number}", f"Qvist{mark}", f"zx{mark}@example.com")


def come_by_webhook(hub: Hub, people: Iterable[Somebody]) -> list[Somebody]:
    """By the real path: users of the identity service whose webhooks are received and delivered."""
    found = []
    for each in people:
        body = {
            "username": each.email.partition("@")[0],
            "name": {"givenName": "Qq", "familyName": each.name},
            "emails": [{"address": each.email, "verified": True}],
        }
        made = hub.identity.directory.create_record("users", body)
        known = Somebody(str(made["id"]), each.name, each.email)
        answer = hub.post_signed(known.body, f"msg-{known.entity_id}")
        assert answer.status_code == 200, answer.content
        found.append(known)
    hub.wait_until_quiet()
    return found


def fill(people: Iterable[Somebody]) -> None:
    """The same rows, written at once."""
    route = Route.objects.filter(entity_type="USER", source__slug="aurora").get()
    for each in people:
        key = subject_key(route.source_id, "USER", each.entity_id)
        plain = b"|".join(each.words)
        kinds = ("webhook", "answer", "change", "request", "response")
        made = [Payload.of(kind, plain, key) for kind in kinds]
        webhook, answer, change, request, response = Payload.objects.bulk_create(made)
        now = timezone.now() - timedelta(minutes=5)
        facts = {"entity_type": "USER", "entity_id": each.entity_id}
        event = Event.objects.create(
            source=route.source,
            event_id=f"msg-{each.entity_id}",
            event_type="UPDATE",
            is_signed=True,
            digest=hashlib.sha256(each.body).digest(),
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
        ends = {"identity_id": route.identity_id, "commercial_id": route.commercial_id}
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
            change=change,
        )
        Call.objects.create(
            attempt=attempt,
            connection_id=route.commercial_id,
            purpose="update",
            is_write=True,
            method="PATCH",
            path="/x",
            key=f"{attempt.key}-{hashlib.sha256(plain).hexdigest()[:16]}",
            started_at=now,
            request=request,
            response=response,
        )
        Link.objects.create(record_id="4711", applied_at=now, **ends, **facts)


def confirmed(each: Somebody, source: int | None = None) -> Erasure:
    """Asked for by one person and confirmed by another."""
    asker, other = (
        User.objects.get_or_create(username=name, defaults={"is_staff": True})[0]
        for name in ("asks", "confirms")
    )
    whose = find_subject("USER", each.entity_id, source)
    asked = request_erasure(whose, ground="consent-withdrawn", reason=f"{each.name} wrote to us", by=asker)
    decide_erasure(asked, confirms=True, by=other)
    return asked


def erase_confirmed() -> int:
    """Do what workers do for erasures. Returns how many ended."""
    done = Erasure.objects.filter(state="done")
    before = done.count()
    delete_late_payloads()
    run_jobs("erasure")
    return done.count() - before


_meanwhile: list[Callable[[], Any]] = []


def in_the_middle_of_an_erasure(settings: Any, happens: Callable[[], Any]) -> None:
    """Let something happen once, on a thread of its own, between the commit that destroys the key and the rows."""
    settings.ERASES_TOO = settings.ERASES_TOO | {"meanwhile": f"{__name__}.let_happen"}
    _meanwhile[:] = [happens]


def let_happen(_: str, __: str) -> int:
    """As ERASES_TOO names it."""
    if _meanwhile:
        in_threads(lambda _: _meanwhile.pop()(), 1)
    return 0


def cells() -> Iterator[tuple[str, bytes]]:
    """Every value of every row of every table, as bytes."""
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    yield f"{table}.{name}", _as_bytes(value)


def _as_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def found_in_tables(people: Iterable[Somebody]) -> set[str]:
    """The columns in which a word of theirs stands."""
    words = [word.lower() for each in people for word in each.words]
    by_column: dict[str, list[bytes]] = {}
    for name, value in cells():
        by_column.setdefault(name, []).append(value.lower())
    whole = {name: b"\x00".join(values) for name, values in by_column.items()}
    return {name for name, text in whole.items() if any(word in text for word in words)}


def readable_payloads() -> bytes:
    """What every payload says to those who hold the keys that are left."""
    from webhooks.encryption.at_rest import CannotOpen

    said = []
    for payload in Payload.objects.select_related("subject"):
        try:
            said.append(payload.open())
        except CannotOpen:
            continue
    return b"\x00".join(said)


def guessed(likely: Iterable[Somebody]) -> int:
    """How many of these guesses match a hash that stands anywhere: of an id, a name, an address, a webhook's body."""
    kept = {value for _, value in cells()}
    kept |= {value[-16:] for value in kept if len(value) == 53}  # what an idempotency key has of a hash
    hits = 0
    for each in likely:
        for text in (*each.words, each.body, b"|".join(each.words)):
            digest = hashlib.sha256(text)
            hits += digest.digest() in kept or digest.hexdigest().encode() in kept
            hits += digest.hexdigest()[:16].encode() in kept
    return hits
