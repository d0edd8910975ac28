"""Collections of records in a stand-in system, with its rules, and the HTTP API to read and write them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial

from sandbox.base.control_api import parse_whole_number
from sandbox.base.store import Record, RecordStore
from sandbox.http.messages import HttpError, Request, Response
from sandbox.http.router import Router


class RecordCollections(ABC):
    """The records of a service by collection and id.

    Methods raise HttpError with a message of the service. Writes are atomic.
    """

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    @abstractmethod
    def seed(self) -> None:
        """Create the initial records."""

    @abstractmethod
    def create_record(self, collection: str, body: Mapping[str, object]) -> Record:
        """Check and store a new record. Returns it."""

    @abstractmethod
    def update_record(
        self, collection: str, key: str, body: Mapping[str, object], *, replaces: bool
    ) -> Record:
        """Check and store a change. Returns the new version of the record.

        If ``replaces``, the body replaces the record (PUT), otherwise only the fields that it has (PATCH).
        """

    def get_record(self, collection: str, key: str) -> Record:
        """Return a record. Raises HttpError (404) if there is none with this id."""
        record = self._store.get_record(collection, key)
        if record is None:
            raise HttpError(404, f"There is no {collection.removesuffix('s')} with this id.")
        return record

    def delete_record(self, collection: str, key: str) -> Record:
        """Delete a record. Returns its last version."""
        with self._store.lock:
            record = self.get_record(collection, key)
            self._store.delete_record(collection, key)
        return record


class CollectionApi(ABC):
    """The HTTP API that lists, creates, reads, updates and deletes the records of a service."""

    def __init__(self, records: RecordCollections) -> None:
        self._records = records

    def add_routes(self, routes: Router, collection: str, path: str) -> None:
        """Add the routes of a collection below ``path``."""
        routes.add_route("GET", path, partial(self.list_records, collection))
        routes.add_route("POST", path, partial(self._create_record, collection))
        routes.add_route("GET", path + "/{}", partial(self._read_record, collection))
        routes.add_route("PUT", path + "/{}", partial(self._update_record, collection))
        routes.add_route("PATCH", path + "/{}", partial(self._update_record, collection))
        routes.add_route("DELETE", path + "/{}", partial(self._delete_record, collection))

    @abstractmethod
    def list_records(self, collection: str, request: Request) -> Response:
        """Return one page of a collection."""

    @abstractmethod
    def finish_write(
        self, collection: str, request: Request, event_type: str, record: Record
    ) -> dict[str, str]:
        """Run the follow-up of a write. Returns headers for its response.

        ``event_type`` is CREATE, UPDATE or DELETE.
        """

    def _create_record(self, collection: str, request: Request) -> Response:
        record = self._records.create_record(collection, request.parse_json_object())
        return Response.from_json(201, record, self.finish_write(collection, request, "CREATE", record))

    def _read_record(self, collection: str, request: Request, key: str) -> Response:
        return Response.from_json(200, self._records.get_record(collection, key))

    def _update_record(self, collection: str, request: Request, key: str) -> Response:
        self._records.get_record(collection, key)  # an unknown id is refused before the body is read
        replaces = request.method == "PUT"
        record = self._records.update_record(collection, key, request.parse_json_object(), replaces=replaces)
        return Response.from_json(200, record, self.finish_write(collection, request, "UPDATE", record))

    def _delete_record(self, collection: str, request: Request, key: str) -> Response:
        record = self._records.delete_record(collection, key)
        return Response(204, headers=self.finish_write(collection, request, "DELETE", record))


def parse_page_bounds(
    request: Request, start_name: str, count_name: str, default: int, largest: int
) -> tuple[int, int]:
    """Return the index of the first record and the number of records (at most ``largest``) of the requested page.

    Raises HttpError (400) if a parameter is not a whole number.
    """
    start = parse_whole_number(request.query.get(start_name, "0"), start_name)
    count = parse_whole_number(request.query.get(count_name, str(default)), count_name)
    return start, min(count, largest)
