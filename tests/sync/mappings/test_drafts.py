"""Drafts of mappings: no one's work is lost, and no delivery uses a draft before its activation."""

import json
from typing import Any

import pytest
from django.db import IntegrityError

from sync.deliveries.routes import resolved_routes
from sync.mappings.drafts import (
    DeclarationText,
    MappingChangedMeanwhile,
    MappingChangeRefused,
    SeenVersions,
    activate_version,
    current_version,
    discard_draft,
    open_draft,
    save_draft,
    seen_versions,
)
from sync.models import Mapping, MappingDraft
from tests.support.builders.backtests import a_draft, a_mapping_in_use, mapping_author
from tests.support.people import entries

pytestmark = pytest.mark.django_db

FIRST = {"fields": {"mail": {"path": "entity.mail"}}}
SECOND = {"fields": {"mail": {"path": "entity.email"}}}
THIRD = {"fields": {"mail": {"path": "entity.address"}}}


def read_seen_versions(mapping: Mapping) -> SeenVersions:
    return seen_versions(current_version(mapping), open_draft(mapping))


def declaration_text(declaration: Any) -> DeclarationText:
    return DeclarationText(declaration, json.dumps(declaration))


def in_use(route: Any) -> Any:
    resolved_routes.invalidate()
    version = resolved_routes()[route.pk].mapping_version
    return version and version.declaration


def test_no_delivery_uses_a_draft_before_its_activation() -> None:
    mapping, route = a_mapping_in_use(FIRST)
    draft = a_draft(mapping, SECOND)
    with pytest.raises(MappingChangeRefused, match="Enter a reason"):
        activate_version(draft, read_seen_versions(mapping), "  \n ", mapping_author())
    assert (in_use(route), mapping.current_version().number) == (FIRST, 1)
    version = activate_version(draft, read_seen_versions(mapping), "the field was renamed", mapping_author())
    assert (in_use(route), mapping.current_version()) == (SECOND, version)
    assert (version.number, version.note, version.reason, version.made_by) == (
        2,
        "a note",
        "the field was renamed",
        mapping_author().user,
    )
    draft.refresh_from_db()
    assert (draft.state, draft.version, open_draft(mapping)) == ("activated", version, None)
    (entry,) = entries("mapping.activated")
    assert (entry["details"]["before"]["version"], entry["details"]["after"]["version"]) == (1, 2)
    assert entry["details"]["after"]["declaration"] == SECOND


def test_restoring_a_version_creates_a_new_version_with_its_rules() -> None:
    mapping, route = a_mapping_in_use(FIRST)
    first = mapping.current_version()
    activate_version(a_draft(mapping, SECOND), read_seen_versions(mapping), "try it", mapping_author())
    version = activate_version(first, read_seen_versions(mapping), "it was wrong", mapping_author())
    assert (version.number, version.restores, in_use(route)) == (3, first, FIRST)
    with pytest.raises(MappingChangeRefused, match="has the same rules"):
        activate_version(first, read_seen_versions(mapping), "again", mapping_author())


def test_the_second_of_two_saves_gets_the_text_of_the_first() -> None:
    mapping, _ = a_mapping_in_use(FIRST)
    seen = read_seen_versions(mapping)
    first = save_draft(mapping, declaration_text(SECOND), "", seen, mapping_author("anna"))
    with pytest.raises(MappingChangedMeanwhile) as error:
        save_draft(mapping, declaration_text(THIRD), "", seen, mapping_author("ben"))
    assert (error.value.draft, error.value.draft.made_by.username) == (first, "anna")  # type: ignore[union-attr]
    assert open_draft(mapping) == first
    assert len(entries("mapping.drafted")) == 1


def test_activating_an_outdated_draft_is_refused() -> None:
    mapping, route = a_mapping_in_use(FIRST)
    draft = a_draft(mapping, SECOND)
    seen = read_seen_versions(mapping)
    newer = a_draft(mapping, THIRD)
    with pytest.raises(MappingChangedMeanwhile):
        activate_version(draft, seen, "as reviewed", mapping_author())
    activate_version(newer, read_seen_versions(mapping), "as reviewed", mapping_author())
    with pytest.raises(MappingChangeRefused, match="no longer exists"):
        activate_version(draft, read_seen_versions(mapping), "as reviewed", mapping_author())
    assert in_use(route) == THIRD
    assert mapping.versions.count() == 2


def test_a_draft_that_is_saved_again_is_replaced_and_one_that_is_discarded_is_kept_as_history() -> None:
    mapping, _ = a_mapping_in_use(FIRST)
    first, second = a_draft(mapping, SECOND), a_draft(mapping, THIRD)
    discard_draft(second, mapping_author())
    assert dict(MappingDraft.objects.values_list("pk", "state")) == {
        first.pk: "replaced",
        second.pk: "discarded",
    }
    with pytest.raises(MappingChangeRefused):
        discard_draft(second, mapping_author())
    assert len(entries("mapping.discarded")) == 1


def test_an_unchanged_draft_is_not_saved() -> None:
    mapping, _ = a_mapping_in_use(FIRST)
    with pytest.raises(MappingChangeRefused):
        save_draft(
            mapping,
            DeclarationText(FIRST, mapping.current_version().declaration_text),
            "",
            read_seen_versions(mapping),
            mapping_author(),
        )
    assert not MappingDraft.objects.exists()


def test_a_mapping_has_one_open_draft() -> None:
    mapping, _ = a_mapping_in_use(FIRST)
    draft = a_draft(mapping, SECOND)
    draft.pk = None
    with pytest.raises(IntegrityError):
        draft.save(force_insert=True)
