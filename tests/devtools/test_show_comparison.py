"""The command of `make run` finds that a record differs, makes it equal, and says so line by line."""

import io
import time

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connection

from sync.execution.executor import run_due_deliveries
from tests.support.compared_people import fill_systems, person_id, record_id, record_of
from tests.support.hub import Hub

pytestmark = [pytest.mark.one_database, pytest.mark.concurrent]


@pytest.fixture
def people(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Yield a hub with three people at both ends, the login `support`, and a worker at each wait of the command."""
    with connection.cursor() as cursor:
        fill_systems(hub.identity, hub.shop, 3, cursor.execute)
    user = User.objects.create_user("support", is_staff=True)
    user.groups.add(Group.objects.get(name="support"))
    monkeypatch.setattr(time, "sleep", lambda _seconds: run_due_deliveries())
    return hub


def show() -> list[str]:
    output = io.StringIO()
    call_command("show_comparison", person_id(1), stdout=output)
    return output.getvalue().splitlines()


def test_a_difference_is_found_and_made_equal(people: Hub) -> None:
    customer = record_of(1)
    people.shop.store.put_record("customers", record_id(1), customer | {"first_name": "Aino"})
    assert show() == [
        "6. Compared P0000001 in both systems: first_name differs",
        "7. Made equal",
        "8. Compared again: in step",
    ]
    [record] = [one for one in people.shop.list_records("customers") if str(one["id"]) == record_id(1)]
    assert record["first_name"] == customer["first_name"]


@pytest.mark.submission
def test_it_fails_if_nothing_differs(people: Hub) -> None:
    with pytest.raises(CommandError, match="was not found"):
        show()
