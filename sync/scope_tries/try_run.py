"""A try of a condition that this process runs: its connector, and the commit of a page."""

import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from django.db import transaction

from connectors.contracts.types import IdentityConnector
from connectors.values.secret_scrubber import SecretScrubber
from sync.attempts.delivery_run import open_connector
from sync.background_reads.paced_recorder import PacedRecorder
from sync.comparisons.confirmation.subject_states import find_erased
from sync.jobs.running_job import JobLost, JobStopped, RunningJob, ShouldContinue
from sync.models import ConditionTry, Connection, JobState, TriedEntities, TriedEntity
from webhooks.made_events import is_entity_id

# Of each outcome that the page shows.
MAX_EXAMPLES = 20
_RENEW_SECONDS = 15.0


class TryFailed(Exception):
    """The try cannot be carried out. `code`: why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class TriedPage:
    """What becomes of the entities of a page. `read`: how many it has; `linked`: how many of them have a linked record
    and had not left the scope.
    """

    read: int
    tried: Sequence[TriedEntity]
    linked: int


@dataclass(slots=True)
class ConditionTryRun:
    """One run of the job. `row` is as it was stored last; only this run changes its progress. `over_budget`: entities
    for which the condition cost too much.
    """

    row: ConditionTry
    job: RunningJob
    should_continue: ShouldContinue
    requests: int = 0
    over_budget: int = 0
    _renewed_at: float = field(default_factory=time.monotonic)

    @property
    def restarts(self) -> int:
        """Return how often the list was read from its beginning again."""
        return self.row.restarts

    def restart_list(self) -> None:
        """Forget what was read, and count that the list is read anew. Raises JobLost."""
        self.begin(self.row.reads, restarts=self.row.restarts + 1)

    def begin(self, reads: TriedEntities | str, **values: Any) -> None:
        """Begin to read: forget what was read before. Raises JobLost."""
        empty: dict[str, Any] = {"position": None, "counts": {}, "is_complete": False}
        empty |= {"read_count": 0, "read_linked": 0}
        with transaction.atomic():
            TriedEntity.objects.filter(condition_try=self.row).delete()
            self.commit(reads=reads, **empty, **values)

    def open_identity(self) -> IdentityConnector:
        """Return the connector of the identity service, with its settings as they are now. Requests pass its
        limits.

        Raises JobStopped if this process is stopping, TryFailed if the connection was disabled.
        """
        self.require_running()
        connection = Connection.objects.get(pk=self.row.identity_id)
        if not connection.is_enabled:
            raise TryFailed("connection-disabled")
        recorder = PacedRecorder(connection, self)
        request_id = f"condition-{uuid.uuid4()}"
        return cast(IdentityConnector, open_connector(connection, request_id, recorder, SecretScrubber()))

    def require_running(self) -> None:
        """Raise JobStopped if this process is stopping."""
        if not self.should_continue():
            raise JobStopped

    def renew_lease(self) -> None:
        """Renew the lease if it was not renewed a moment ago. Raises JobLost."""
        if time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            self.job.renew_lease()
            self._renewed_at = time.monotonic()

    def store_page(self, page: TriedPage, **values: Any) -> None:
        """Add a page to the result, with the first MAX_EXAMPLES entities of each outcome. One transaction."""
        counts, examples = Counter(self.row.counts), []
        for entity in page.tried:
            counts[str(entity.outcome)] += 1
            if counts[str(entity.outcome)] <= MAX_EXAMPLES and is_entity_id(entity.entity_id):
                examples.append(entity)
        erased = find_erased(self.row, [entity.entity_id for entity in examples])
        named = [entity for entity in examples if entity.entity_id not in erased]
        with transaction.atomic():
            # A list that changes meanwhile may name an entity twice.
            TriedEntity.objects.bulk_create(named, ignore_conflicts=True)
            self.commit(
                counts=dict(counts),
                read_count=self.row.read_count + page.read,
                read_linked=self.row.read_linked + page.linked,
                **values,
            )

    def commit(self, **values: Any) -> None:
        """Store progress, in the transaction that is open. Raises JobLost, so that nothing of it is written, if the try
        was cancelled or another worker has it.
        """
        written = {"problem": "", **values}
        # The row of the try before the job, as everywhere.
        if not ConditionTry.objects.filter(pk=self.row.pk, state=JobState.RUNNING).update(**written):
            raise JobLost
        self.job.renew_lease(made_progress=True)
        self.requests, self._renewed_at = 0, time.monotonic()
        for name, value in written.items():
            setattr(self.row, name, value)
