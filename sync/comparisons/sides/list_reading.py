"""Read a list that fails: what is tried again, when it starts anew, and what ends a side with a gap."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from django.db import transaction
from django.db.models import QuerySet

from connectors.contracts.errors import ConnectorError, CredentialsRefused, PositionRefused
from connectors.contracts.types import Entity, EntityPage, IdentityConnector
from sync.background_reads.paced_recorder import ReadsWait
from sync.comparisons.sides.comparison_run import ComparisonRun
from sync.jobs.running_job import RunningJob
from sync.models import Comparison, Job, Link

Item = TypeVar("Item")
Found = TypeVar("Found")

logger = logging.getLogger("hub.jobs")

# A list whose place was refused is read from its beginning so often, on both sides together.
MAX_RESTARTS = 2
# A page that fails so often in a row ends the list.
PAGE_TRIES = 3
_PAGE_RETRY_SECONDS = 5.0
_MAX_WAIT_SECONDS = 600.0
DELETE_BATCH = 1_000


class ListEnded(Exception):
    """The list cannot be read further. `code`: why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ListRun(Protocol):
    """A run of a job that reads a list. `restarts`: how often the list was read from its beginning again."""

    job: RunningJob

    @property
    def restarts(self) -> int: ...

    def restart_list(self) -> None:
        """Forget what was read of the list, and count that it is read anew. Raises JobLost."""


def handle_list_error(run: ListRun, error: ConnectorError) -> None:
    """Decide what becomes of a list of which a page failed.

    1. A refused position starts the list anew, at most MAX_RESTARTS times.
    2. What may pass is tried again, PAGE_TRIES times in a row: raises ReadsWait.
    3. Anything else ends the list: raises ListEnded.
    """
    if isinstance(error, PositionRefused) and run.restarts < MAX_RESTARTS:
        run.restart_list()
        return
    if error.retryable and not isinstance(error, CredentialsRefused) and _errors_of(run.job) + 1 < PAGE_TRIES:
        raise ReadsWait(error.code, error.retry_after or _PAGE_RETRY_SECONDS)
    raise ListEnded(error.code)


def _errors_of(job: RunningJob) -> int:
    return Job.objects.filter(pk=job.job_id).values_list("errors", flat=True).first() or 0


def postpone_reading(job: RunningJob, waits: ReadsWait, max_failures: int) -> bool:
    """Let a job that waits for a system run again later. Returns False, having written nothing, if a system could not
    be read `max_failures` times in a row. Raises JobLost.
    """
    if not waits.is_failure:
        job.requeue(after=max(1.0, waits.seconds))
        return True
    errors = _errors_of(job)
    if errors + 1 >= max_failures:
        return False
    logger.info("%s %s waits: %s", job.kind.name, job.subject, waits.code)
    job.postpone(min(max(1.0, waits.seconds) * 2**errors, _MAX_WAIT_SECONDS))
    return True


def is_clearing(comparison: Comparison) -> bool:
    """True if what was read of the side has to be deleted before it is read anew."""
    return bool((comparison.position or {}).get("clear"))


def clear_side(run: ComparisonRun, *row_sets: QuerySet[Any], **values: Any) -> None:
    """Delete what was read of a side, in batches, and let it begin anew with these values of the comparison."""
    for rows in row_sets:
        # In the order of an index of one comparison.
        while keys := list(rows.order_by("record_id").values_list("pk", flat=True)[:DELETE_BATCH]):
            with transaction.atomic():
                rows.filter(pk__in=keys).delete()
                run.commit()
            run.require_running()
    position = {"optional": (run.comparison.position or {}).get("optional", [])}
    with transaction.atomic():
        run.commit(position=position, **values)


def read_items(items: Iterable[Item], read: Callable[[Item], Found]) -> list[Found | ConnectorError]:
    """Read each item by itself. One that alone fails is returned as its error, in its place.

    Raises the first error if nothing could be read, unless each would fail again.
    """
    found: list[Found | ConnectorError] = []
    for item in items:
        try:
            found.append(read(item))
        except ConnectorError as error:
            found.append(error)
    errors = [one for one in found if isinstance(one, ConnectorError)]
    if len(errors) == len(found):
        for failure in errors:
            if failure.retryable:
                raise failure
    return found


def read_listed_entities(
    identity: IdentityConnector, entity_type: str, page: EntityPage, *, is_whole: bool
) -> list[tuple[str, Entity | ConnectorError | None]]:
    """Return the entities of a page, each with its id: fetched one by one unless `is_whole`. An error if one could not
    be read, None if it was deleted since.
    """
    ids = [entity.id for entity in page.entities]
    if is_whole:
        return list(zip(ids, page.entities, strict=True))
    return list(zip(ids, read_items(ids, lambda one: identity.fetch_entity(entity_type, one)), strict=True))


def has_links(comparison: Comparison) -> bool:
    """True if a record is linked by the identity connection and the type of a comparison."""
    links = Link.objects.filter(
        identity=comparison.identity_id, entity_type=comparison.entity_type, target=comparison.target_id
    )
    return links.exclude(record_id="").exists()
