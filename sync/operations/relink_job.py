"""Link all records of a target again by their external ids, or find out what that would change.

Each link is decided as an attempt decides it (`find_record`): a link that leads to the record with the entity's id
stays, another one gets the record that has it, and where that is not certain nothing is changed. Requests to the target
are reads. A run that was interrupted continues after the last link that it has counted.
"""

import logging
import uuid
from collections import Counter
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from connectors.contracts.errors import ConnectorError
from connectors.contracts.types import TargetConnector
from sync.attempts.delivery_run import open_connector
from sync.deliveries.record_links import bind_record, stream_of_entity
from sync.deliveries.routes import is_referenced
from sync.jobs.running_job import JobKind, JobStopped, RunningJob, ShouldContinue
from sync.limits.rate_limit import RateLimited
from sync.models import (
    OPEN_RELINKING_STATES,
    Connection,
    JobState,
    Link,
    RelinkExample,
    Relinking,
    RelinkingState,
    RelinkOutcome,
)
from sync.operations.relink_decision import (
    ReadRecorder,
    RelinkDecision,
    TargetUnavailable,
    decide_link,
    subject_of,
)
from sync.operations.relink_requests import KIND, delete_old_relinkings
from sync.references.missing_references import schedule_referring

logger = logging.getLogger("hub.jobs")

CHUNK_SIZE = 20
# Of each outcome that a page shows link by link.
MAX_EXAMPLES = 50
_RETRY_SECONDS = 30.0
_SHOWN_OUTCOMES = (RelinkOutcome.RELINKED, RelinkOutcome.HELD, RelinkOutcome.ABSENT)


@dataclass
class _Run:
    """A run and what it has counted since its row was written."""

    relinking: Relinking
    job: RunningJob
    counts: Counter[str]
    last_link: int
    examples: list[RelinkExample] = field(default_factory=list)

    @property
    def is_preview(self) -> bool:
        return self.relinking.state == RelinkingState.PREVIEWING

    def next_links(self) -> list[Link]:
        links = Link.objects.filter(target=self.relinking.connection_id, pk__gt=self.last_link)
        return list(links.exclude(record_id="").order_by("pk")[:CHUNK_SIZE])

    def add(self, link: Link, decision: RelinkDecision) -> None:
        """Count a link, and change it unless this is a preview."""
        if decision.outcome != RelinkOutcome.RELINKED or self.is_preview:
            self._count(link, decision)
            return
        with transaction.atomic():
            # The row of the run before the job, as everywhere.
            Relinking.objects.select_for_update().values_list("pk").get(pk=self.relinking.pk)
            self._count(link, decision if _relink(link, decision) else RelinkDecision(RelinkOutcome.STAYS))
            self._write()
        subject = subject_of(link)
        if is_referenced(subject.target_id, subject.entity_type):
            schedule_referring(subject)

    def save(self, **values: object) -> None:
        """Store what was counted, and renew the job. Raises JobLost, having written nothing, if it was cancelled."""
        with transaction.atomic():
            self._write(**values)

    def _count(self, link: Link, decision: RelinkDecision) -> None:
        self.counts[decision.outcome] += 1
        self.last_link = link.pk
        if decision.outcome in _SHOWN_OUTCOMES and self.counts[decision.outcome] <= MAX_EXAMPLES:
            self.examples.append(
                RelinkExample(
                    relinking=self.relinking,
                    link=link,
                    outcome=decision.outcome,
                    record_before=link.record_id,
                    record_after=decision.record_id,
                )
            )

    def _write(self, **values: object) -> None:
        written = {"counts": dict(self.counts), "last_link": self.last_link, "problem": "", **values}
        Relinking.objects.filter(pk=self.relinking.pk, state__in=OPEN_RELINKING_STATES).update(**written)
        # A link may have been erased meanwhile.
        stored = Link.objects.in_bulk([example.link_id for example in self.examples])
        RelinkExample.objects.bulk_create(one for one in self.examples if one.link_id in stored)
        self.examples = []
        self.job.renew_lease(made_progress=True)


def _relink(link: Link, decision: RelinkDecision) -> bool:
    """Link another record. Returns False if the link has changed since it was read. Call it inside a transaction."""
    Connection.objects.select_for_update(no_key=True).values_list("pk").get(pk=link.target_id)
    if not Link.objects.filter(pk=link.pk, record_id=link.record_id).exists():
        return False
    if not bind_record(subject_of(link), decision.record_id, decision.field):
        return False
    # Without the ids of the records, which may identify a person.
    stream = stream_of_entity(link.entity_type, link.entity_id, link.target)
    append_entries(NewEntry(stream, "link.replaced", details={"connection": link.target.slug}))
    return True


def _run_job(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Decide link by link. If the target cannot be read, what was counted is stored, and the job continues later."""
    relinking = Relinking.objects.select_related("connection").get(pk=job.subject)
    run = _Run(relinking, job, Counter(relinking.counts), relinking.last_link)
    try:
        while links := run.next_links():
            _decide_links(run, links, should_continue)
            run.save()
    except (ConnectorError, RateLimited, TargetUnavailable) as error:
        code = getattr(error, "code", "target-throttled")
        logger.info("relinking %s waits: %s", relinking.pk, code)
        run.save(problem=code)
        job.postpone(_RETRY_SECONDS)
        return
    _end(run)


def _decide_links(run: _Run, links: list[Link], should_continue: ShouldContinue) -> None:
    # Read anew: the connection may have been changed or disabled since.
    connection = Connection.objects.get(pk=run.relinking.connection_id)
    if not connection.is_enabled:
        raise TargetUnavailable("connection-disabled")
    recorder = ReadRecorder(connection, run.job)
    target: TargetConnector = open_connector(connection, f"relink-{uuid.uuid4()}", recorder)  # type: ignore[assignment]
    readable_types: set[str] = set()
    for link in links:
        if not should_continue():
            run.save()
            raise JobStopped
        run.add(link, decide_link(link, target, readable_types))


def _end(run: _Run) -> None:
    """End the job. A preview waits for a person then."""
    ended = (
        {"state": RelinkingState.READY}
        if run.is_preview
        else {"state": RelinkingState.DONE, "ended_at": timezone.now()}
    )
    with transaction.atomic():
        run.save(**ended)
        if not run.is_preview:
            stream = f"setting:connection:{run.relinking.connection_id}"
            append_entries(NewEntry(stream, "connection.relinked", details=dict(run.counts)))
        run.job.finish()


def _record_job_state(key: int, state: JobState, _failure: str) -> None:
    """End the run if its job failed."""
    if state == JobState.FAILED:
        rows = Relinking.objects.filter(pk=key, state__in=OPEN_RELINKING_STATES)
        rows.update(state=RelinkingState.FAILED, ended_at=timezone.now())


RELINK = JobKind(KIND, _run_job, _record_job_state, clean_up=delete_old_relinkings)
