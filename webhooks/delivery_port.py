"""The port between receiving and delivering: what each needs of the other, so that receiving imports nothing of `sync`.

`integration_hub.urls` hands the implementation of `Delivering` in (`sync.delivery_service`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from audit.entries.append import NewEntry
from audit.entries.stream_heads import StreamHead
from database.write_batch import WriteBatch
from webhooks.catalogue.outcome import EventOutcome
from webhooks.models import Event


class PendingAnswer(Protocol):
    """An answer that must be stored before it is sent. Whoever stores it adds it to a write batch and appends
    `happening`, both in one transaction, or calls `keep`.
    """

    @property
    def happening(self) -> NewEntry: ...
    def add_to(self, batch: WriteBatch) -> None:
        """Add the rows that store the answer, without the audit entry."""

    def keep(self) -> None:
        """Store the answer and append the audit entry in a transaction of its own."""


_Answer = TypeVar("_Answer", bound=PendingAnswer)


class Begun(Protocol):
    """A new webhook on its way through the other half: opened in the commit that stores it, then waited for."""

    def plan(self, event: Event) -> EventOutcome | None:
        """Before the event is stored: its outcome where nobody will wait for it. May set its state to `ignored`."""

    def open(self, event: Event, batch: WriteBatch) -> Sequence[NewEntry]:
        """Add the event's deliveries to the batch that stores it; returns their audit entries, the first of their
        streams. May be asked again, after a batch that failed.
        """

    def committed(self, heads: Mapping[str, StreamHead]) -> None:
        """The batch is committed, and streams of the audit log end here."""

    def start(self) -> None:
        """After that commit, where nobody waits: let the work begin."""

    def wait(
        self, event: Event, say: Callable[[EventOutcome], _Answer], *, with_entity: bool = False
    ) -> _Answer:
        """After that commit, where somebody waits: begin the work, wait for it, and let `say` put its end into words.

        What it returns has been kept: in the commit that settled the event, where that is this process's.
        """

    def close(self) -> None:
        """Nothing more will be asked of it, whatever happened in between."""


class Delivering(Protocol):
    """The other half of the hub, as this half sees it. `seconds` bound every wait."""

    def begin(self, seconds: float, *, at_once: bool) -> Begun:
        """A new webhook whose sender waits so long for the outcome; called outside a transaction.

        `at_once`: its work may be begun by the commit that stores it, which can then meet an IntegrityError.
        """

    def deliver_again(self, event: Event, seconds: float, *, with_entity: bool = False) -> EventOutcome:
        """For an event that came again: what is open or waits for a later try is tried now, and waited for."""

    def outcome(self, event: Event) -> EventOutcome:
        """What became of the event so far."""
