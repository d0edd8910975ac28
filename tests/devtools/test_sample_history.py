"""The sample history: realistic, determined by its seed, and separate from real events."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Count, F, Max, Q

from config_schema.codes.codes import CATALOGUE
from devtools.sample_history.generator import generate_history
from sync.models import Attempt, Call, Delivery, Route
from tests.support.builders.history import a_route, a_source, an_event
from webhooks.models import Event, Receipt, State

LIST = "/admin/webhooks/event/"


@pytest.fixture(autouse=True)
def without_statistics(database: None) -> Iterator[None]:
    """Forget the statistics that the command collects: plans of later tests must not depend on them."""
    yield
    if connection.vendor == "sqlite" and "sqlite_stat1" in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM sqlite_stat1")
            cursor.execute("ANALYZE sqlite_schema")


@pytest.fixture
def routes(database: None) -> list[Route]:
    return [
        a_route(a_source(slug), entity_type=kind) for slug, kind in (("aurora", "USER"), ("crm", "GROUP"))
    ]


NOW = 1_800_000_000.0


def generated(events: int = 800, **options: Any) -> None:
    for _ in generate_history(events, **({"now": NOW, "days": 90, "seed": 7, "bodies": 20} | options)):
        pass


def create_history() -> list[tuple[Any, ...]]:
    rows = Event.objects.order_by("id").annotate(attempts=Count("deliveries__attempts"))
    return list(rows.values_list("entity_id", "entity_type", "event_type", "state", "code", "attempts"))


def test_events_arrive_in_order_over_all_the_days_and_their_results_are_consistent(
    routes: list[Route],
) -> None:
    generated()
    assert Event.objects.count() == Receipt.objects.count() == 800
    states = Counter(Event.objects.values_list("state", flat=True))
    assert set(states) >= {State.SUCCEEDED, State.UNCHANGED, State.DEAD, State.CLOSED, State.IGNORED}
    assert 0.85 < states[State.SUCCEEDED] / 800 < 0.97
    assert not Delivery.objects.exclude(state=F("event__state"), code=F("event__code")).exists()
    assert set(Event.objects.filter(deliveries=None).values_list("state", flat=True)) == {State.IGNORED}
    newest = Delivery.objects.annotate(number=Max("attempts__number")).filter(attempts__number=F("number"))
    assert newest.filter(~Q(attempts__code=F("code")), ~Q(state=State.CLOSED)).count() == 0
    assert set(Event.objects.values_list("code", flat=True)) <= set(CATALOGUE)
    for model, column in ((Event, "received_at"), (Attempt, "ended_at"), (Call, "started_at")):
        last = model.objects.aggregate(last=Max(column))["last"]
        assert last.timestamp() <= NOW
    assert Call.objects.filter(error="").exclude(status=200).count() == 0
    assert Call.objects.filter(attempt__outcome="failed").exclude(error="").exists()
    moments = [at.timestamp() for at in Event.objects.order_by("id").values_list("received_at", flat=True)]
    assert moments == sorted(moments)
    assert NOW - 90 * 86_400 <= moments[0] < NOW - 85 * 86_400
    assert NOW - 3 * 3600 < moments[-1] <= NOW


@pytest.mark.submission
def test_the_same_seed_gives_the_same_history_and_another_seed_another_one(
    routes: list[Route], database: None
) -> None:
    seen = []
    for seed in (7, 7, 8):
        Call.objects.all().delete()
        Attempt.objects.all().delete()
        Delivery.objects.all().delete()
        Receipt.objects.all().delete()
        Event.objects.all().delete()
        generated(100, seed=seed)
        seen.append(create_history())
    assert seen[0] == seen[1] != seen[2]


def test_the_history_is_not_added_to_real_events_unless_forced(routes: list[Route]) -> None:
    for _ in range(2):
        call_command("generate_history", events=10, seed=1)
    assert Event.objects.count() == 20
    last = Event.objects.latest("id").pk
    assert an_event(1).pk == last + 1, "the next keys come after those of the history"
    with pytest.raises(CommandError, match="This database has real events"):
        call_command("generate_history", events=10)
    assert Event.objects.count() == 21
    call_command("generate_history", events=10, yes=True)
    assert Event.objects.count() == 31


def test_without_a_route_the_command_names_what_is_missing(database: None) -> None:
    with pytest.raises(CommandError, match="seed_sandbox"):
        call_command("generate_history", events=10)
