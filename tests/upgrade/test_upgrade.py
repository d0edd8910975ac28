"""The databases of earlier releases, upgraded to the head: what people and machines did with them goes on.

Nothing in them ages: the tests name outcomes, never times. Each is used once, by a process of its own, whose outcomes the
tests below look at. What no other test holds: rows, secrets, audit entries and exports that an earlier release wrote.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.database.template_database import RUN_FOLDER, is_postgresql
from tests.upgrade.past_events import OPEN
from tests.upgrade.processes import examine
from tests.upgrade.releases import StoredHub, restored_copy, stored_hubs
from tests.upgrade.used_hub import describe_schema
from webhooks.models import State

pytestmark = [pytest.mark.concurrent, *([pytest.mark.submission] if is_postgresql() else [])]


@pytest.fixture(scope="module", params=stored_hubs(), ids=lambda hub: hub.release.name)
def stored(request: pytest.FixtureRequest) -> StoredHub:
    return request.param


@pytest.fixture(scope="module")
def upgraded(stored: StoredHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the outcomes of a copy that was upgraded and used, once for all processes of this run."""
    folder = tmp_path_factory.mktemp("upgrade")
    outcomes = Path(os.environ[RUN_FOLDER], f"upgraded-{stored.release.name}.json")
    with outcomes.open("a+") as file:
        # Released when the file is closed, also by a process that dies: the next one then makes them.
        fcntl.flock(file, fcntl.LOCK_EX)
        if not outcomes.stat().st_size:
            with restored_copy(stored, folder) as url:
                outcomes.write_text(json.dumps(examine(stored, folder, url)))
        return json.loads(outcomes.read_text())


@pytest.mark.django_db
def test_an_upgraded_database_has_what_a_new_one_has(upgraded: dict[str, Any]) -> None:
    """A table that SQLite rebuilds loses its triggers, for example."""
    assert upgraded["schema"] == json.loads(json.dumps(describe_schema()))


def test_every_page_opens(upgraded: dict[str, Any]) -> None:
    pages = upgraded["pages"]
    assert {status for answers in pages.values() for status in answers.values()} <= {200, 404}
    assert [route for route, answers in pages.items() if 200 not in answers.values()] == []
    assert len(pages) > 70


def test_open_deliveries_end(upgraded: dict[str, Any]) -> None:
    """Retries, deliveries whose process died, and those that wait for them; what a person has to decide stays."""
    ended = upgraded["open"]["ended"]
    assert {name: [before for person, before, _ in ended if person == name] for name in OPEN} == OPEN
    assert {after for person, _, after in ended if person in OPEN} <= {"succeeded", "unchanged", "superseded"}
    assert {after for _, before, after in ended if before == "held"} == {"held"}
    emails = upgraded["open"]["emails"]
    assert [emails[person] for person in OPEN] == [f"{person.lower()}@open.example.com" for person in OPEN]


def test_the_audit_log_and_the_rows_have_no_fault_and_agree_with_an_earlier_checkpoint(
    upgraded: dict[str, Any],
) -> None:
    status, text = upgraded["verify_audit"]
    assert status == 0, text
    assert "The rows about events agree with the entries." in text
    assert "No outside checkpoint" not in text


def test_exports_verify_with_the_programs_of_the_other_release(upgraded: dict[str, Any]) -> None:
    """The present ones verify the earlier export; the earlier ones a present export, or they say that its format needs a
    newer program.
    """
    for name, (status, text) in upgraded["exports"].items():
        says_what_it_needs = name.startswith("earlier") and "which needs the program of a newer hub" in text
        assert status == 0 or says_what_it_needs, f"{name}: {text}"


def test_a_database_that_a_newer_release_upgraded_is_refused(upgraded: dict[str, Any]) -> None:
    assert "upgraded by Integration Hub 99.0.0" in upgraded["refusal"]
    assert "does not know sync.9999_later. Run version 99.0.0, or restore a backup" in upgraded["refusal"]


def test_a_stored_database_has_events_of_every_kind(upgraded: dict[str, Any]) -> None:
    assert sum(upgraded["events"].values()) >= 500
    assert set(upgraded["events"]) >= {state.value for state in State} - {"running"}
