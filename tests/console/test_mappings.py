"""Mappings: versions, refusals, and trying out."""

import json

import pytest
from django.urls import reverse

from tests.console.settings_rows import DECLARATION, mapping
from tests.console.staff import browser, entries

pytestmark = pytest.mark.django_db


def test_a_changed_declaration_is_a_new_version_and_the_old_one_stays() -> None:
    of, client = mapping(), browser("administrator")
    other = {"fields": {"mail": {"path": "entity.email"}}}
    address = f"/admin/sync/mapping/{of.pk}/change/"
    form = {"name": "Person", "declaration": json.dumps(other), "based_on": 1}
    assert client.post(address, form).status_code == 302
    assert list(of.versions.values_list("number", "declaration")) == [(2, other), (1, DECLARATION)]
    (entry,) = entries("mapping.changed")
    assert (entry["details"]["before"]["version"], entry["details"]["after"]["version"]) == (1, 2)
    assert entry["details"]["after"]["declaration"] == other
    assert "was saved since" in client.post(address, form).content.decode()
    client.post(address, form | {"based_on": 2, "name": "Renamed"})
    assert of.versions.count() == 2


def test_an_invalid_declaration_is_refused_with_its_field() -> None:
    of = mapping()
    form = {"name": "Person", "declaration": '{"fields": {"mail": {"path": "a[["}}}', "based_on": 1}
    page = browser("administrator").post(f"/admin/sync/mapping/{of.pk}/change/", form).content.decode()
    assert "is not a JMESPath expression" in page
    assert of.versions.count() == 1


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"entity": '{"email": "ANNA@EXAMPLE.COM"}'}, "anna@example.com"),
        ({"entity": "{}"}, "email: it is required"),
        ({"entity": "{"}, "The entity is not JSON"),
        ({"entity": "[" * 100_000}, "The entity"),
        ({"webhook": "[]"}, "The webhook: an object is expected"),
        ({"declaration": '{"fields": {"x": {"constant": "unsaved"}}}'}, "unsaved"),
        ({"declaration": '{"fields": {}}'}, "between 1 and 200 fields"),
    ],
)
def test_a_declaration_is_tried_out_on_a_sample_and_nothing_is_saved(
    given: dict[str, str], shown: str
) -> None:
    of = mapping()
    page = browser("administrator").post(reverse("admin:sync_mapping_try", args=[of.pk]), given)
    trial = page.context["trial"]
    assert shown in trial.record + trial.problem
    assert of.versions.get().declaration == DECLARATION
    assert not entries("mapping.changed")


def test_a_reader_sees_the_declaration_in_force_and_cannot_change_it() -> None:
    of, client = mapping(), browser("support")
    address = f"/admin/sync/mapping/{of.pk}/change/"
    assert "entity.email" in client.get(address).content.decode()
    form = {"name": "Person", "declaration": '{"fields": {"x": {"constant": 1}}}', "based_on": 1}
    assert client.post(address, form).status_code == 403
    assert of.versions.count() == 1
