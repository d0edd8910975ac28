"""A catch-up that this process runs: its routes, its connector, and the commit of a step."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, cast

from connectors.contracts.types import IdentityConnector
from connectors.exchange import RecordedExchange
from connectors.values.secret_scrubber import SecretScrubber
from sync.attempts.delivery_run import open_connector
from sync.background_reads.paced_recorder import PacedRecorder
from sync.catch_up.list_place import ServedPage
from sync.deliveries.routes import ResolvedRoute, resolved_routes
from sync.jobs.running_job import JobLost, JobStopped, RunningJob, ShouldContinue
from sync.models import CatchUp, Connection

_RENEW_SECONDS = 15.0


def caught_up_routes(identity_id: int, entity_type: str | None = None) -> list[ResolvedRoute]:
    """Return the routes that get the changes of an identity connection: enabled ones that fetch, of enabled sources."""
    return [
        resolved
        for resolved in resolved_routes().values()
        if resolved.route.identity_id == identity_id
        and entity_type in (None, resolved.route.entity_type)
        and resolved.route.is_enabled
        and resolved.route.source.is_enabled
        and not resolved.route.relays
    ]


@dataclass(slots=True)
class CatchUpRun:
    """One run of the job. `row` is as it was stored last; only this run changes it."""

    row: CatchUp
    job: RunningJob
    should_continue: ShouldContinue
    requests: int = 0
    served: ServedPage | None = None
    routes: Sequence[ResolvedRoute] = ()
    _renewed_at: float = field(default_factory=time.monotonic)

    def require_running(self) -> None:
        """Read the routes anew for the next step; none if the last one was disabled. Raises JobStopped if this process
        is stopping.
        """
        if not self.should_continue():
            raise JobStopped
        self.routes = caught_up_routes(self.row.identity_id, self.row.entity_type)

    @property
    def connection(self) -> Connection:
        """Return the identity connection as it was at the last step."""
        return self.routes[0].route.identity

    @property
    def identity_type(self) -> str:
        """Return the name of the entity type in the identity connection: all routes have the same."""
        return self.routes[0].identity_type

    def open_identity(self) -> IdentityConnector:
        """Return a connector of the identity service, whose requests pass its limits."""
        recorder = _ServedPageRecorder(self.connection, self)
        opened = open_connector(self.connection, f"catch-up-{uuid.uuid4()}", recorder, SecretScrubber())
        return cast(IdentityConnector, opened)

    def renew_lease(self) -> None:
        """Renew the lease if it was not renewed a moment ago. Raises JobLost."""
        if time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            self.job.renew_lease()
            self._renewed_at = time.monotonic()

    def commit(self, **values: Any) -> None:
        """Store progress, in the transaction that is open. Raises JobLost, so that nothing of it is written, if the
        catch-up was switched off or another worker has it.
        """
        # The row of the catch-up before the job, as everywhere.
        if not CatchUp.objects.filter(pk=self.row.pk).update(**values):
            raise JobLost
        self.job.renew_lease(made_progress=True)
        self._renewed_at = time.monotonic()
        for name, value in values.items():
            setattr(self.row, name, value)


class _ServedPageRecorder(PacedRecorder):
    """Notes in the run when the last page of a list was served."""

    run: CatchUpRun

    def record_exchange(self, exchange: RecordedExchange) -> None:
        if exchange.request.purpose == "list" and exchange.status is not None:
            received_at = exchange.started_at + timedelta(seconds=exchange.seconds)
            self.run.served = ServedPage(exchange.started_at, received_at, _read_date(exchange))


def _read_date(exchange: RecordedExchange) -> Any:
    """Return the header `Date` of a response, by the service's clock; None if there is none that can be read."""
    text = next((value for name, value in exchange.headers.items() if name.lower() == "date"), "")
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    # A date without a zone is no HTTP date.
    return date if date.tzinfo is not None else None
