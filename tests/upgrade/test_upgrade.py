"""The databases of earlier releases, upgraded to the head: what people and machines did with them goes on.

Nothing in them ages: outcomes are named, never times. Each is used once, by a process of its own. What no other test holds:
rows, secrets, audit entries and exports that an earlier release wrote.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.database.template_database import is_postgresql
from tests.upgrade.past_events import OPEN
from tests.upgrade.processes import examine
from tests.upgrade.releases import StoredHub, restored_copy, stored_hubs
from tests.upgrade.used_hub import describe_schema
from webhooks.models import State

pytestmark = [pytest.mark.concurrent, *([pytest.mark.submission] if is_postgresql() else [])]


def has_what_a_new_database_has(upgraded: dict[str, Any]) -> None:
    """A table that SQLite rebuilds loses its triggers, for example."""
    assert upgraded["schema"] == json.loads(json.dumps(describe_schema()))


def opens_every_page(upgraded: dict[str, Any]) -> None:
    pages = upgraded["pages"]
    assert {status for answers in pages.values() for status in answers.values()} <= {200, 404}
    assert [route for route, answers in pages.items() if 200 not in answers.values()] == []
    assert len(pages) > 70


def ends_open_deliveries(upgraded: dict[str, Any]) -> None:
    """Retries, deliveries whose process died, and those that wait for them; what a person has to decide stays."""
    ended = upgraded["open"]["ended"]
    assert {name: [before for person, before, _ in ended if person == name] for name in OPEN} == OPEN
    assert {after for person, _, after in ended if person in OPEN} <= {"succeeded", "unchanged", "superseded"}
    assert {after for _, before, after in ended if before == "held"} == {"held"}
    emails = upgraded["open"]["emails"]
    assert [emails[person] for person in OPEN] == [f"{person.lower()}@open.example.com" for person in OPEN]


def verifies_as_at_an_earlier_checkpoint(
    upgraded: dict[str, Any],
) -> None:
    status, text = upgraded["verify_audit"]
    assert status == 0, text
    assert "The rows about events agree with the entries." in text
    assert "No outside checkpoint" not in text


def verifies_exports_with_the_programs_of_the_other_release(upgraded: dict[str, Any]) -> None:
    """The present ones verify the earlier export; the earlier ones a present export, or they say that its format needs a
    newer program.
    """
    for name, (status, text) in upgraded["exports"].items():
        says_what_it_needs = name.startswith("earlier") and "which needs the program of a newer hub" in text
        assert status == 0 or says_what_it_needs, f"{name}: {text}"


def is_refused_once_a_newer_release_upgraded_it(upgraded: dict[str, Any]) -> None:
    assert "upgraded by Integration Hub 99.0.0" in upgraded["refusal"]
    assert "does not know sync.9999_later. Run version 99.0.0, or restore a backup" in upgraded["refusal"]


def had_events_of_every_kind(upgraded: dict[str, Any]) -> None:
    assert sum(upgraded["events"].values()) >= 500
    assert set(upgraded["events"]) >= {state.value for state in State} - {"running"}


@pytest.mark.django_db
@pytest.mark.parametrize("stored", stored_hubs(), ids=lambda hub: hub.release.name)
def test_a_database_of_an_earlier_release_goes_on(stored: StoredHub, tmp_path: Path) -> None:
    """One test: all that it looks at is left by one run, which takes seconds."""
    with restored_copy(stored, tmp_path) as url:
        upgraded = examine(stored, tmp_path, url)
    had_events_of_every_kind(upgraded)
    has_what_a_new_database_has(upgraded)
    opens_every_page(upgraded)
    ends_open_deliveries(upgraded)
    verifies_as_at_an_earlier_checkpoint(upgraded)
    verifies_exports_with_the_programs_of_the_other_release(upgraded)
    is_refused_once_a_newer_release_upgraded_it(upgraded)
