"""Protocols between receiving and delivering: through them receiving works without an import of `sync`.

`integration_hub.urls` passes the implementation of `DeliveryPort` in (`sync.delivery_service`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from audit.entries.append import NewEntry
from audit.entries.stream_heads import StreamHead
from audit.format.canonical_json import JSONValue
from config_schema.codes.outcome import EventOutcome
from database.write_batch import WriteBatch
from webhooks.models import Event


class PendingAnswer(Protocol):
    """An answer that must be stored before it is sent. Whoever stores it adds it to a write batch and appends
    `audit_entry`, both in one transaction, or calls `store`.
    """

    @property
    def audit_entry(self) -> NewEntry: ...
    def add_to(self, batch: WriteBatch) -> None:
        """Add the rows that store the answer, without the audit entry."""

    def store(self) -> None:
        """Store the answer and append the audit entry in a transaction of its own."""

    def is_stored(self) -> bool:
        """Return True if a commit that got no answer has stored this answer. Reads the database."""


_Answer = TypeVar("_Answer", bound=PendingAnswer)


@dataclass(frozen=True, slots=True)
class OpenedRows:
    """The deliveries that a batch stores with their event, as the event's entry names them, and their own entries."""

    entries: Sequence[NewEntry] = ()
    deliveries: Sequence[JSONValue] = ()


@dataclass(frozen=True, slots=True)
class RouteModes:
    """Where the routes of an event get its entity: `uses_webhook` if one uses the data that the webhook carries,
    `fetches` if one fetches it.
    """

    uses_webhook: bool
    fetches: bool


class DeliverySession(Protocol):
    """The delivery of one new webhook: created in the commit that stores the event, then run and waited for."""

    def route_modes(self, event: Event) -> RouteModes:
        """Return where the event's routes get its entity. Reserves nothing."""

    def plan_deliveries(self, event: Event, *, only_fetched: bool = False) -> EventOutcome | None:
        """Resolve the event's routes before it is stored. Returns its outcome so far if the answer will not wait for
        the deliveries, otherwise None. Sets the event's state to `ignored` if no route takes it. `only_fetched`: leave
        out the routes that use the webhook's own data.
        """

    def open_deliveries(self, event: Event, batch: WriteBatch) -> OpenedRows:
        """Add the event's deliveries to the batch that stores it. Their audit entries are the first ones of their
        streams. Can be called again after a batch that failed.
        """

    def record_commit(self, heads: Mapping[str, StreamHead]) -> None:
        """Take note that the batch is committed, and of the new heads of its audit streams."""

    def start_without_waiting(self) -> None:
        """Start the deliveries after the commit without waiting for them."""

    def wait_for_answer(
        self, event: Event, build_answer: Callable[[EventOutcome], _Answer], *, with_entity: bool = False
    ) -> _Answer:
        """Start the deliveries after the commit, wait for the outcome, and return the answer that `build_answer` makes
        of it. The answer is stored by then: in the commit that settled the event, if this process settled it.
        """

    def close(self) -> None:
        """Release what the session still holds. Called at the end, also after an error."""


class DeliveryPort(Protocol):
    """The delivering half of the hub, as receiving uses it. `seconds` limits every wait."""

    def begin_session(self, seconds: float, *, may_claim: bool) -> DeliverySession:
        """Begin the delivery of a new webhook whose sender waits `seconds` for the outcome. Call it outside a
        transaction. With `may_claim` the commit that stores the event can also claim its deliveries, and then raises
        IntegrityError if another delivery of the subject is stored at the same moment.
        """

    def routed_types(self, source_id: int) -> frozenset[str]:
        """Return the entity types of the enabled routes of a source."""

    def retry_and_wait(self, event: Event, seconds: float, *, with_entity: bool = False) -> EventOutcome:
        """Retry the open deliveries of an event whose webhook was sent again, wait for them, and return the outcome."""

    def retry_failures(self, events: Sequence[Event]) -> None:
        """Retry the open and failed deliveries of events that were sent again, and wait for none of them."""

    def await_outcomes(self, events: Sequence[Event], seconds: float) -> dict[int, EventOutcome]:
        """Start the pending deliveries of these stored events, wait for all of them at most `seconds`, and return the
        outcome of each by its key. Call it outside a transaction.
        """

    def load_outcomes(self, events: Sequence[Event]) -> dict[int, EventOutcome]:
        """Return the outcomes of the events so far, by their keys."""
