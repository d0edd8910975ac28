"""A list takes the same number of statements however many rows it has."""

from collections.abc import Callable

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sync.models import Alarm
from tests.support.builders.backtests import a_mapping_in_use
from tests.support.people import browser, person, source

pytestmark = pytest.mark.django_db


def a_route(number: int) -> None:
    a_mapping_in_use({"fields": {"mail": {"path": "entity.mail"}}})


def an_alarm(number: int) -> None:
    now = timezone.now()
    Alarm.objects.create(kind="source-silent", subject=f"source:{number}", began_at=now, raised_at=now)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("path", "add"),
    [
        ("webhooks/source", lambda number: source(f"s{number}")),
        ("sync/connection", a_route),
        ("sync/route", a_route),
        ("sync/mapping", a_route),
        ("sync/alarm", an_alarm),
        ("auth/user", lambda number: person("support", f"p{number}")),
    ],
)
def test_a_list_costs_the_same_for_two_rows_and_for_eight(path: str, add: Callable[[int], object]) -> None:
    client, costs = browser(), []
    for number in range(8):
        add(number)
        if number in (1, 7):
            with CaptureQueriesContext(database) as seen:
                assert client.get(f"/admin/{path}/").status_code == 200
            costs.append(len(seen))
    assert costs[0] == costs[1]
