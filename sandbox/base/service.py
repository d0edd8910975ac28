"""What both stand-ins share: listening, the order of checks, the journal, the faults and the pages around
them.
"""

import json
import logging
import mimetypes
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from sandbox.base.control_api import control_routes
from sandbox.base.control_pages import control_pages
from sandbox.base.page_renderer import Pages
from sandbox.base.request_log import Entry, Journal
from sandbox.base.store import Record, Store
from sandbox.faults.injection import disturb, journal_words
from sandbox.faults.rules import Faults
from sandbox.http.messages import Answer, Problem, Request
from sandbox.http.router import Router
from sandbox.http.server import Listener

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parents[1] / "static"
BROKEN = Problem(500, "Something went wrong on our side.")
_POLL_SECONDS = 0.02


class Service(ABC):
    """A stand-in system on a port of its own.

    ``port`` 0 takes a free one and keeps it over ``stop`` and ``start``. With ``data``, a directory,
    records and settings live in an SQLite file there and survive; faults and the journal never do.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    collections: ClassVar[tuple[str, ...]]
    navigation: ClassVar[tuple[tuple[str, str], ...]]
    indexed: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, data: Path | None = None) -> None:
        self.host, self.port = host, port
        self.store = Store(data / f"{self.name}.sqlite3" if data else None, self.indexed)
        self.faults = Faults()
        self.requests = Journal()
        self.pages = Pages(self.title, self.navigation, self.faults)
        self.control = control_routes(self.faults, self.requests, self.reset)
        self.page_routes = control_pages(self.pages, self.faults, self.requests)
        self._listener: Listener | None = None
        if not any(self.store.count(each) for each in self.collections):
            self.seed()

    # Life

    def start(self) -> None:
        """Listens from here on, in a thread of this process."""
        self.listen()
        threading.Thread(target=self.serve, name=f"sandbox-{self.name}", daemon=True).start()

    def listen(self) -> None:
        self._listener = Listener((self.host, self.port), self.respond)
        self.port = self._listener.server_port

    def serve(self) -> None:
        """Answers until ``stop`` is called from another thread."""
        if self._listener:
            self._listener.serve_forever(_POLL_SECONDS)

    def stop(self) -> None:
        """Lets go every held request, cuts every connection and frees the port.

        Records stay: it can start again.
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
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self.store.close()

    @property
    def url(self) -> str:
        """The origin, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    # What tests and pages look at

    def journal(self, since: int = 0, writes: bool = False) -> list[Entry]:
        return self.requests.entries(since, writes)

    def records(self, collection: str) -> list[Record]:
        return self.store.all(collection)

    def reset(self) -> None:
        """The records as on the first day, no fault, an empty journal."""
        self.faults.clear()
        self.requests.clear()
        with self.store.lock:
            self.store.clear(*self.collections, "counters", "answers")
            self.seed()

    # What each service is

    @abstractmethod
    def seed(self) -> None:
        """Fills the empty store."""

    @abstractmethod
    def call(self, request: Request) -> Answer:
        """Checks the credentials and does what an API request asks.

        Raises Problem.
        """

    @abstractmethod
    def explain(self, problem: Problem) -> Answer:
        """A problem in this service's JSON."""

    @abstractmethod
    def entity_of(self, request: Request) -> dict[str, Any] | None:
        """Whom an API request is about: collection, id and external_id, null where unknown."""

    # The order of checks

    def respond(self, request: Request) -> Answer | None:
        """The answer; None to close the connection without one."""
        if request.path.startswith("/static/"):
            return _static_file(request.path.removeprefix("/static/"))
        if request.path.startswith("/_sandbox/"):
            return self._guarded(self.control, request, page=False)
        if self.page_routes.knows(request):
            return self._guarded(self.page_routes, request, page=True)
        return self._respond_to_call(request)

    def _guarded(self, router: Router, request: Request, page: bool) -> Answer:
        try:
            self.pages.refuse_foreign(request)
            return router.answer(request)
        except Problem as problem:
            return self.pages.problem(request, problem) if page else self.explain(problem)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return self.pages.problem(request, BROKEN) if page else self.explain(BROKEN)

    def _respond_to_call(self, request: Request) -> Answer | None:
        entity = self.entity_of(request)
        entry = self.requests.begin(request, entity, secret_body=request.path.startswith("/oauth/"))
        faults = self.faults.strike(request)
        answer = disturb(faults, lambda: self._applied(request), self.explain)
        entity = entity and _with_new_id(entity, answer)
        self.requests.end(entry, answer.status if answer else None, journal_words(faults), entity)
        return answer

    def _applied(self, request: Request) -> Answer:
        try:
            return self.call(request)
        except Problem as problem:
            return self.explain(problem)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return self.explain(BROKEN)


def _with_new_id(entity: dict[str, Any], answer: Answer | None) -> dict[str, Any]:
    """A created record has its id only in the answer."""
    if entity["id"] is None and answer is not None and answer.status == 201:
        return entity | {"id": json.loads(answer.body)["id"]}
    return entity


def _static_file(name: str) -> Answer:
    path = STATIC / name
    if path.parent != STATIC or not path.is_file():
        return Answer(404, b"Not found", "text/plain; charset=utf-8")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Answer(200, path.read_bytes(), kind, headers)
