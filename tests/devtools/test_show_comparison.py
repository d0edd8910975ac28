"""The command of `make run` finds the one record that differs, makes it equal, and says so line by line."""

import io
import time

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connection

from sync.comparisons.requests import request_comparison
from sync.execution.executor import run_due_deliveries
from sync.models import ComparisonCause, Route
from tests.support.compared_people import fill_systems, record_id, record_of
from tests.support.hub import Hub
from tests.support.jobs import run_jobs

pytestmark = [pytest.mark.one_database, pytest.mark.concurrent]


@pytest.fixture
def people(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Yield a hub with three people at both ends, the login `support`, and a worker at each wait of the command."""

    def work(_seconds: float) -> None:
        run_jobs("comparison")
        run_due_deliveries()

    with connection.cursor() as cursor:
        fill_systems(hub.identity, hub.shop, 3, cursor.execute)
    user = User.objects.create_user("support", is_staff=True)
    user.groups.add(Group.objects.get(name="support"))
    monkeypatch.setattr(time, "sleep", work)
    return hub


def show() -> list[str]:
    output = io.StringIO()
    call_command("show_comparison", stdout=output)
    return output.getvalue().splitlines()


def test_one_difference_is_found_and_made_equal(people: Hub) -> None:
    customer = record_of(1)
    people.shop.store.put_record("customers", record_id(1), customer | {"first_name": "Aino"})
    assert show() == [
        "7. Compared: 2 in-step, 1 differs (first_name)",
        "8. Made equal: first_name of P0000001",
        "9. Compared: 3 in-step",
    ]
    [record] = [one for one in people.shop.list_records("customers") if str(one["id"]) == record_id(1)]
    assert record["first_name"] == customer["first_name"]


@pytest.mark.submission
def test_a_comparison_from_before_the_change_is_not_shown(
    people: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart, one may be open that has read the record already."""
    request_comparison(Route.objects.get(slug="aurora-user-shop"), cause=ComparisonCause.COMMAND)
    work = time.sleep

    def work_before_the_change(seconds: float) -> None:
        work(seconds)
        people.shop.store.put_record("customers", record_id(1), record_of(1) | {"first_name": "Aino"})
        monkeypatch.setattr(time, "sleep", work)

    monkeypatch.setattr(time, "sleep", work_before_the_change)
    assert show()[0] == "7. Compared: 2 in-step, 1 differs (first_name)"


@pytest.mark.submission
def test_it_fails_if_nothing_differs(people: Hub) -> None:
    with pytest.raises(CommandError, match="was not found"):
        show()
