"""Erase the data of one entity: first destroy its key in one short commit, then delete and rewrite rows in
batches.

The commit that destroys the key waits for every commit that encrypts with it (they lock its row), closes open
deliveries, deletes the links, and stores the id of the last event. Later events find no key and begin a new
subject. The rest can be interrupted anywhere and resumes: finished rows no longer match.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.module_loading import import_string

from audit.entries.append import NewEntry, append_entries
from sync.deliveries.event_state import refresh_event_states
from sync.erasure.erasure_list import list_erasure
from sync.erasure.redaction import (
    REDACTED_TEXT,
    redact_free_text,
    redact_refused_erasures,
    redact_replay_reasons,
)
from sync.erasure.requests import JOB_KIND, case_details
from sync.erasure.secure_delete import overwriting_deleted_rows
from sync.erasure.subject_data import ErasureSubject, payload_ids_of_events
from sync.housekeeping.batch_deletion import delete_payloads
from sync.housekeeping.retention_rules import PAUSE_SECONDS
from sync.jobs.claims import claim_job_of
from sync.jobs.job_execution import always_continue
from sync.jobs.running_job import JobKind, JobLost, JobStopped, RunningJob, ShouldContinue
from sync.models import (
    Attempt,
    Call,
    Delivery,
    Erasure,
    ErasureState,
    MemberState,
    PersonRequest,
    PersonRequestMember,
    Recheck,
    SearchDigest,
    SkipReason,
)
from webhooks.models import Event, Payload, State, SubjectKey, erased_entity_id, subject_key

logger = logging.getLogger("hub.erasing")

# Until the next attempt while an attempt runs.
RUNNING_RETRY_SECONDS = 10.0
# Smaller, because each event takes its receipts, deliveries, attempts, calls and payloads along.
EVENT_BATCH_SIZE = 50
PAYLOAD_BATCH_SIZE = 500
# Failed ones too: nobody can act on them once the person is erased.
_UNFINISHED = (State.PENDING, State.RETRYING, State.HELD, State.DEAD)


class AttemptStillRunning(Exception):
    """An attempt for this entity is running; it ends within its lease."""


def run_erasure(erasure: Erasure) -> bool:
    """Run or resume a confirmed erasure now.

    Returns True if it is done; False if an attempt for the entity runs, or if another process erases it: then
    the workers finish it.
    """
    job = claim_job_of(ERASURE, erasure.pk)
    if job is not None:
        try:
            _run_job(job, always_continue)
        except JobLost:
            logger.info("%s was taken over by another worker", erasure)
        except Exception:
            # Handed back, so that a worker resumes it.
            with suppress(JobLost):
                job.requeue()
            raise
    erasure.refresh_from_db()
    return erasure.state == ErasureState.DONE


def _run_job(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Run the job of an erasure. Raises JobLost, JobStopped."""
    erasure = Erasure.objects.get(pk=job.subject)
    with overwriting_deleted_rows():
        try:
            # Set by the commit that destroys the keys: a resumed erasure does not repeat that step.
            if erasure.last_event is None:
                _destroy_keys(erasure, job)
        except AttemptStillRunning:
            job.requeue(after=RUNNING_RETRY_SECONDS)
            return
        _erase_after_keys(erasure, job, should_continue)


def _erase_after_keys(erasure: Erasure, job: RunningJob, should_continue: ShouldContinue) -> None:
    """Erase everything else after the commit that destroyed the keys."""
    subject = _subject_of(erasure)
    redact_free_text(subject)
    _run_other_erasers(erasure, job, subject)
    while _erase_batch(erasure, job, subject):
        if not should_continue():
            raise JobStopped
        time.sleep(PAUSE_SECONDS)
    # Again, because exports and other data that were made meanwhile may have read rows before they were rewritten.
    _run_other_erasers(erasure, job, subject)
    _finish_erasure(erasure, job, subject)


def _erase_batch(erasure: Erasure, job: RunningJob, subject: ErasureSubject) -> bool:
    """Delete or rewrite the next batch of rows. Returns False if none was left."""
    with _locked_erasure(erasure, job):
        done = +_erase_next_rows(subject, erasure)
        if done:
            _add_counts(erasure, done)
            job.renew_lease(made_progress=True)
    return bool(done)


@contextmanager
def _locked_erasure(erasure: Erasure, job: RunningJob) -> Iterator[None]:
    """Open a transaction that holds the lock of this erasure, reloaded. Raises JobLost."""
    with transaction.atomic():
        erasure.refresh_from_db(from_queryset=Erasure.objects.select_for_update())
        # Locks the job until the commit: a worker that lost it writes nothing.
        job.renew_lease()
        yield


def _subject_of(erasure: Erasure) -> ErasureSubject:
    return ErasureSubject(erasure.entity_type, erasure.entity_id, tuple(erasure.sources), erasure.last_event)


def _destroy_keys(erasure: Erasure, job: RunningJob) -> None:
    """Destroy the keys and close open deliveries, in one commit. Raises AttemptStillRunning, having written
    nothing, if an attempt for the entity is running.
    """
    subject = _subject_of(erasure)
    with transaction.atomic():
        # Events from before there were keys have none: a key is made, so that its row records the erasure.
        for source in _sources_to_mark(subject):
            subject_key(source, subject.entity_type, subject.entity_id)
    now = timezone.now()
    with _locked_erasure(erasure, job):
        # In the order of the commits that make events of members: first the request, then the keys.
        members = _pseudonymize_members(subject, now)
        # Waits for every commit that encrypts with one of these keys: it locks the same rows.
        keys = [key.pk for key in subject.keys.select_for_update().order_by("pk")]
        # Before the rows change that show which replays concern this entity alone.
        redact_replay_reasons(subject)
        closed = _close_unfinished_deliveries(subject, erasure, now)
        # No record of this entity is read or written any more.
        Recheck.objects.filter(attempt__delivery__in=subject.deliveries).delete()
        destroyed = SubjectKey.objects.filter(pk__in=keys).update(
            wrapped=None, search_state=None, destroyed_at=now
        )
        SearchDigest.objects.filter(subject__in=keys).delete()
        # Read under the locks: a later event finds no key, and begins a new subject.
        newest = subject.events.order_by("-pk").values_list("pk", flat=True).first()
        # Before the links, which tell the identity services of the entity.
        waits = subject.awaited_records.delete()[0]
        subject.record_references.delete()
        compared, changes = _delete_compared(subject), subject.changed_entities.delete()[0]
        links = subject.links.delete()[0]
        done = {"keys": destroyed, "links": links, "closed": closed}
        others = {"waits": waits, "members": members, "differences": compared, "changes": changes}
        done |= {name: number for name, number in others.items() if number}
        erasure.last_event, erasure.counts = newest or 0, done
        erasure.save(update_fields=["last_event", "counts"])
        list_erasure(erasure, sorted(subject.pseudonyms.values()))


def _sources_to_mark(subject: ErasureSubject) -> set[int]:
    """Return the sources that get a key of the entity, whose destruction says that it was erased: those of its events,
    and all of an entity that comparisons or catch-ups found or tries of a condition name.
    """
    sources = set(subject.events.values_list("source", flat=True))
    is_found = any(
        rows.exists() for rows in (subject.differences, subject.tried_entities, subject.changed_entities)
    )
    return sources | set(subject.sources) if is_found else sources


def _delete_compared(subject: ErasureSubject) -> int:
    """Delete what comparisons and tries of a condition found of the entity and its records, also while one runs.
    Returns the differences.
    """
    subject.tried_entities.delete()
    subject.compared_records.delete()
    differences = subject.differences.delete()[0]
    # After the differences: whoever adds such a row, or a link, holds the difference locked.
    subject.match_members.delete()
    subject.match_choices.delete()
    return differences


def _pseudonymize_members(subject: ErasureSubject, now: datetime) -> int:
    """Replace the entity in requests that were to make it equal, so that none does. Returns the number of members."""
    names, members = subject.pseudonyms, subject.lock_unsent_members()
    for member in members:
        route = member.person_request.route
        assert route is not None, "selected by its route"
        if member.state == MemberState.WAITING:
            PersonRequest.objects.filter(pk=member.person_request_id).update(skipped=F("skipped") + 1)
            member.state, member.why, member.at = MemberState.SKIPPED, SkipReason.ERASED, now
        member.entity_id = erased_entity_id(names[route.source_id])
    PersonRequestMember.objects.bulk_update(members, ["entity_id", "state", "why", "at"])
    return len(members)


def _close_unfinished_deliveries(subject: ErasureSubject, erasure: Erasure, now: datetime) -> int:
    """Close the open and failed deliveries of the entity, which cannot be fetched without its id.

    Returns their number.
    """
    locked = subject.deliveries.select_related("event").select_for_update(of=("self",), nowait=True)
    locked = locked.order_by("event_id", "pk")
    try:
        rows = list(locked.only("pk", "event__uuid", "route_id", "state"))
    except OperationalError as error:
        # Not waited for: with the keys locked, two transactions could wait for each other.
        raise AttemptStillRunning from error
    if any(row.state == State.RUNNING for row in rows):
        raise AttemptStillRunning
    unfinished = [row for row in rows if row.state in _UNFINISHED]
    Delivery.objects.filter(pk__in=[row.pk for row in unfinished]).update(
        state=State.CLOSED, code=State.CLOSED.value, due_at=None, person_request=None, settled_at=now
    )
    refresh_event_states({row.event_id for row in unfinished})
    details = {"erasure": str(erasure.uuid)}
    append_entries(*(NewEntry(row.stream, "delivery.closed", details=details) for row in unfinished), at=now)
    return len(unfinished)


def _erase_next_rows(subject: ErasureSubject, erasure: Erasure) -> Counter[str]:
    """Delete or rewrite the next batch of rows. Returns the number of rows by table, empty if none was left."""
    for source, name in subject.pseudonyms.items():
        own = ErasureSubject(subject.entity_type, subject.entity_id, (source,), subject.last_event_id)
        keys = list(own.events.order_by("pk").values_list("pk", flat=True)[:EVENT_BATCH_SIZE])
        if keys:
            return _pseudonymize_events(keys, erased_entity_id(name), erasure)
    sealed = Payload.objects.filter(
        subject__pseudonym__in=subject.pseudonyms.values(), subject__destroyed_at__isnull=False
    )
    left = list(sealed.order_by("pk").values_list("pk", flat=True)[:PAYLOAD_BATCH_SIZE])
    delete_payloads(left)
    return Counter(payloads=len(left))


def _pseudonymize_events(events: list[int], name: str, erasure: Erasure) -> Counter[str]:
    """Delete the payloads of events and replace the id by the pseudonym.

    Also removes everything else that identifies the entity: the event's id at its source, hashes of contents
    (they can be guessed), and the record's id in the target. The stream of each event says which erasure did that:
    otherwise an event could be passed off as one of any entity that was erased.
    """
    deliveries = Delivery.objects.filter(event__in=events)
    attempts = Attempt.objects.filter(delivery__in=deliveries.values("pk"))
    payloads = payload_ids_of_events(events)
    delete_payloads(payloads)
    done = Counter(
        payloads=len(payloads),
        calls=Call.objects.filter(attempt__in=attempts.values("pk")).update(key=""),
        attempts=attempts.update(record_id=""),
        deliveries=deliveries.update(entity_id=name),
        events=Event.objects.filter(pk__in=events).update(
            entity_id=name, event_id=None, digest=b"", trace=None
        ),
    )
    # Last, because an append waits for others to the same streams.
    details = {"erasure": str(erasure.uuid)}
    rows = Event.objects.filter(pk__in=events).only("uuid")
    append_entries(*(NewEntry(event.stream, "event.erased", details=details) for event in rows))
    return done


def _run_other_erasers(erasure: Erasure, job: RunningJob, subject: ErasureSubject) -> None:
    """Run the erasers that the setting FURTHER_ERASERS names, and add up their counts.

    Raises JobLost if another worker finished the erasure: data that arrived since then belongs to a new
    subject.
    """
    name, counts = erased_entity_id(next(iter(subject.pseudonyms.values()), "")), Counter[str]()
    for kind, dotted in settings.FURTHER_ERASERS.items():
        job.renew_lease()
        counts[kind] = import_string(dotted)(subject.entity_id, name)
    with _locked_erasure(erasure, job):
        _add_counts(erasure, +counts)


def _add_counts(erasure: Erasure, done: Counter[str]) -> None:
    if done:
        erasure.counts = dict(Counter(erasure.counts) + done)
        erasure.save(update_fields=["counts"])


def _finish_erasure(erasure: Erasure, job: RunningJob, subject: ErasureSubject) -> None:
    """Finish the erasure: remove the id from the request too, and append the audit entry."""
    names = sorted(subject.pseudonyms.values())
    with _locked_erasure(erasure, job):
        erasure.state, erasure.ended_at = ErasureState.DONE, timezone.now()
        erasure.entity_id, erasure.reason = erased_entity_id(names[0]), REDACTED_TEXT
        erasure.save(update_fields=["state", "ended_at", "entity_id", "reason"])
        # A selection may have been filled, and an attempt for another entity ended, since the keys were destroyed.
        _pseudonymize_members(subject, erasure.ended_at)
        subject.awaited_records.delete()
        subject.record_references.delete()
        # A page of a comparison, or of a try, may have been stored since.
        _delete_compared(subject)
        redact_refused_erasures(subject, erased_entity_id(names[0]))
        details = {
            "erasure": str(erasure.uuid),
            "pseudonyms": names,
            "entity_type": subject.entity_type,
            "counts": erasure.counts,
            "ground": erasure.ground,
            "requested_by": f"person:{erasure.requested_by_id}",
            "confirmed_by": f"person:{erasure.decided_by_id}",
            **case_details(erasure),
        }
        append_entries(NewEntry(erasure.stream, "subject.erased", details=details), at=erasure.ended_at)
        job.finish()


ERASURE = JobKind(JOB_KIND, _run_job)
