"""Types that connectors return, and the interfaces of both kinds of connectors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

from connectors.contracts.permissions import (
    Permission,
    PermissionFinding,
    PermissionToCheck,
    RenewedCredentials,
)

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


RecordVersion = str | int


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the target. `fields` holds everything that the target returned. `version`: as the settings read it,
    None if they do not, or if the response has none.
    """

    id: str
    fields: Mapping[str, Any]
    version: RecordVersion | None = None


class ListFacts(NamedTuple):
    """What the settings say of a list: whether it returns everything, and whether its items are whole; whether the hub
    counts where the next page is, so that a change meanwhile may move an item to a page that was read; and how many
    items a page has.
    """

    is_complete: bool
    has_whole_items: bool
    is_counted: bool
    page_size: int


class EntityPage(NamedTuple):
    """One page of entities, each once. An entity may be on two pages if the list changed meanwhile.

    `total`: the number of items on all pages together; None if the system does not say it. A list that ends although
    fewer were received is not complete. `next`: the position of the next page, a JSON object that can be stored and
    used by another process; None after the last page.
    """

    entities: tuple[Entity, ...]
    total: int | None
    next: dict[str, Any] | None


class RecordPage(NamedTuple):
    """One page of records, each once; otherwise as an `EntityPage`."""

    records: tuple[Record, ...]
    total: int | None
    next: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class WriteContext:
    """Optional parameters of a write, in addition to the fields that it changes.

    `key` is the id of the entity in the identity service. `fields` has all mapped fields. `current` has the fields of
    the record as they were compared; None if there is no record. `entity` has the attributes of the entity; None if it
    is deleted.
    """

    key: str = ""
    fields: Mapping[str, Any] | None = None
    current: Mapping[str, Any] | None = None
    entity: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field that the target refused, in its own words, cleaned."""

    field: str
    code: str
    detail: str


NO_CONTEXT = WriteContext()

# The second one is for systems whose ids are numbers, and that fail on others.
ABSENT_IDS = ("hub-connection-test", "999999999")
ABSENT_ID = ABSENT_IDS[0]
# Statuses for an id that does not exist, or whose form the system does not accept.
ABSENT_ID_STATUSES = frozenset({400, 404, 410, 422})


def sort_users_first(entities: Mapping[str, T]) -> list[tuple[str, T]]:
    """Return the configured entity types, users first, in an order that does not depend on how a database
    stores JSON.
    """
    return sorted(entities.items(), key=lambda item: (item[0] != "USER", item[0]))


@dataclass(frozen=True, slots=True)
class SampleResult:
    """Result of a read that changes nothing.

    `item_count` is the number of items found; None if none were requested. `is_proof` is false if only an absent id was
    requested: refused credentials may get the same response.
    """

    request_label: str
    item_count: int | None = None
    is_proof: bool = True


class Access(StrEnum):
    """Access of the credentials to items of one type, as far as requests for other items show."""

    GRANTED = "granted"
    REFUSED = "refused"
    # The list has an item that its own path does not.
    CONTRADICTORY = "contradictory"
    # There is nothing to read.
    UNKNOWN = "unknown"


# Items that are read at most to prove access, of those known and of those listed: each may have been deleted since.
MAX_PROOF_READS = 3
SAMPLE_SIZE = 5


class TestableConnector(Protocol):
    """Connector whose connection can be tested. Raises `errors.ConnectorError`."""

    def renew_credentials(self) -> RenewedCredentials | None:
        """Fetch new credentials and describe them; None if only a real request can verify them."""

    def read_sample(self) -> SampleResult:
        """Read something that the settings allow to read, and change nothing."""

    def has_item(self, entity_type: str, item_id: str) -> bool:
        """Return True if the system gives this entity or record to these credentials."""

    def list_unprovable_types(self) -> tuple[str, ...]:
        """Return the entity types that have neither a list nor a probe, so that nothing but another known item proves
        that an item does not exist. Makes no request.
        """

    def list_permissions(self) -> tuple[PermissionToCheck, ...]:
        """Return the permissions that the settings use, users first. Makes no request."""

    def check_permission(self, entity_type: str, permission: Permission) -> PermissionFinding:
        """Find out by at most four requests, none of which changes anything, if the credentials have a permission.

        A refusal is a finding, and so is any other `errors.ConnectorError`.
        """

    def probe_system(self) -> None:
        """Send the cheapest read that concerns no single item: it shows whether the system answers at all."""


class IdentityConnector(TestableConnector, Protocol):
    """Reads from an identity service. Every method raises `errors.ConnectorError` only."""

    def fetch_entity(self, entity_type: str, entity_id: str) -> Entity | None:
        """Return the entity as it is now; None if the service says that it does not exist (404, 410).

        That alone proves nothing: see `check_access`.
        """

    def check_access(self, entity_type: str, entity_id: str, known_ids: Sequence[str]) -> Access:
        """Return whether the service gives other entities of this type than `entity_id` to these credentials.

        Reads some of `known_ids`, then some of the list, by the path of items; if there are neither, the
        configured probe.
        """

    def list_facts(self, entity_type: str) -> ListFacts | None:
        """Return what the settings say of the list of a type; None if there is no list. Makes no request."""

    def read_entity_page(
        self,
        entity_type: str,
        position: dict[str, Any] | None,
        *,
        modified_since: datetime | None = None,
    ) -> EntityPage:
        """Return the page of a list at a position, which is `next` of the page before it; the first page if it is
        None. `modified_since`: only entities that were changed since this time, which is the same for each page.

        Raises PositionRefused if the list can only be read from its first page; NotConfigured if there is no list, or
        no parameter for the time; UnreadableResponse if the list repeats itself.
        """


class TargetConnector(TestableConnector, Protocol):
    """Reads from and writes to a target. Every method raises `errors.ConnectorError` only.

    `idempotency_key` of a write is equal for equal intended changes of one version. Where the settings say how,
    updates and deletions are conditional: they name the `version` that the change was planned for, and raise
    RecordStale, having written nothing, if the target has another one. Without a version they raise UnreadableResponse.
    """

    def get_record(self, entity_type: str, record_id: str) -> Record | None:
        """Return the record as it is now; None if the target says that it does not exist (404, 410).

        That alone proves nothing: see `check_access`.
        """

    def check_access(self, entity_type: str, record_id: str, known_ids: Sequence[str]) -> Access:
        """Return whether the target gives other records of this type than `record_id` to these credentials, as
        `IdentityConnector.check_access` does for entities.
        """

    def list_facts(self, entity_type: str) -> ListFacts | None:
        """Return what the settings say of the list of a type; None if there is no list. Makes no request."""

    def read_record_page(self, entity_type: str, position: dict[str, Any] | None) -> RecordPage:
        """Return the page of a list at a position, as `IdentityConnector.read_entity_page` does for entities."""

    def search_records(self, entity_type: str, field: str, value: str) -> tuple[Record, ...]:
        """Return at most ten records whose `field` has `value`, verified here: a target may ignore a filter."""

    def has_value(self, entity_type: str, record: Record, field: str, value: str) -> bool:
        """Return whether a record has a value, compared as `search_records` compares it. Makes no request."""

    def unread_fields(self, entity_type: str, names: Collection[str]) -> frozenset[str]:
        """Return those of the fields that the target does not return, as far as its settings say. Makes no request."""

    def load_version(self, entity_type: str, record: Record) -> Record:
        """Return the record as it is now, with its version, if a write must name it and the record lacks it; otherwise
        the record itself. Raises UnreadableResponse if the target does not return it.
        """

    def create_record(
        self,
        entity_type: str,
        fields: Mapping[str, Any],
        idempotency_key: str,
        context: WriteContext = NO_CONTEXT,
    ) -> Record:
        """Create a record and return it with the id that the target gave it. Raises RecordExists if the target says
        that it has such a record.
        """

    def update_record(
        self,
        entity_type: str,
        record_id: str,
        fields: Mapping[str, Any],
        idempotency_key: str,
        version: RecordVersion | None = None,
        context: WriteContext = NO_CONTEXT,
    ) -> Record:
        """Write `fields` and return the record, whose id may be a new one where the settings allow it. An update that
        replaces the record keeps its other fields.
        """

    def delete_record(
        self,
        entity_type: str,
        record_id: str,
        idempotency_key: str,
        version: RecordVersion | None = None,
        context: WriteContext = NO_CONTEXT,
    ) -> None:
        """Delete the record. A record that was deleted before counts as success."""
