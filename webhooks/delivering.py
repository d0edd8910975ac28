"""What receiving needs of delivering, stated here so that nothing here imports it (`integration_hub.urls` hands the
real one in).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from webhooks.models import Event


class FieldProblem(Protocol):
    """One field that was refused."""

    @property
    def field(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def detail(self) -> str: ...


class Result(Protocol):
    """What became of an event in one commercial system. `action` is created, updated, deleted, none or empty."""

    @property
    def connection(self) -> str: ...
    @property
    def connection_name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def record_id(self) -> str: ...
    @property
    def is_retrying(self) -> bool: ...
    @property
    def sentence(self) -> str | None: ...
    @property
    def errors(self) -> Sequence[FieldProblem]: ...


class EventOutcome(Protocol):
    """What became of an event; `code` is that of its worst delivery."""

    @property
    def state(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def results(self) -> Sequence[Result]: ...
    @property
    def entity(self) -> Mapping[str, Any] | None: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def has_failed(self) -> bool: ...
    @property
    def is_retrying(self) -> bool: ...
    @property
    def is_final(self) -> bool: ...


class Delivering(Protocol):
    """The other half of the hub, as this half sees it. `seconds` bound every wait."""

    def open(self, event: Event) -> None:
        """Open the event's deliveries, in the transaction that stores it; may set its state to `ignored`."""

    def deliver(self, event: Event, seconds: float, *, with_entity: bool = False) -> EventOutcome:
        """Begin what is open, wait for it, and say what became of the event."""

    def deliver_again(self, event: Event, seconds: float, *, with_entity: bool = False) -> EventOutcome:
        """The same for an event that came again: what waits for a later try is tried now."""

    def outcome(self, event: Event) -> EventOutcome:
        """What became of the event so far."""
