"""The cost of each page of the console, measured in one process with the hub's environment.

Run by `console`: `python -m tests.bench.subjects.console_pages <repeats>` prints one JSON document. The reference
query is measured in turn with the pages, so that other load on the machine affects both.
"""

import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.bench.subjects.hostile_queries import HostileQueries, measure_hostile_queries

YARDSTICK = """SELECT e.*, s.name FROM webhooks_event e JOIN webhooks_source s ON s.id = e.source_id
    ORDER BY e.received_at DESC, e.id DESC LIMIT 51"""
BULK = 10_000


@dataclass(slots=True)
class Cost:
    """The cost of one page: medians of the repeats, in milliseconds and bytes.

    `slowest`: its slowest statement in any repeat. `cpu` is of this process: far below `server` if other processes used
    the machine, or if the database worked.
    """

    name: str
    sql: float = 0.0
    statements: int = 0
    slowest: float = 0.0
    slowest_statement: str = ""
    server: float = 0.0
    cpu: float = 0.0
    html: int = 0
    zipped: int = 0
    problem: str = ""


@dataclass(slots=True)
class Taken:
    """The reference query, the pages, the weight of the list with its files (their number, bytes and scripts), and what
    hostile queries cost.
    """

    yardstick: float
    pages: list[Cost]
    weight: dict[str, int]
    hostile: HostileQueries


def addresses() -> Iterator[tuple[str, Callable[[Any], str]]]:
    """Return each page with a function that finds its address."""
    from django.db.models import Count

    from console.ui.keyset import BY_RECEIVED_TIME
    from webhooks.models import Event

    newest = Event.objects.order_by("-received_at", "-id")
    total = Event.objects.count()
    middle = newest[total // 2]
    failed = Event.objects.filter(state="dead").latest("id")
    tried = Event.objects.filter(pk__gt=middle.pk, state__in=("dead", "retrying", "succeeded"))
    longest = (
        tried.annotate(attempts=Count("deliveries__attempts")).order_by("-attempts", "-pk").first() or failed
    )
    events, entity = (
        "/admin/webhooks/event/",
        f"type={failed.entity_type}&id={failed.entity_id}",
    )
    yield "overview", lambda _: "/admin/"
    yield "list", lambda _: events
    yield "list, failed", lambda _: f"{events}?state=dead"
    yield "list, failed, 7 days", lambda _: f"{events}?state=dead&received=168"
    yield "list, cursor in the middle", lambda _: f"{events}?before={BY_RECEIVED_TIME.cursor_of(middle)}"
    yield "search, event id", lambda _: f"{events}?q={failed.reference}"
    yield "search, entity id", lambda _: f"{events}?q={failed.entity_id}"
    yield "event", lambda _: f"{events}{longest.pk}/change/"
    yield f"replay of {BULK:,}: confirm", _confirm
    yield "entity", lambda _: f"/admin/webhooks/entity/?{entity}"
    yield from log_addresses()


def log_addresses() -> Iterator[tuple[str, Callable[[Any], str]]]:
    """Return the pages of the audit log."""
    from audit.models import Entry
    from console.audit_log.list_page import BY_TIME

    log = "/admin/audit/entry/"
    first, last = (Entry.objects.order_by(way).first() for way in ("id", "-id"))
    middle = Entry.objects.filter(pk__gte=(first.pk + last.pk) // 2).order_by("id").first()
    changed = Entry.objects.filter(action="source.changed").latest("at")
    yield "log", lambda _: log
    yield "log, cursor in the middle", lambda _: f"{log}?before={BY_TIME.cursor_of(middle)}"
    yield "log, people", lambda _: f"{log}?who=person"
    yield "log, a person long ago", lambda _: f"{log}?who=person:1"
    yield "log, an action", lambda _: f"{log}?action=attempt.failed"
    yield "log, exports", lambda _: f"{log}?action=exports"
    yield "log, settings", lambda _: f"{log}?object=setting"
    yield "log, settings in the middle", lambda _: f"{log}?object=setting&before={BY_TIME.cursor_of(middle)}"
    yield "log, an object", lambda _: f"{log}?q={changed.stream}"
    yield "entry", lambda _: f"{log}{changed.pk}/change/"


def _confirm(client: Any) -> str:
    """Return the address of the confirmation of a bulk replay. A worker would complete a set that is not complete."""
    from django.urls import reverse

    from sync.jobs.job_execution import run_next_jobs
    from sync.models import PersonRequest
    from webhooks.models import Event

    since = Event.objects.order_by("-received_at")[min(BULK, Event.objects.count()) - 1].received_at
    words = {"received_from": since.isoformat()}
    answer = client.post(reverse("admin:webhooks_event_replay_new"), words)
    while PersonRequest.objects.latest("pk").state == "choosing":
        run_next_jobs(kinds=["event-set"])
    return str(answer["Location"])


def search_terms() -> Iterator[tuple[str, str]]:
    """Return what a caller says: a kind of it, and the text for the search box."""
    from sync.models import Link
    from webhooks.models import Event

    event = Event.objects.filter(entity_type="USER").latest("id")
    link = Link.objects.latest("id")
    yield "find, end of a reference", event.reference[-6:]
    yield "find, id in lower case", event.entity_id.lower()
    yield "find, record id", link.record_id
    yield "find, e-mail", "anna.12@example.com"
    yield "find, phone", "040 0000012"
    yield "find, last name", "Aalto"
    yield "find, name", "Anna Aalto"
    yield "find, both words of a longer name", "Anna Aalto Maria"
    yield "find, the words of two fields", "aalto familyaab"
    yield "find, nothing", "nobody@example.com"


def open_page(client: Any, address: str) -> Any:
    return client.get(address, follow=True)


def search(client: Any, term: str) -> Any:
    """Search, without opening what is found."""
    answer = client.post("/admin/find/", {"term": term})
    answer.status_code = 200 if answer.status_code == 302 else answer.status_code
    return answer


def forget_searches() -> None:
    """Let the person search again at once: a minute has twenty searches."""
    from webhooks.models import RateLimitState

    RateLimitState.objects.filter(pk__startswith="search:").delete()


def cost_of(
    client: Any,
    name: str,
    address: str,
    repeats: int,
    aside: Callable[[], None],
    ask: Callable[[Any, str], Any] = open_page,
) -> Cost:
    """Measure a page, after one request that does not count; `aside` is called between the repeats."""
    from django.db import connection

    ask(client, address)
    taken, statements = [], []
    for _ in range(repeats):
        spent: list[tuple[float, str]] = []
        with connection.execute_wrapper(timed(spent)):
            began, worked = time.perf_counter(), time.process_time()
            answer = ask(client, address)
            server, cpu = time.perf_counter() - began, time.process_time() - worked
        if answer.status_code != 200:
            return Cost(name, problem=f"answered {answer.status_code}")
        taken.append((sum(seconds for seconds, _ in spent), len(spent), server, cpu))
        statements += spent
        aside()
    sql, number, server, cpu = (median(values) for values in zip(*taken, strict=True))
    slowest, statement = max(statements, default=(0.0, ""))
    return Cost(
        name,
        sql=sql * 1000,
        statements=int(number),
        slowest=slowest * 1000,
        slowest_statement=" ".join(statement.split())[:300],
        server=server * 1000,
        cpu=cpu * 1000,
        html=len(answer.content),
        zipped=len(gzip.compress(answer.content, 6)),
    )


def timed(spent: list[tuple[float, str]]) -> Callable[..., Any]:
    """Return an execute wrapper that records each statement with its seconds."""

    def wrapper(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, *arguments)
        finally:
            spent.append((time.perf_counter() - began, sql))

    return wrapper


@contextmanager
def person() -> Iterator[Any]:
    """Yield the session of a superuser."""
    from django.contrib.auth.models import User
    from django.test import Client

    user, _ = User.objects.get_or_create(username="bench", defaults={"is_staff": True, "is_superuser": True})
    client = Client(raise_request_exception=False, SERVER_NAME="127.0.0.1")
    client.force_login(user)
    yield client
    client.logout()


def weight(client: Any, address: str) -> dict[str, int]:
    """Return the number of requests of a page with all of its files, and their compressed bytes."""
    from django.contrib.staticfiles import finders

    html = client.get(address).content
    named = re.findall(rb'(?:href|src)="/static/([^"?#]+\.(?:css|js|svg|png|woff2?))', html)
    files = {name: gzip.compress(_read(finders.find(name)), 6) for name in {path.decode() for path in named}}
    page = len(gzip.compress(html, 6))
    return {
        "requests": 1 + len(files),
        "zipped": page + sum(map(len, files.values())),
        "scripts": sum(len(content) for name, content in files.items() if name.endswith(".js")),
        "html": len(html),
        "elsewhere": len(re.findall(rb'(?:href|src)="(?:https?:)?//', html)),
    }


def _read(path: Any) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def measure(repeats: int) -> Taken:
    from django.db import connection

    yards: list[float] = []

    def yardstick() -> None:
        with connection.cursor() as cursor:
            began = time.perf_counter()
            cursor.execute(YARDSTICK)
            cursor.fetchall()
            yards.append(time.perf_counter() - began)

    yardstick()
    yards.clear()
    pages = []
    with person() as client:
        for name, find in addresses():
            try:
                address = find(client)
            except Exception as error:
                pages.append(Cost(name, problem=f"not here: {type(error).__name__}"))
                continue
            pages.append(cost_of(client, name, address, repeats, yardstick))
        for name, term in search_terms():
            forget_searches()
            pages.append(cost_of(client, name, term, repeats, yardstick, search))
        carried = weight(client, "/admin/webhooks/event/")
        hostile = measure_hostile_queries(client)
    return Taken(median(yards) * 1000, pages, carried, hostile)


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(asdict(measure(int(sys.argv[1])))))
