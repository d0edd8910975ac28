"""A changed condition is saved only after a try of the same text, and with the number of those who leave."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from sync.models import JobState, Route
from tests.support.builders.compared_systems import compared_route, link_record
from tests.support.condition_tries import ADULTS, a_finished_try
from tests.support.connections import copy_connection
from tests.support.hub import Hub

pytestmark = pytest.mark.usefixtures("hub")

FEW = {"counts": {"leave": 2, "stay": 18}, "read_linked": 20, "linked_count": 20}
MANY = {"counts": {"leave": 3, "stay": 17}, "read_linked": 20, "linked_count": 20}


def change(**values: Any) -> dict[str, Any]:
    """Validate a change of the route as a form, an import or a command does. Returns the errors."""
    route = compared_route()
    for name, value in values.items():
        setattr(route, name, value)
    try:
        route.full_clean()
    except ValidationError as refused:
        return refused.message_dict
    route.save()
    return {}


def test_a_condition_that_was_not_tried_is_refused(hub: Hub) -> None:
    errors = change(condition=ADULTS)
    assert list(errors) == ["condition"]
    assert "Try this condition first" in errors["condition"][0]
    a_finished_try(compared_route(), **FEW)
    assert change(condition=f" {ADULTS}\n") == {}


@pytest.mark.parametrize(
    "values",
    [
        {"condition": "entity.age >= `17`"},
        {"ended_at": timezone.now() - timedelta(hours=1, seconds=5)},
        {"state": JobState.FAILED},
        {"state": JobState.CANCELLED},
        {"state": JobState.RUNNING, "ended_at": None},
        {"entity_type": "GROUP"},
        {"identity_type": "PERSON"},
    ],
)
def test_a_try_of_something_else_an_old_and_an_unfinished_one_do_not_count(values: dict[str, Any]) -> None:
    a_finished_try(compared_route(), **{**FEW, **values})
    assert list(change(condition=ADULTS)) == ["condition"]


def test_a_try_of_another_route_does_not_count(hub: Hub) -> None:
    other = Route.objects.exclude(pk=compared_route().pk).select_related("identity", "target")
    a_finished_try(other.filter(entity_type="USER")[0], **FEW)
    assert list(change(condition=ADULTS)) == ["condition"]


@pytest.mark.parametrize(
    ("leaving", "linked", "number"),
    [(0, 0, None), (1, 10, None), (2, 19, 2), (50, 500, None), (51, 5_000, 51), (1, 1, 1), (900, 1_000, 900)],
)
def test_more_than_a_tenth_or_fifty_leave_only_if_their_number_is_entered(
    leaving: int, linked: int, number: int | None
) -> None:
    counts = {"leave": leaving, "stay": linked - leaving}
    a_finished_try(compared_route(), counts=counts, read_linked=linked, linked_count=linked)
    if number is not None:
        errors = change(condition=ADULTS)
        assert f"{number:,} linked entities leave" in errors["condition"][0]
        assert list(change(condition=ADULTS, confirmed_leaving=number - 1)) == ["condition"]
    assert change(condition=ADULTS, confirmed_leaving=number) == {}


def test_the_newest_try_decides(hub: Hub) -> None:
    a_finished_try(compared_route(), **MANY)
    a_finished_try(compared_route(), **FEW)
    assert change(condition=ADULTS) == {}


def test_of_what_was_not_read_as_large_a_share_leaves(hub: Hub) -> None:
    """A sample in which few leave hides many; and if no linked entity was read, any number may leave."""
    sample = {"counts": {"leave": 1, "stay": 19}, "read_linked": 20, "linked_count": 2_000}
    a_finished_try(compared_route(), **sample)
    assert change(condition=ADULTS) == {}
    row = a_finished_try(compared_route(), **sample, is_complete=False)
    assert (row.count_leaving(), row.number_to_confirm()) == (100, 100)
    assert list(change(condition="entity.age > `1`")) == ["condition"]
    nothing = a_finished_try(compared_route(), linked_count=7, is_complete=False)
    assert nothing.number_to_confirm() == 7


def test_removing_a_condition_and_other_changes_need_no_try(hub: Hub) -> None:
    Route.objects.filter(pk=compared_route().pk).update(condition=ADULTS)
    assert change(max_attempts=3) == {}
    assert change(condition="") == {}
    assert list(change(condition=ADULTS)) == ["condition"]


def test_a_policy_that_removes_records_needs_a_try_too_and_counts_who_left_before(hub: Hub) -> None:
    Route.objects.filter(pk=compared_route().pk).update(condition=ADULTS)
    assert list(change(on_leaving="delete")) == ["condition"]
    a_finished_try(compared_route(), **{**FEW, "counts": {"stay": 20, "left": 30}})
    errors = change(on_leaving="delete")
    assert "30 linked entities leave" in errors["condition"][0]
    assert change(on_leaving="delete", confirmed_leaving=30) == {}
    assert change(on_leaving="leave") == {}


def test_a_new_route_and_one_with_other_systems_get_a_condition_if_nobody_can_leave(hub: Hub) -> None:
    route = compared_route()
    other = copy_connection(route.target, "second-shop")
    values = {"source": route.source, "identity": route.identity, "mapping": route.mapping}
    new = Route(**values, target=other, entity_type="user", condition=ADULTS, deactivation={"active": False})
    new.full_clean()
    link_record("U01", "c01", Route(**values, target=other, entity_type="USER"))
    with pytest.raises(ValidationError, match="have linked records already"):
        new.full_clean()
    new.condition = ""
    new.full_clean()
    Route.objects.filter(pk=route.pk).update(condition=ADULTS)
    assert list(change(target=other)) == ["condition"]
