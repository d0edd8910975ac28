"""Types that connectors return, and the interfaces of both kinds of connectors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entity:
    """A user, group or file as the identity service has it now. `modified_at`: its last change by the
    service's own word, in UTC; None if not stated.
    """

    entity_type: str
    id: str
    attributes: Mapping[str, Any]
    version: str | None
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the target. `fields` holds everything that the target returned."""

    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field that the target refused, in its own words, cleaned."""

    field: str
    code: str
    detail: str


ABSENT_ID = "hub-connection-test"
# Statuses for an id that does not exist, or whose form the system does not accept.
ABSENT_ID_STATUSES = frozenset({400, 404, 410, 422})


def sort_users_first(entities: Mapping[str, T]) -> list[tuple[str, T]]:
    """Return the configured entity types, users first, in an order that does not depend on how a database
    stores JSON.
    """
    return sorted(entities.items(), key=lambda item: (item[0] != "USER", item[0]))


@dataclass(frozen=True, slots=True)
class SampleResult:
    """Result of a read that changes nothing. `item_count`: items found, None if an absent id was requested."""

    request_label: str
    item_count: int | None = None


class TestableConnector(Protocol):
    """Connector whose connection can be tested. Raises `errors.ConnectorError`."""

    def renew_credentials(self) -> float | None:
        """Fetch new credentials and return their lifetime in seconds; None if only a real request can verify
        them.
        """

    def read_sample(self) -> SampleResult:
        """Read something that the settings allow to read, and change nothing."""


class IdentityConnector(TestableConnector, Protocol):
    """Reads from an identity service. Every method raises `errors.ConnectorError` only."""

    def fetch_entity(self, entity_type: str, entity_id: str) -> Entity | None:
        """Return the entity as it is now; None if the service says that it is deleted (404, 410)."""

    def list_entities(self, entity_type: str, *, skip: int = 0, max_pages: int = 100) -> Iterator[Entity]:
        """Iterate over the entities of a type after the first `skip`, each once; each page is requested when
        it is needed.
        """


class TargetConnector(TestableConnector, Protocol):
    """Reads from and writes to a target. Every method raises `errors.ConnectorError` only.

    `idempotency_key` of a write is equal for equal intended changes.
    """

    def get_record(self, entity_type: str, record_id: str) -> Record | None:
        """Return the record as it is now; None if it is deleted (404, 410)."""

    def search_records(self, entity_type: str, field: str, value: str) -> tuple[Record, ...]:
        """Return at most ten records whose `field` has `value`, verified here: a target may ignore a filter."""

    def create_record(self, entity_type: str, fields: Mapping[str, Any], idempotency_key: str) -> Record:
        """Create a record and return it with the id that the target gave it."""

    def update_record(
        self,
        entity_type: str,
        record_id: str,
        fields: Mapping[str, Any],
        idempotency_key: str,
        *,
        current: Mapping[str, Any] | None,
    ) -> Record:
        """Write `fields` and return the record. An update that replaces the record keeps the other fields of
        `current`.
        """

    def delete_record(self, entity_type: str, record_id: str, idempotency_key: str) -> None:
        """Delete the record. A record that was deleted before counts as success."""
