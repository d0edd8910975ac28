"""A hub with a rich history for screenshots: the same each time except for the current time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from tempfile import TemporaryDirectory

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client, override_settings

from devtools.sample_history.generator import generate_history
from exports.jobs.lifecycle import append_export_entry, request_export
from exports.models import Export, TableFormat
from sync.erasure.requests import request_erasure
from sync.erasure.subject_data import find_subject as whose
from sync.models import (
    Alarm,
    AlarmKind,
    Attempt,
    Breaker,
    Call,
    Connection,
    Delivery,
    Erasure,
    LegalGround,
    Link,
    Mapping,
    MappingVersion,
    PersonRequest,
    Route,
)
from sync.operations.failure_groups import refresh_failure_groups
from sync.replays.requests import request_replay
from sync.search.event_filter import resolve_filter
from sync.statistics.full_recount import recount_all_hours
from tests.browser.driver.chromium import Browser
from tests.support.builders.matched_records import STRANGER_EMAIL
from tests.support.hub import ANNA, Hub, signature_headers
from tests.support.people import hold_permissions_for_days
from webhooks.models import Event, Receipt, Refusal, Source, State

PEOPLE = {
    "support": ("saara", "Saara", "Salo"),
    "auditor": ("antti", "Antti", "Heino"),
    "administrator": ("pekka", "Pekka", "Laine"),
    "administrator+support": ("liisa", "Liisa", "Niemi"),
}
CLAIMANT = "MEMBER2101"
LEAVERS = ("MEMBER2041", "MEMBER2042", "MEMBER2043")
MINUTE = timedelta(minutes=1)


@dataclass
class Stage:
    """The hub, its current time, its address, and its users."""

    hub: Hub
    site: str
    now: datetime
    people: dict[str, User] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    backtest: str = ""

    def client(self, role: str) -> Client:
        """Return the session of a person, which the browser shares; an anonymous one without a role."""
        if role not in self.clients:
            self.clients[role] = Client(raise_request_exception=False)
            if role:
                self.clients[role].force_login(self.people[role])
        return self.clients[role]

    def enter(self, browser: Browser, role: str) -> None:
        """Log the browser in as this person, including pending messages."""
        browser.context.clear_cookies()
        cookies = self.client(role).cookies
        browser.context.add_cookies(
            [{"name": name, "value": cookie.value, "url": self.site} for name, cookie in cookies.items()]
        )
        cookies.pop("messages", None)

    def posted(self, role: str, address: str, **values: object) -> str:
        """Return the address that a form of this person leads to."""
        answer = self.client(role).post(address, values)
        assert answer.status_code == 302, f"{address}: {answer.status_code}"
        return str(answer["Location"])

    def event(self, state: str, code: str = "", **values: object) -> Event:
        """Return the newest event in this state, preferably with contents."""
        found = Event.objects.filter(state=state, **({"code": code} if code else {}), **values)
        return found.exclude(payload=None).order_by("-id").first() or found.latest("id")


@contextmanager
def folder_for_exports() -> Iterator[None]:
    """Yield the folder for export files."""
    with TemporaryDirectory() as folder, override_settings(EXPORT_FOLDER=folder):
        yield


def staged(hub: Hub, site: str, now: datetime, events: int = 3000) -> Stage:
    """Create three people, ten days of history, and one example of everything within the last hour."""
    stage = Stage(hub, site, now)
    for role, (name, first, last) in PEOPLE.items():
        stage.people[role] = User.objects.create_user(
            name, f"{name}@example.com", first_name=first, last_name=last, is_staff=True
        )
        stage.people[role].set_password(f"the password of {name}")
        stage.people[role].save()
        stage.people[role].groups.add(*(Group.objects.get(name=group) for group in role.split("+")))
        hold_permissions_for_days(stage.people[role])
    _date_settings(now - timedelta(days=60))
    for _ in generate_history(events, now=(now - 40 * MINUTE).timestamp(), days=10, seed=4, bodies=1_000):
        pass
    for make in (
        _send_refused_requests,
        _change_address,
        _fail_temporarily,
        _hold_match,
        _hold_removals,
        _alarming,
        _request_export_and_erasure,
        _draft_mapping,
        _run_counts,
    ):
        make(stage)
    return stage


def _date_settings(at: datetime) -> None:
    """Let routes, connections and mappings be older than what failed: nobody has changed them since."""
    for model in (Route, Connection):
        model.objects.update(updated_at=at)
    MappingVersion.objects.update(created_at=at)


def _at(event: Event, at: datetime) -> None:
    """Move a real event to this time."""
    moved = at - event.received_at
    Event.objects.filter(pk=event.pk).update(received_at=at)
    for receipt in Receipt.objects.filter(event=event):
        ended = receipt.answered_at and receipt.answered_at + moved
        Receipt.objects.filter(pk=receipt.pk).update(
            received_at=receipt.received_at + moved, answered_at=ended
        )
    ended = at + timedelta(seconds=0.2)
    for place, attempt in enumerate(Attempt.objects.filter(delivery__event=event).order_by("id")):
        began = at + timedelta(seconds=0.02) + 7 * place * MINUTE
        ended = began + timedelta(seconds=0.18)
        Attempt.objects.filter(pk=attempt.pk).update(started_at=began, ended_at=attempt.ended_at and ended)
        PersonRequest.objects.filter(pk=attempt.person_request_id).update(
            created_at=began - timedelta(seconds=2)
        )
        for step, call in enumerate(Call.objects.filter(attempt=attempt).order_by("started_at")):
            Call.objects.filter(pk=call.pk).update(
                started_at=began + timedelta(seconds=0.01 + 0.055 * step), seconds=0.048 - 0.009 * step
            )
    for delivery in Delivery.objects.filter(event=event):
        settled = delivery.settled_at and ended
        Delivery.objects.filter(pk=delivery.pk).update(opened_at=at, settled_at=settled)
    Link.objects.filter(entity_id=event.entity_id, applied_at__gt=ended).update(applied_at=ended)


def _post_webhook(stage: Stage, entity_id: str, entity_type: str = "USER") -> None:
    """Post a signed webhook with the current time. Returns its event."""
    stage.hub.sent += 1
    body = json.dumps({"id": entity_id, "entityType": entity_type, "eventType": "UPDATE"}).encode()
    headers = signature_headers(body, f"msg_{stage.hub.sent}", stage.now.timestamp())
    answer = stage.hub.post(body, "aurora", **headers)
    assert answer.status_code in {200, 202, 422, 424}, answer.content
    stage.hub.wait_until_quiet()


def _send_refused_requests(stage: Stage) -> None:
    """Send requests that are refused."""
    stage.hub.client.post("/webhooks/aurora", b"{}", content_type="application/json")
    stage.hub.post(b"not json")
    Refusal.objects.update(first_at=stage.now - 31 * MINUTE, last_at=stage.now - 30 * MINUTE, times=4)


def _change_address(stage: Stage) -> None:
    """Change Anna's address, then to one that is taken, free it, and let Saara replay the event."""
    for address, minutes in (("anna.new@example.com", 34), ("taken@example.com", 26)):
        stage.hub.change_email(address)
        _post_webhook(stage, ANNA, "USER")
        _at(Event.objects.latest("id"), stage.now - minutes * MINUTE)
    _post_webhook(stage, "GROUPREGULARS", "GROUP")
    request_replay(
        [Event.objects.filter(entity_id="GROUPREGULARS").latest("id")],
        by=stage.people["support"],
        reason="The segment was renamed by hand in the shop",
    )
    stage.hub.wait_until_idle()
    _at(Event.objects.latest("id"), stage.now - 18 * MINUTE)


def _fail_temporarily(stage: Stage) -> None:
    """Let the shop fail, so that some events wait for a retry."""
    stage.hub.shop.faults.add("error", status=503)
    for user, minutes in (("5f2a9c0e7b1d4e8890aa0001", 12), ("5f2a9c0e7b1d4e8890aa0002", 11)):
        stage.hub.change_email(f"{user[-4:]}@example.org", user)
        _post_webhook(stage, user, "USER")
        event = Event.objects.latest("id")
        _at(event, stage.now - minutes * MINUTE)
        # Django's clock and the database's may differ here: as far away as no test lasts.
        Delivery.objects.filter(event=event).update(due_at=stage.now + 9 * MINUTE)
    stage.hub.shop.faults.clear()
    Breaker.objects.all().delete()


def _hold_match(stage: Stage) -> None:
    """Let a person enter the address of a customer of the shop, unverified."""
    name = {"givenName": "Grace", "familyName": "Holloway-Lind"}
    emails = [{"address": STRANGER_EMAIL, "verified": False}]
    stage.hub.identity.directory.create_record(
        "users", {"id": CLAIMANT, "username": "grace.lind", "name": name, "emails": emails, "locale": "fi"}
    )
    _post_webhook(stage, CLAIMANT, "USER")
    _at(Event.objects.latest("id"), stage.now - 10 * MINUTE)


def _hold_removals(stage: Stage) -> None:
    """Delete three people at once on a route that holds all removals."""
    for user in LEAVERS:
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        stage.hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails}
        )
        stage.hub.post({"id": user, "entityType": "USER", "eventType": "CREATE"})
    stage.hub.wait_until_quiet()
    Route.objects.update(max_removals=0)
    for user in LEAVERS:
        stage.hub.identity.directory.delete_record("users", user)
        stage.hub.post({"id": user, "entityType": "USER", "eventType": "DELETE"})
    stage.hub.wait_until_quiet()
    for place, event in enumerate(Event.objects.filter(entity_id__in=LEAVERS).order_by("id")):
        _at(event, stage.now - (9 - place) * MINUTE)


def _alarming(stage: Stage) -> None:
    began = stage.now - 25 * MINUTE
    held = Event.objects.filter(state=State.HELD).count()
    Alarm.objects.create(kind=AlarmKind.DELIVERIES_HELD, count=held, began_at=began, raised_at=began + MINUTE)
    began = stage.now - timedelta(hours=31)
    Alarm.objects.create(
        kind=AlarmKind.CONNECTION_PAUSED,
        subject="connection:2",
        name="The shop",
        began_at=began,
        raised_at=began + MINUTE,
        ended_at=began + 90 * MINUTE,
    )


def _make_export(stage: Stage) -> None:
    """Make an export and download it twice."""
    auditor = stage.people["auditor"]
    made = request_export(
        resolve_filter({}, stage.now), by=auditor, reason="Yearly audit", table=TableFormat.XLSX
    )
    with transaction.atomic():
        for _ in range(2):
            append_export_entry(made, "export.downloaded", f"person:{auditor.pk}", {})
    made.archive.write_bytes(b"what an archive would be")
    Export.objects.filter(pk=made.pk).update(
        state="done",
        created_at=stage.now - 90 * MINUTE,
        snapshot_at=stage.now - 89 * MINUTE,
        ended_at=stage.now - 80 * MINUTE,
        expires_at=stage.now + 6 * 24 * 60 * MINUTE,
        total=3_011,
        position=3_011,
        size=1_482_113,
        counts={"attempts": 3_480, "calls": 9_112, "deliveries": 3_011, "events": 3_011, "receipts": 3_019},
        sha256="5f1c0e9a" * 8,
    )


def _request_export_and_erasure(stage: Stage) -> None:
    """Create a finished and a waiting export, and a waiting erasure."""
    _make_export(stage)
    meant = resolve_filter({"state": "dead"}, stage.now)
    request_export(meant, by=stage.people["auditor"], reason="Quarterly review of what failed")
    request_erasure(
        whose("USER", "USR-000001", Source.objects.get(slug="aurora").pk),
        ground=LegalGround.CONSENT,
        reason="A letter of the 3rd of March",
        by=stage.people["administrator"],
        address="192.0.2.9",
    )
    Erasure.objects.update(requested_at=stage.now - 50 * MINUTE)


def _draft_mapping(stage: Stage) -> None:
    """Create a draft of a mapping and its back-test."""
    mapping = Mapping.objects.get(name="Person to customer")
    declaration = mapping.current_version().declaration
    declaration["fields"]["first_name"]["apply"] = ["trim", "upper"]
    page = f"/admin/sync/mapping/{mapping.pk}"
    stage.posted(
        "administrator+support",
        f"{page}/edit/",
        declaration=json.dumps(declaration, indent=2),
        note="First names in capitals",
        seen_version=mapping.current_version().number,
        seen_draft=0,
        save="1",
    )
    editor, reason = "administrator+support", "Labels of the shop"
    stage.backtest = stage.posted(editor, f"{page}/backtest/", events=50, reason=reason)
    newest = stage.client(editor).get(f"{page}/edit/").context["state"].sample.event
    revealed = {"declaration": "{}", "event": newest, "reveal": "1", "reason": reason}
    stage.client(editor).post(f"{page}/edit/", revealed)
    stage.posted(editor, stage.backtest, reason=reason)
    stage.client(editor).get(stage.backtest)  # reads what was said of the draft


def _run_counts(stage: Stage) -> None:
    """Run the counts of the worker."""
    for _ in recount_all_hours(stage.now):
        pass
    refresh_failure_groups()
