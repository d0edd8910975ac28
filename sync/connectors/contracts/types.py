"""What connectors hand over, and the two shapes of a connector."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entity:
    """A user, group or file as the identity service has it now. `modified_at`: when it was changed last by the
    service's own word, in UTC; None where it does not say."""

    entity_type: str
    id: str
    attributes: Mapping[str, Any]
    version: str | None
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the commercial system; `fields` is all that the system told of it."""

    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that the commercial system refused, in its own words, cleaned."""

    field: str
    code: str
    detail: str


ABSENT_ID = "hub-connection-test"
# What systems say of an id that is not there, or not of their own form.
ABSENT_ID_STATUSES = frozenset({400, 404, 410, 422})


def sort_users_first(entities: Mapping[str, T]) -> list[tuple[str, T]]:
    """The configured entity types in an order that does not hang on how a database keeps JSON."""
    return sorted(entities.items(), key=lambda each: (each[0] != "USER", each[0]))


@dataclass(frozen=True, slots=True)
class SampleResult:
    """Result of a read that changes nothing. `item_count`: items found, None if an absent id was requested."""

    request_label: str
    item_count: int | None = None


class TestableConnector(Protocol):
    """What both kinds of connectors can do to show that their connection is good. Raises `errors.ConnectorError`."""

    def renew_credentials(self) -> float | None:
        """Get the credentials that are sent anew; for how many seconds they are good, None where only use tells."""

    def read_sample(self) -> SampleResult:
        """A read that changes nothing, of what the settings say can be read."""


class IdentityConnector(TestableConnector, Protocol):
    """Reads from an identity service. Every method raises `errors.ConnectorError` only."""

    def fetch_entity(self, entity_type: str, entity_id: str) -> Entity | None:
        """The entity as it is now; None where the service says that it is gone (404, 410)."""

    def list_entities(self, entity_type: str, *, skip: int = 0, max_pages: int = 100) -> Iterator[Entity]:
        """The entities of a type after the first `skip`, each once; one request a page, as it is wanted."""


class TargetConnector(TestableConnector, Protocol):
    """Reads from and writes to a commercial system. Every method raises `errors.ConnectorError` only.

    `idempotency_key` is the idempotency key of a write: the same for the same intended change.
    """

    def get_record(self, entity_type: str, record_id: str) -> Record | None:
        """The record as it is now; None where it is gone (404, 410)."""

    def search_records(self, entity_type: str, field: str, value: str) -> tuple[Record, ...]:
        """At most ten records whose `field` really has `compute_value`, checked here whatever the system did."""

    def create_record(self, entity_type: str, fields: Mapping[str, Any], idempotency_key: str) -> Record:
        """A new record, with the id that the system gave it."""

    def update_record(
        self,
        entity_type: str,
        record_id: str,
        fields: Mapping[str, Any],
        idempotency_key: str,
        *,
        current: Mapping[str, Any] | None,
    ) -> Record:
        """The record after `fields` were written. `current` is what a replacing update keeps."""

    def delete_record(self, entity_type: str, record_id: str, idempotency_key: str) -> None:
        """The record is gone afterwards; one that was gone before counts as done."""
