"""An identity service whose people change, with a list of what changed since a time, and catch-ups of it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from django.db.models import F

from sync.catch_up.schedule import begin_due_catch_ups
from sync.deliveries.routes import resolved_routes
from sync.models import CatchUp, Connection, Route
from tests.support.connections import change_connection
from tests.support.http.servers import Reply, SeenRequest, serving
from tests.support.jobs import run_jobs
from webhooks.models import Event, EventOrigin

KIND = "catch-up"
PAGE_SIZE = 3
_LONG_AGO = "1970-01-01T00:00:00+00:00"
Person = dict[str, Any]
_LIST = {
    "path": "/users",
    "results": "items",
    "start": "offset",
    "count": "limit",
    "size": PAGE_SIZE,
    "total": "total",
    "complete": True,
    "modified_since": {"query": {"since": "{time}"}},
}


@dataclass
class ChangingPeople:
    """People by id. `clock`: how far the service's clock is ahead; `timespec`: how exactly it dates changes.

    `says_date`: it sends the header `Date`. `dates_changes`: people have a time of change. `order`: of the list.
    `before_page` is called with the number of the page, and may replace the answer.
    """

    people: dict[str, Person] = field(default_factory=dict)
    clock: timedelta = timedelta()
    timespec: str = "milliseconds"
    says_date: bool = True
    dates_changes: bool = True
    order: Callable[[Person], Any] = field(default=lambda person: person["id"])
    before_page: Callable[[int], Reply | None] = field(default=lambda _: None)
    pages: list[tuple[int, datetime]] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock

    def change(self, key: str, ago: float = 0.0) -> str:
        """Change a person, or add one, so many seconds ago by the service's clock. Returns the id."""
        at = self.now() - timedelta(seconds=ago)
        version = self.people.get(key, {}).get("version", 0) + 1
        changed_at = at.isoformat(timespec=self.timespec)
        self.people[key] = {
            "id": key,
            "name": {"givenName": f"Given {version}", "familyName": key},
            "emails": [{"address": f"{key.lower()}@example.com", "verified": True}],
            "version": version,
            "changed": changed_at,
        }
        return key

    def change_all(self, *keys: str, ago: float = 0.0) -> list[str]:
        return [self.change(key, ago) for key in keys]

    def answer(self, seen: SeenRequest) -> Reply:
        name, _, key = seen.path.strip("/").partition("/")
        assert (name, seen.method) == ("users", "GET")
        if key:
            found = self.people.get(key)
            return self._reply(200, self._shown(found)) if found else Reply(404, {})
        start, size = int(seen.query.get("offset", "0")), int(seen.query.get("limit", PAGE_SIZE))
        # Without a time, as a comparison asks, everything is listed.
        since = datetime.fromisoformat(seen.query.get("since", _LONG_AGO))
        number = start // size + 1
        self.pages.append((number, since))
        if (replaced := self.before_page(number)) is not None:
            return replaced
        listed = [one for one in self.people.values() if datetime.fromisoformat(one["changed"]) >= since]
        page = sorted(listed, key=self.order)[start : start + size]
        return self._reply(200, {"items": [self._shown(one) for one in page], "total": len(listed)})

    def _shown(self, person: Person) -> Person:
        return person if self.dates_changes else {**person, "changed": None}

    def _reply(self, status: int, value: Any) -> Reply:
        date = format_datetime(self.now(), usegmt=True) if self.says_date else ""
        return Reply(status, value, {"Date": date})


@contextlib.contextmanager
def changing_people(minutes: int = 5, **over: Any) -> Iterator[ChangingPeople]:
    """Run the service, and let the hub's route of people catch up with it: the list has these settings, None
    removes one.
    """
    people = ChangingPeople()
    settings = {name: value for name, value in (_LIST | over).items() if value is not None}
    with serving(people.answer) as service:
        people_settings = {"path": "/users/{id}", "modified": "changed", "list": settings}
        change_connection(
            people_route().identity,
            base_url=service.url,
            settings={"entities": {"USER": people_settings}},
            catch_up_minutes=minutes,
        )
        # One event a person, unless a test wants more.
        Route.objects.exclude(pk=people_route().pk).update(is_enabled=False)
        resolved_routes.invalidate()
        yield people


def people_route(source: str = "aurora") -> Route:
    related = ("source", "identity", "target", "mapping")
    return Route.objects.select_related(*related).get(source__slug=source, entity_type="USER")


def people_catch_up() -> CatchUp:
    return CatchUp.objects.select_related("identity").get(entity_type="USER")


def start_catch_up(ago: float = 3600.0) -> CatchUp:
    """Create the row of the catch-up as if it was switched on so many seconds ago, and had found nothing yet."""
    begin_due_catch_ups()
    CatchUp.objects.update(created_at=F("created_at") - timedelta(seconds=ago))
    return people_catch_up()


def run_catch_up() -> CatchUp:
    """Run the catch-up now, due or not, and return its row."""
    CatchUp.objects.update(began_at=None)
    begin_due_catch_ups()
    run_jobs(KIND)
    return people_catch_up()


def caught_up() -> list[str]:
    """Return the ids of the events that catch-ups have made, in their order."""
    events = Event.objects.filter(origin=EventOrigin.CATCH_UP).order_by("pk")
    return list(events.values_list("entity_id", flat=True))


def identity_connection() -> Connection:
    return people_route().identity
