"""The settings of a route's scope are refused where they could not be carried out, with the reason at the field."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from sync.mappings.configuration_gaps import route_gaps
from sync.models import MappingVersion, Route
from tests.support.condition_tries import a_finished_try
from tests.support.connections import change_connection
from tests.support.hub import Hub

pytestmark = pytest.mark.concurrent

DEACTIVATES = {"on_leaving": "deactivate", "deactivation": {"active": False}}


def the_route(**values: Any) -> Route:
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    for name, value in values.items():
        setattr(route, name, value)
    return route


def map_active(rule: dict[str, Any] | None) -> None:
    """Replace the rule of the field `active` in the newest mapping version."""
    version = MappingVersion.objects.get(mapping__name="Person to customer")
    fields = {name: one for name, one in version.declaration["fields"].items() if name != "active"}
    declaration = {**version.declaration, "fields": fields | ({"active": rule} if rule else {})}
    MappingVersion.objects.filter(pk=version.pk).update(declaration=declaration)


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"condition": "webhook.data.active"}, "condition", "must begin with one of: entity"),
        ({"condition": "entity.", "on_leaving": "delete"}, "condition", "cannot be read from character"),
        ({"condition": "nothing(entity)"}, "condition", "Known functions"),
        ({"condition": "linked('GROUP', entity.id) == 'g'"}, "condition", "calls linked()"),
        ({"condition": "entity.active", "relays": True}, "condition", "may be a part"),
        ({"reactivation": ["active"]}, "reactivation", "JSON object"),
        (
            {"on_leaving": "deactivate", "deactivation": {}, "when_deleted": "ignore"},
            "deactivation",
            "inactive",
        ),
        ({"on_leaving": "nothing"}, "on_leaving", "not a valid choice"),
    ],
)
def test_a_scope_that_cannot_be_carried_out_is_refused(
    hub: Hub, values: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        the_route(**values).full_clean()
    assert words in " ".join(refused.value.message_dict[field])


@pytest.mark.parametrize(
    ("rule", "is_needed"),
    [
        ({"constant": True}, False),
        ({"path": "entity.active"}, False),
        ({"path": "entity.active", "when_absent": "keep"}, True),
        ({"constant": True, "only_on_create": True}, True),
        ({"constant": True, "not_compared": True}, True),
        ({"path": "webhook.data.active"}, True),
        (None, True),
    ],
)
def test_deactivation_needs_a_reactivation_unless_the_mapping_writes_the_fields(
    hub: Hub, rule: dict[str, Any] | None, is_needed: bool
) -> None:
    map_active(rule)
    a_finished_try(the_route(), "entity.active")
    route = the_route(condition=" entity.active\n", **DEACTIVATES)
    if is_needed:
        with pytest.raises(ValidationError) as refused:
            route.full_clean()
        assert list(refused.value.message_dict) == ["reactivation"]
        route.reactivation = {"active": True}
    route.full_clean()
    assert route.condition == "entity.active"


def test_a_route_without_a_scope_may_relay_and_needs_no_reactivation(hub: Hub) -> None:
    the_route(relays=True, compare_every_hours=None).full_clean()
    a_finished_try(the_route(), "entity.active")
    the_route(on_leaving="unlink", condition="entity.active").full_clean()


@pytest.mark.parametrize(
    ("values", "removed", "field"),
    [
        ({"on_leaving": "delete"}, "delete", "target"),
        ({"on_leaving": "deactivate"}, "fields", "deactivation"),
        ({"reactivation": {"active": True, "back": True}}, "fields", "reactivation"),
    ],
)
def test_a_target_that_could_not_carry_it_out_is_found(
    hub: Hub, values: dict[str, Any], removed: str, field: str
) -> None:
    """Holds the settings of the target for those who leave and come back, beside those for deleted entities."""
    route = the_route(when_deleted="ignore", **values)
    operations = route.target.settings["entities"]["USER"]["operations"]
    if removed == "delete":
        del operations["delete"]
    else:
        operations["update"]["body"] = {"email": "fields.email"}
    change_connection(route.target, settings=route.target.settings)
    assert field in [name for name, _ in route_gaps(route)]
