"""What people and periodic work did in a stored database: decisions, settings, an erasure, exports, alarms, sealing."""

import json
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from audit.entries.acting_person import ActingPerson
from exports.jobs.lifecycle import request_export
from exports.models import Export, ExportState
from logins.models import AccessRequest
from sync.execution.executor import run_due_deliveries
from sync.housekeeping.audit_upkeep import (
    replace_signing_key,
    seal_audit,
    send_checkpoint,
    verify_audit_log_nightly,
)
from sync.mappings.backtests import request_backtest
from sync.mappings.drafts import (
    DeclarationText,
    activate_version,
    current_version,
    open_draft,
    save_draft,
    seen_versions,
)
from sync.models import (
    Alarm,
    Connection,
    Delivery,
    DraftState,
    FailureGroup,
    FailureGroupState,
    Mapping,
    MappingDraft,
)
from sync.monitoring.alarms import snooze_alarm
from sync.operations.connection_tests import run_test_steps, store_steps
from sync.operations.failure_decisions import decide_group
from sync.operations.held_deliveries import HeldDecision, decide_held
from sync.operations.manual_closing import close_manually
from sync.operations.match_decisions import MatchDecision, decide_match, load_match
from sync.replays.decisions import resume_replay
from sync.replays.requests import request_replay
from sync.search.event_filter import resolve_filter
from sync.worker.schedule import PERIODIC
from tests.support.builders.bulk_replays import freeze_event_set, start_bulk_replay
from tests.support.builders.erasure import confirmed_erasure, erase_confirmed, invented_person, receive_people
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from tests.support.people import person
from webhooks.models import Event, Source

ROLES = ("support", "auditor", "administrator")


def hire() -> dict[str, User]:
    """Create a person of each role and a superuser; one asks for a further role."""
    staff = {role: person(role, f"{role}-{number}") for number, role in enumerate(ROLES)}
    staff["superuser"] = person("", "root")
    for role in ROLES[1:]:
        asked = {"role": staff[role].groups.get(), "role_name": role, "requested_at": timezone.now()}
        AccessRequest.objects.create(requested_by=staff["support"], **asked)
    return staff


def seal(checkpoint: bool = True) -> None:
    """Seal the log, and send a checkpoint of it outside."""
    seal_audit()
    if checkpoint:
        assert send_checkpoint()


def do_periodic_work() -> None:
    """Run once what a worker does every few seconds."""
    for work in PERIODIC:
        work.run()


def change_a_mapping(by: User) -> None:
    """Give the mapping of people a second version, and leave a draft of a third."""
    mapping, author = Mapping.objects.get(name="Person to customer"), ActingPerson(by, "192.0.2.1")
    for number, note in enumerate(("without the phone", "a draft")):
        current = current_version(mapping)
        assert current is not None
        declaration = current.declaration | {"fields": dict(current.declaration["fields"])}
        declaration["fields"].pop(("phone", "language")[number])
        text = DeclarationText(declaration, json.dumps(declaration))
        draft = save_draft(mapping, text, note, seen_versions(current, open_draft(mapping)), author)
        if not number:
            seen = seen_versions(current, draft)
            activate_version(
                draft, seen, "they are wrong", author, confirmed=list(current.declaration["fields"])
            )


def try_out(staff: dict[str, User]) -> None:
    """Back-test the draft, test a connection, save a view of the events, and choose how times are shown."""
    draft = MappingDraft.objects.filter(state=DraftState.OPEN).get()
    request_backtest(draft, 10, ActingPerson(staff["administrator"], "192.0.2.1"), "before it is activated")
    run_jobs("back-test")
    shop = Connection.objects.get(slug="shop")
    store_steps(shop, run_test_steps(shop))
    client = Client()
    client.force_login(staff["support"])
    view = {"name": "Refused", "query": "state=dead"}
    assert client.post("/admin/webhooks/event/views/save/", view).status_code == 302
    client.post("/admin/preferences/", {"time_zone": "Europe/Helsinki"})


def acknowledge(by: User) -> None:
    """Take a group of failures over."""
    group = FailureGroup.objects.earliest("pk")
    person_acting = ActingPerson(by, "192.0.2.1")
    decide_group(group, FailureGroupState.ACKNOWLEDGED, by=person_acting, reason="the shop was asked")


def capture_requests(hub: Hub, by: User) -> None:
    """Store the requests of a source for a while, in the console."""
    client, source = Client(), Source.objects.get(slug="aurora")
    client.force_login(by)
    page = f"/admin/webhooks/source/{source.pk}/capture/"
    assert client.post(page, {"reason": "a new sender"}).status_code == 302
    hub.post_signed({"id": "PERSON009", "entityType": "USER", "eventType": "UPDATE"})
    hub.post({"id": "PERSON009"}, "aurora")
    assert client.post(f"{page}close/").status_code == 302


def decide(
    failed: list[Event], held: list[Delivery], matched: list[Delivery], staff: dict[str, User]
) -> None:
    """Replay and close failures; approve and close held deliveries; link, create and refuse held matches."""
    by, reason = staff["support"], "asked for by the shop"
    replayed = request_replay(failed[:1], by=by, reason=reason, key=uuid4())
    assert replayed.deliveries
    close_manually([event.deliveries.get().pk for event in failed[1:3]], by=by, reason=reason, key=uuid4())
    decide_held([held[0].pk], HeldDecision.APPROVE, by=by, reason=reason, key=uuid4())
    decide_held([held[1].pk], HeldDecision.CLOSE, by=by, reason=reason, key=uuid4())
    [candidate] = load_match(matched[0]).candidates
    decide_match(
        matched[0], MatchDecision.BIND, by=by, reason=reason, key=uuid4(), record_id=candidate.record_id
    )
    decide_match(matched[1], MatchDecision.REFUSE, by=by, reason=reason, key=uuid4())


def replay_many(staff: dict[str, User]) -> None:
    """Replay the failures of one reason together; leave one selection and one request for approval."""
    group = FailureGroup.objects.filter(code="target-rejected").latest("pk")
    by = staff["administrator"]
    replay = start_bulk_replay(by, freeze_event_set(by, state="dead", failure_group=str(group.pk)))
    for _ in range(500):
        run_jobs("event-set", "replay")
        replay.refresh_from_db()
        if replay.ended_at:
            break
        if replay.state == "paused":
            resume_replay(replay, ActingPerson(by, "192.0.2.5"), replay.pace)
        Delivery.objects.filter(state__in=("pending", "retrying")).update(due_at="2020-01-01T00:00:00Z")
        run_due_deliveries()
        time.sleep(0.02)
    members = list(replay.members.values_list("event__entity_id", "state", "why"))
    assert replay.ended_at, members
    start_bulk_replay(by, freeze_event_set(by), approval_limit=0)


def erase(hub: Hub) -> None:
    """Erase one of two people."""
    first, _ = receive_people(hub, [invented_person(1), invented_person(2)])
    confirmed_erasure(first)
    assert erase_confirmed() == 1


def watch(staff: dict[str, User]) -> None:
    """Raise alarms; one is snoozed."""
    do_periodic_work()
    alarm = Alarm.objects.filter(ended_at=None).earliest("pk")
    now = timezone.now()
    snooze_alarm(alarm, now + timedelta(hours=1), by=staff["support"], reason="known", at=now)


def export(folder: Path, by: User) -> None:
    """Export the events with their proof, and the audit log, as files."""
    seal()
    wanted = request_export(resolve_filter({}, timezone.now()), by=by, reason="the yearly audit")
    run_jobs("export")
    made = Export.objects.get(pk=wanted.pk)
    assert made.state == ExportState.DONE, made.failure
    folder.joinpath("events.zip").write_bytes(made.archive.read_bytes())
    call_command("export_audit", output=folder / "audit.jsonl", stderr=folder.joinpath("log").open("w"))


def end_the_day() -> None:
    """Verify the log and the rows as each night, begin another signing key, and seal the rest."""
    verify_audit_log_nightly()
    replace_signing_key()
    seal()
