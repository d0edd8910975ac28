"""A catch-up brings nobody back who was erased, unless the identity service lists a later change."""

import pytest
from django.utils import timezone

from sync.catch_up.schedule import begin_due_catch_ups
from sync.erasure.erase import run_erasure
from sync.models import ChangedEntity
from tests.support.builders.changing_people import (
    ChangingPeople,
    caught_up,
    people_catch_up,
    run_catch_up,
)
from tests.support.builders.erasure import InventedPerson, confirmed_erasure
from tests.support.hub import Hub

pytestmark = [pytest.mark.concurrent, pytest.mark.promise("I19")]


def erase(key: str) -> None:
    assert run_erasure(confirmed_erasure(InventedPerson(key, "Name", "name@example.com")))


def test_an_erased_person_comes_back_only_with_a_later_change(hub: Hub, people: ChangingPeople) -> None:
    """The overlap lists the newest change again and again, also after the erasure."""
    people.change("P0")
    run_catch_up()
    hub.wait_until_idle()
    from sync.execution.executor import run_due_deliveries

    run_due_deliveries()
    assert caught_up() == ["P0"]
    erase("P0")
    run_catch_up()
    assert "P0" not in caught_up()
    people.change("P0")
    run_catch_up()
    assert "P0" in caught_up()


def test_an_erasure_reaches_what_a_catch_up_has_stored(hub: Hub, people: ChangingPeople) -> None:
    people.change_all("P0", "P1", ago=5)
    begin_due_catch_ups()
    row = people_catch_up()
    for key in ("P0", "P1"):
        ChangedEntity.objects.create(catch_up=row, entity_id=key, changed_at=timezone.now())
    erase("P0")
    assert list(ChangedEntity.objects.values_list("entity_id", flat=True)) == ["P1"]
    # Neither what was stored nor what is listed: nothing has changed since.
    run_catch_up()
    assert caught_up() == ["P1"]
