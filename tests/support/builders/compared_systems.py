"""An identity service and a target with lists of their own, in one server: for comparisons of people."""

import contextlib
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone

from sync.comparisons.requests import request_comparison
from sync.deliveries.routes import resolved_routes
from sync.models import Comparison, ComparisonCause, Connection, Delivery, Difference, Link, Route
from tests.support.connections import change_connection
from tests.support.http.servers import Reply, SeenRequest, Service, serving
from tests.support.jobs import run_jobs
from webhooks.models import Event, subject_key

PAGE_SIZE = 3
_PAGING = {"start": "offset", "count": "limit", "size": PAGE_SIZE, "total": "total", "complete": True}
# Replaces the answer to a page of a list: by side and number of the page.
PageFault = Callable[[Reply], Reply]


@dataclass
class ComparedSystems:
    """Users and customers by id. `writes`: the requests that would have changed something."""

    service: Service
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: list[SeenRequest] = field(default_factory=list)
    faults: dict[tuple[str, int], PageFault] = field(default_factory=dict)
    refuses_records: bool = False

    @property
    def requests(self) -> list[str]:
        """Return the requests so far, as method and path."""
        return [f"{seen.method} {seen.path}" for seen in self.service.seen]

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request of either system."""
        name, _, key = seen.path.strip("/").partition("/")
        items = {"users": self.users, "customers": self.customers}[name]
        if seen.method != "GET":
            self.writes.append(seen)
            return Reply(405, {})
        if name == "customers" and self.refuses_records:
            return Reply(401, {})
        if key:
            return Reply(200, deepcopy(items[key])) if key in items else Reply(404, {})
        if "offset" not in seen.query:
            return self._search(items, seen.query)
        return self._list(name, items, int(seen.query["offset"]))

    def _search(self, items: dict[str, dict[str, Any]], query: dict[str, str]) -> Reply:
        query.pop("limit", None)
        found = [one for one in items.values() if all(str(one.get(name)) == query[name] for name in query)]
        return Reply(200, {"items": deepcopy(found[:10]), "total": len(found)})

    def _list(self, name: str, items: dict[str, dict[str, Any]], offset: int) -> Reply:
        page = [items[key] for key in sorted(items)][offset : offset + PAGE_SIZE]
        reply = Reply(200, {"items": deepcopy(page), "total": len(items)})
        fault = self.faults.get((name, offset // PAGE_SIZE + 1)) or self.faults.get((name, 0))
        return fault(reply) if fault else reply

    def add_user(self, key: str, **changed: Any) -> dict[str, Any]:
        """Add a user of the identity service."""
        emails = [{"address": f"{key.lower()}@example.com", "verified": True}]
        name = {"givenName": f"Given {key}", "familyName": "Family"}
        self.users[key] = {"id": key, "emails": emails, "name": name, **changed}
        return self.users[key]

    def add_customer(self, key: str, external_id: str | None, **changed: Any) -> dict[str, Any]:
        """Add the record that the mapping makes of the user with this id."""
        user = external_id or key
        self.customers[key] = {
            "id": key,
            "external_id": external_id,
            "email": f"{user.lower()}@example.com",
            "first_name": f"Given {user}",
            "last_name": "Family",
            "active": True,
            **changed,
        }
        return self.customers[key]

    def add_pair(self, number: int, **changed: Any) -> str:
        """Add a user with a linked record that is in step but for these fields. Returns the id of the user."""
        user, record = f"U{number:02}", f"c{number:02}"
        self.add_user(user)
        self.add_customer(record, user, **changed)
        link_record(user, record)
        return user


def compared_route() -> Route:
    return Route.objects.select_related("source", "identity", "target", "mapping").get(
        source__slug="aurora", entity_type="USER"
    )


def link_record(user: str, record: str, route: Route | None = None, **columns: Any) -> Link:
    """Link a record to a user, as an attempt did that found the id of the user in it."""
    route = route or compared_route()
    return Link.objects.create(
        identity=route.identity,
        target=route.target,
        entity_type="USER",
        entity_id=user,
        record_id=record,
        **{"applied_at": timezone.now(), "external_id_field": "external_id", **columns},
    )


def add_delivery(user: str, state: str, *, knows_again: bool = False, **columns: Any) -> None:
    """Store an event of a user with a delivery in this state. `knows_again`: after an erasure."""
    route, values = compared_route(), {"entity_type": "USER", "entity_id": user}
    key = subject_key(route.source_id, "USER", user) if knows_again else None
    event = Event.objects.create(
        source=route.source,
        event_type="UPDATE",
        received_at=timezone.now(),
        digest=b"",
        is_signed=False,
        state=state,
        **values,
    )
    assert key is None or key.destroyed_at is None
    Delivery.objects.create(
        **{"opened_at": timezone.now(), **columns},
        event=event,
        route=route,
        identity=route.identity,
        target=route.target,
        state=state,
        **values,
    )


def change_list(side: str, **settings: Any) -> None:
    """Change settings of the list of one side; None removes one, and `is_removed` the list."""
    connection: Connection = getattr(compared_route(), side)
    document = json.loads(json.dumps(connection.settings))
    entity = document["entities"]["USER"]
    parent = entity if side == "identity" else entity["operations"]
    if settings.pop("is_removed", False):
        del parent["list"]
    else:
        parent["list"] = {
            name: one for name, one in {**parent["list"], **settings}.items() if one is not None
        }
    change_connection(connection, settings=document)
    resolved_routes.invalidate()


@contextlib.contextmanager
def compared_systems() -> Iterator[ComparedSystems]:
    """Run both systems, and point the connections of the hub to them."""
    with serving(lambda _: Reply(500)) as service:
        systems = ComparedSystems(service)
        service.answer = systems.answer
        route = compared_route()
        people = {"path": "/users/{id}", "list": {"path": "/users", "results": "items", **_PAGING}}
        change_connection(route.identity, base_url=service.url, settings={"entities": {"USER": people}})
        item, search = {"path": "/customers/{id}"}, {"path": "/customers", "query": {"{field}": "{value}"}}
        operations = {
            "get": item,
            "search": {**search, "result": "items", "fields": ["external_id", "email"]},
            "create": {"path": "/customers"},
            "update": item,
            "delete": item,
            "list": {"path": "/customers", "result": "items", "paging": "offset", **_PAGING},
        }
        target = {"entities": {"USER": {"operations": operations}}, "caseless": ["email"]}
        change_connection(route.target, base_url=service.url, settings=target)
        resolved_routes.invalidate()
        yield systems


def begin_comparison() -> Comparison:
    return request_comparison(compared_route(), cause=ComparisonCause.COMMAND)


def run_to_end(comparison: Comparison) -> Comparison:
    """Run the job until the comparison has ended; what was absent has been so for long enough at the next run."""
    for _ in range(30):
        run_jobs("comparison")
        comparison.refresh_from_db()
        if not comparison.is_open:
            return comparison
        rows = Difference.objects.filter(seen_absent_at__isnull=False)
        rows.update(seen_absent_at=F("seen_absent_at") - timedelta(seconds=60))
    raise AssertionError(f"the comparison did not end: {comparison.phase} {comparison.position}")


def compare() -> Comparison:
    """Compare both systems to the end."""
    return run_to_end(begin_comparison())


def found_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return kind, entity and record of each difference, sorted."""
    rows = Difference.objects.filter(comparison=comparison)
    return sorted(rows.values_list("kind", "entity_id", "record_id"))
