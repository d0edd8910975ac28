"""An erased person is in no stored export, and in no stored filter."""

from typing import Any

import pytest

from audit.models import Entry
from exports.models import Export, ExportState
from exports.subject_register import exports_containing
from sync.erasure.erase import run_erasure
from tests.support.builders.erasure import (
    InventedPerson,
    confirmed_erasure,
    during_next_erasure,
    read_all_cells,
)
from tests.support.builders.exports import (
    a_finished_export,
    a_recorded_event,
    a_recorded_history,
    a_requested_export,
)
from tests.support.people import entries

ERASED = InventedPerson("PXerased1", "Qvist", "zx@example.com")


@pytest.fixture
def asked(database: None) -> dict[str, Export]:
    """Exports with that person and without, one by their id, and one that waits."""
    a_recorded_history(2)
    a_recorded_event(7, entity_id=ERASED.entity_id)
    a_recorded_event(8, state="dead")
    return {
        "everything": a_finished_export(),
        "by id": a_finished_export(
            {"entity_id": ERASED.entity_id}, reason=f"{ERASED.entity_id.upper()} asked"
        ),
        "by a word": a_finished_export({"q": ERASED.entity_id}),
        "other person": a_finished_export({"state": "dead"}),
        "waiting": a_requested_export({"entity_id": ERASED.entity_id}),
    }


def find_remaining() -> set[str]:
    """Return the columns that still contain the id."""
    return {name for name, value in read_all_cells() if ERASED.entity_id.lower().encode() in value.lower()}


@pytest.mark.promise("I19")
def test_nothing_of_an_erased_person_is_left_in_exports(asked: dict[str, Export]) -> None:
    assert any(name.startswith("exports_export.") for name in find_remaining())
    assert run_erasure(confirmed_erasure(ERASED))
    assert find_remaining() == set()
    states = {name: Export.objects.get(pk=export.pk).state for name, export in asked.items()}
    assert states == {
        "everything": ExportState.EXPIRED,
        "by id": ExportState.EXPIRED,
        "by a word": ExportState.EXPIRED,
        "other person": ExportState.DONE,
        "waiting": ExportState.CANCELLED,
    }
    assert {name for name, export in asked.items() if export.archive.exists()} == {"other person"}
    made = {asked[name].pk for name in ("everything", "by id", "by a word")}
    expired = {entry["stream"] for entry in entries("export.expired")}
    assert expired == {f"export:{export.uuid}" for export in asked.values() if export.pk in made}
    assert {export.pk for export in exports_containing(ERASED.entity_id)} == made, (
        "who may have downloaded whom"
    )
    [entry] = Entry.objects.filter(action="subject.erased")
    assert '"exports":4' in entry.body


@pytest.mark.nightly
def test_an_export_made_during_an_erasure_is_erased_too(asked: dict[str, Export], settings: Any) -> None:
    during_next_erasure(
        settings, lambda: asked.update({"in the middle": a_finished_export(), "next": a_requested_export()})
    )
    erasure = confirmed_erasure(ERASED)
    assert run_erasure(erasure)
    assert find_remaining() == set()
    made, waits = (Export.objects.get(pk=asked[name].pk) for name in ("in the middle", "next"))
    assert (made.state, made.archive.exists()) == (ExportState.EXPIRED, False)
    assert waits.state == ExportState.CANCELLED
    assert erasure.counts["exports"] == 6


@pytest.mark.submission
@pytest.mark.parametrize("named", [{"words": {"q": "42"}}, {"reason": "42 asked"}])
def test_an_archive_with_the_person_only_in_its_filter_is_deleted_too(
    database: None, named: dict[str, Any]
) -> None:
    a_recorded_history(1)
    export = a_finished_export(**named)
    a_recorded_event(7, entity_id="42")
    assert run_erasure(confirmed_erasure(InventedPerson("42", "Qvist", "zx@example.com")))
    export.refresh_from_db()
    assert (export.state, export.archive.exists()) == (ExportState.EXPIRED, False)


@pytest.mark.submission
def test_an_id_within_another_id_is_another_person(database: None) -> None:
    a_recorded_history(1)
    a_recorded_event(7, entity_id="1042")
    words = {"entity_id": "1042", "received_from": "2026-01-02T00:00:42Z"}
    other = a_finished_export(words, reason="1042 asked on 2026-11-26, and AB42")
    a_recorded_event(8, entity_id="42")
    erasure = confirmed_erasure(InventedPerson("42", "Qvist", "zx@example.com"))
    assert run_erasure(erasure)
    fresh = Export.objects.get(pk=other.pk)
    assert (fresh.state, fresh.filter, fresh.reason) == (ExportState.DONE, other.filter, other.reason)
    assert "exports" not in erasure.counts
