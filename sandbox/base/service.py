"""The base class of both stand-in systems: listening, the order of checks, the journal, the faults and the pages."""

import json
import logging
import mimetypes
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from sandbox.base.control_api import build_control_router
from sandbox.base.control_pages import build_page_router
from sandbox.base.page_renderer import PageRenderer
from sandbox.base.request_journal import JournalEntry, RequestJournal
from sandbox.base.store import Record, RecordStore
from sandbox.faults.injection import apply_faults, describe_faults
from sandbox.faults.rules import FaultSwitches
from sandbox.http.messages import HttpError, Request, Response
from sandbox.http.router import Router
from sandbox.http.server import HttpListener

logger = logging.getLogger(__name__)

STATIC_FOLDER = Path(__file__).parents[1] / "static"
SERVER_ERROR = HttpError(500, "Something went wrong on our side.")
_POLL_SECONDS = 0.02


class SandboxService(ABC):
    """A stand-in system on a port of its own.

    With ``port`` 0 it chooses a free port, which stays the same when it is stopped and started again. Records and
    settings are stored in an SQLite file in the directory ``data``, if it is given; faults and the journal are only in
    memory.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    collections: ClassVar[tuple[str, ...]]
    navigation: ClassVar[tuple[tuple[str, str], ...]]
    indexed_fields: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, data: Path | None = None) -> None:
        self.host, self.port = host, port
        self.store = RecordStore(data / f"{self.name}.sqlite3" if data else None, self.indexed_fields)
        self.faults = FaultSwitches()
        self.request_journal = RequestJournal()
        self.page_renderer = PageRenderer(self.title, self.navigation, self.faults)
        self.control_router = build_control_router(self.faults, self.request_journal, self.reset)
        self.page_router = build_page_router(self.page_renderer, self.faults, self.request_journal)
        self._listener: HttpListener | None = None
        if not any(self.store.count_records(collection) for collection in self.collections):
            self.seed()

    def start(self) -> None:
        """Listen and serve in a thread of this process."""
        self.listen()
        threading.Thread(target=self.serve, name=f"sandbox-{self.name}", daemon=True).start()

    def listen(self) -> None:
        """Bind the port. Raises OSError if it is in use."""
        self._listener = HttpListener((self.host, self.port), self.respond)
        self.port = self._listener.server_port

    def serve(self) -> None:
        """Respond to requests until ``stop`` is called from another thread."""
        if self._listener:
            self._listener.serve_forever(_POLL_SECONDS)

    def stop(self) -> None:
        """Clear the faults, cut all connections and free the port. The service can be started again.

        Requests that a fault delays are released. Records are not deleted.
        """
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self.faults.clear()
        listener.shutdown()
        listener.server_close()
        listener.close_connections()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self.store.close()

    @property
    def url(self) -> str:
        """The origin, without a trailing slash."""
        return f"http://{self.host}:{self.port}"

    def read_journal(self, since: int = 0, only_writes: bool = False) -> list[JournalEntry]:
        """Return copies of the journal's entries numbered above ``since``, oldest first."""
        return self.request_journal.list_entries(since, only_writes)

    def list_records(self, collection: str) -> list[Record]:
        """Return all records of a collection, oldest first."""
        return self.store.list_records(collection)

    def reset(self) -> None:
        """Restore the initial records, clear the faults and empty the journal."""
        self.faults.clear()
        self.request_journal.clear()
        with self.store.lock:
            self.store.clear_collections(*self.collections, "counters", "answers")
            self.seed()

    @abstractmethod
    def seed(self) -> None:
        """Create the initial records in the empty store."""

    @abstractmethod
    def handle_api_request(self, request: Request) -> Response:
        """Check the credentials of an API request and execute it. Raises HttpError."""

    @abstractmethod
    def build_error_response(self, error: HttpError) -> Response:
        """Return an error in the JSON format of this service."""

    @abstractmethod
    def find_entity(self, request: Request) -> dict[str, Any] | None:
        """Return the collection, id and external_id that an API request concerns, the ids None if unknown.

        None if it concerns no record.
        """

    def respond(self, request: Request) -> Response | None:
        """Return the response to a request, or None to close the connection without a response."""
        if request.path.startswith("/static/"):
            return _read_static_file(request.path.removeprefix("/static/"))
        if request.path.startswith("/_sandbox/"):
            return self._dispatch_safely(self.control_router, request, as_page=False)
        if self.page_router.has_path(request):
            return self._dispatch_safely(self.page_router, request, as_page=True)
        return self._respond_to_api_request(request)

    def _dispatch_safely(self, router: Router, request: Request, as_page: bool) -> Response:
        try:
            self.page_renderer.reject_cross_site_write(request)
            return router.dispatch(request)
        except HttpError as error:
            return self._render_error(request, error, as_page)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return self._render_error(request, SERVER_ERROR, as_page)

    def _render_error(self, request: Request, error: HttpError, as_page: bool) -> Response:
        return (
            self.page_renderer.render_error(request, error) if as_page else self.build_error_response(error)
        )

    def _respond_to_api_request(self, request: Request) -> Response | None:
        entity = self.find_entity(request)
        entry = self.request_journal.begin_entry(
            request, entity, has_secret_body=request.path.startswith("/oauth/")
        )
        # Only after the entry has begun: its start must not include the delay of a fault.
        faults = self.faults.take_matching(request)
        response = apply_faults(faults, request, self._apply_request, self.build_error_response)
        entity = entity and _add_created_id(entity, response)
        self.request_journal.end_entry(
            entry, response.status if response else None, describe_faults(faults), entity
        )
        return response

    def _apply_request(self, request: Request) -> Response:
        try:
            return self.handle_api_request(request)
        except HttpError as error:
            return self.build_error_response(error)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return self.build_error_response(SERVER_ERROR)


def _add_created_id(entity: dict[str, Any], response: Response | None) -> dict[str, Any]:
    """Add the id of a created record, which only the response holds."""
    if entity["id"] is None and response is not None and response.status == 201:
        return entity | {"id": json.loads(response.body)["id"]}
    return entity


def _read_static_file(name: str) -> Response:
    path = STATIC_FOLDER / name
    if path.parent != STATIC_FOLDER or not path.is_file():
        return Response(404, b"Not found", "text/plain; charset=utf-8")
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(200, path.read_bytes(), content_type, headers)
