"""Routes in the console describe their steps and the version of their mapping."""

from html import unescape

import pytest
from django.contrib.auth.models import User

from console.settings.routes.admin import policy_sentences, route_sentence
from sync.mappings.drafts import activate_version, current_version, open_draft, seen_versions
from sync.models import Mapping, MappingVersion, Route
from tests.support.builders.backtests import a_draft, a_mapping_in_use, mapping_author
from tests.support.http.connectors import make_operations
from tests.support.people import browser

pytestmark = pytest.mark.django_db

LIST = "/admin/sync/route/"
FIRST = {"fields": {"mail": {"path": "entity.mail"}}}
SECOND = {"fields": {"mail": {"path": "entity.email"}}}


def page(route: Route) -> str:
    name = f"reader-{User.objects.count()}"
    return browser("support", name).get(f"{LIST}{route.pk}/change/").content.decode()


def test_a_route_describes_its_steps_and_the_active_version() -> None:
    mapping, route = a_mapping_in_use(FIRST)
    a_draft(mapping, SECOND)
    assert f"{mapping}, version 1" in page(route)
    activate_version(
        open_draft(mapping),
        seen_versions(current_version(mapping), open_draft(mapping)),
        "why",
        mapping_author(),
    )  # type: ignore[arg-type]
    assert f"{mapping}, version 2" in browser("auditor").get(LIST).content.decode()


def test_each_policy_of_a_route_has_its_own_description() -> None:
    mapping, route = a_mapping_in_use(FIRST)
    version = current_version(mapping)
    usual = {"is_enabled": True, "relays": False, "without_match": "create", "matching": "verified"}
    usual |= {"when_deleted": "deactivate", "condition": "", "on_leaving": "leave", "reactivation": None}
    scoped = {"condition": "entity.active"}
    changes: list[dict[str, object]] = [
        {},
        {"is_enabled": False},
        {"relays": True},
        {"without_match": "refuse"},
        *({"matching": policy} for policy in ("never", "hold", "trusted")),
        *({"when_deleted": policy} for policy in ("delete", "ignore")),
        *(scoped | {"on_leaving": policy} for policy in ("leave", "deactivate", "delete", "unlink")),
        scoped | {"reactivation": {"active": True}},
    ]
    texts = set()
    for values in changes:
        Route.objects.update(**usual | values)
        route.refresh_from_db()
        texts.add((route_sentence(route, 1), *policy_sentences(route, version)))
    assert len(texts) == len(changes)
    shown = unescape(page(route))
    assert all(
        sentence in shown for sentence in (route_sentence(route, 1), *policy_sentences(route, version))
    )


def test_a_route_with_a_mapping_without_a_version_says_so() -> None:
    _, route = a_mapping_in_use(FIRST)
    Route.objects.update(mapping=Mapping.objects.create(name="Empty"))
    assert "no version yet: deliveries fail" in page(route)


@pytest.mark.submission
@pytest.mark.one_database
def test_an_impossible_entity_type_is_refused() -> None:
    _, route = a_mapping_in_use(FIRST)
    client = browser("administrator")
    for entity_type in ("bad type", "1USER", "ÄITI", "USER/1"):
        answer = client.post(f"{LIST}{route.pk}/change/", {"entity_type": entity_type})
        assert "entity_type" in answer.context["adminform"].form.errors


def test_a_route_says_whether_its_mapping_proves_links() -> None:
    mapping, route = a_mapping_in_use(FIRST)
    version = current_version(mapping)
    assert version is not None
    assert "Nothing proves" in page(route)
    fields = {**version.declaration["fields"], "external_id": {"path": "entity.id"}}
    declaration = {**version.declaration, "fields": fields, "match": {"external_id": "external_id"}}
    MappingVersion.objects.filter(pk=version.pk).update(declaration=declaration)
    assert "has to bear the external id of its entity" in page(route)


@pytest.mark.submission
def test_a_route_names_its_types_whose_deletions_nothing_proves() -> None:
    route = a_mapping_in_use(FIRST)[1]
    for connection, settings in (
        (route.identity, {"path": "/users/{id}"}),
        (route.target, make_operations()),
    ):
        connection.settings = {"entities": {"USER": settings}}
        connection.save()
    text = page(route)
    assert text.count("proves that a USER was deleted") == 2
    assert "entities.USER.list and entities.USER.probe are missing" in text
    assert "entities.USER.operations.list and entities.USER.probe are missing" in text
    Route.objects.filter(pk=route.pk).update(relays=True)
    assert page(route).count("proves that a USER was deleted") == 1, "nothing is fetched"
    Route.objects.filter(pk=route.pk).update(is_enabled=False)
    assert "was deleted:" not in page(route)
