"""The collections of a stand-in system, with its rules, and the routes that read and write them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial

from sandbox.base.control_api import whole_number
from sandbox.base.store import Record, Store
from sandbox.http.messages import Answer, Problem, Request
from sandbox.http.router import Router


class Collections(ABC):
    """Records by collection and id. Every method raises Problem in the service's words; a write is one step, so that
    two of them never mix.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @abstractmethod
    def seed(self) -> None:
        """Create the records of the first day."""

    @abstractmethod
    def create(self, collection: str, body: Mapping[str, object]) -> Record:
        """Check and store a new record."""

    @abstractmethod
    def change(self, collection: str, key: str, body: Mapping[str, object], *, whole: bool) -> Record:
        """Check and store a change. With ``whole`` the body replaces the record (PUT), otherwise only the members
        that it has (PATCH).
        """

    def get(self, collection: str, key: str) -> Record:
        record = self._store.get(collection, key)
        if record is None:
            raise Problem(404, f"There is no {collection.removesuffix('s')} with this id.")
        return record

    def delete(self, collection: str, key: str) -> Record:
        """Delete a record. Returns what it was."""
        with self._store.lock:
            record = self.get(collection, key)
            self._store.delete(collection, key)
        return record


class CollectionApi(ABC):
    """Lists, creates, reads, changes and deletes the records of a service over HTTP."""

    def __init__(self, records: Collections) -> None:
        self._records = records

    def add_routes(self, routes: Router, collection: str, path: str) -> None:
        """Answer for a collection below ``path``."""
        routes.add("GET", path, partial(self.read_page, collection))
        routes.add("POST", path, partial(self._create, collection))
        routes.add("GET", path + "/{}", partial(self._read, collection))
        routes.add("PUT", path + "/{}", partial(self._change, collection))
        routes.add("PATCH", path + "/{}", partial(self._change, collection))
        routes.add("DELETE", path + "/{}", partial(self._delete, collection))

    @abstractmethod
    def read_page(self, collection: str, request: Request) -> Answer:
        """Answer with one page of a collection."""

    @abstractmethod
    def written(self, collection: str, request: Request, event_type: str, record: Record) -> dict[str, str]:
        """Do what follows a write. Returns headers of its answer. ``event_type`` is CREATE, UPDATE or DELETE."""

    def _create(self, collection: str, request: Request) -> Answer:
        record = self._records.create(collection, request.json_object())
        return Answer.of_json(201, record, self.written(collection, request, "CREATE", record))

    def _read(self, collection: str, request: Request, key: str) -> Answer:
        return Answer.of_json(200, self._records.get(collection, key))

    def _change(self, collection: str, request: Request, key: str) -> Answer:
        self._records.get(collection, key)  # an unknown id is refused before the body is read
        whole = request.method == "PUT"
        record = self._records.change(collection, key, request.json_object(), whole=whole)
        return Answer.of_json(200, record, self.written(collection, request, "UPDATE", record))

    def _delete(self, collection: str, request: Request, key: str) -> Answer:
        record = self._records.delete(collection, key)
        return Answer(204, headers=self.written(collection, request, "DELETE", record))


def page_bounds(
    request: Request, start_name: str, count_name: str, default: int, largest: int
) -> tuple[int, int]:
    """Return the first record and the number of records that a request asks for, at most ``largest``."""
    start = whole_number(request.query.get(start_name, "0"), start_name)
    count = whole_number(request.query.get(count_name, str(default)), count_name)
    return start, min(count, largest)
