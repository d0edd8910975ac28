"""Who was erased stands in no export that is kept, and in no question that was asked."""

from typing import Any

import pytest

from audit.models import Entry
from exports.models import Export, ExportState
from exports.subject_register import exports_containing
from sync.erasure import erase as erasure_erase
from sync.erasure.erase import run_erasure
from tests.support.builders.erasure import Somebody, cells, confirmed, in_the_middle_of_an_erasure
from tests.support.builders.exports import exported, happened, history, requested

ERASED = Somebody("PXerased1", "Qvist", "zx@example.com")


@pytest.fixture
def asked(database: None) -> dict[str, Export]:
    """Exports with that person and without, one by their id, and one that waits."""
    history(2)
    happened(7, entity_id=ERASED.entity_id)
    happened(8, state="dead")
    return {
        "everything": exported(),
        "by id": exported({"entity_id": ERASED.entity_id}, reason=f"{ERASED.entity_id} asked"),
        "by a word": exported({"q": ERASED.entity_id}),
        "somebody else": exported({"state": "dead"}),
        "waiting": requested({"entity_id": ERASED.entity_id}),
    }


def left() -> set[str]:
    """The columns in which the id still stands."""
    return {name for name, value in cells() if ERASED.entity_id.lower().encode() in value.lower()}


def test_nothing_of_an_erased_person_is_left_in_exports(asked: dict[str, Export]) -> None:
    assert any(name.startswith("exports_export.") for name in left())
    assert run_erasure(confirmed(ERASED))
    assert left() == set()
    states = {name: Export.objects.get(pk=export.pk).state for name, export in asked.items()}
    assert states == {
        "everything": ExportState.EXPIRED,
        "by id": ExportState.EXPIRED,
        "by a word": ExportState.EXPIRED,
        "somebody else": ExportState.DONE,
        "waiting": ExportState.CANCELLED,
    }
    assert {name for name, export in asked.items() if export.archive.exists()} == {"somebody else"}
    made = {asked[name].pk for name in ("everything", "by id", "by a word")}
    assert {export.pk for export in exports_containing(ERASED.entity_id)} == made, (
        "who may have downloaded whom"
    )
    [entry] = Entry.objects.filter(action="subject.erased")
    assert '"exports":4' in entry.body


def test_a_variant_that_forgets_the_exports_is_caught(
    asked: dict[str, Export], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure_erase, "_run_other_erasers", lambda *_: None)
    assert run_erasure(confirmed(ERASED))
    assert left() == {"exports_export.filter", "exports_export.reason"}
    assert asked["everything"].archive.exists()


def test_what_was_exported_in_the_middle_of_an_erasure_is_forgotten_too(
    asked: dict[str, Export], settings: Any
) -> None:
    in_the_middle_of_an_erasure(
        settings, lambda: asked.update({"in the middle": exported(), "next": requested()})
    )
    erasure = confirmed(ERASED)
    assert run_erasure(erasure)
    assert left() == set()
    made, waits = (Export.objects.get(pk=asked[name].pk) for name in ("in the middle", "next"))
    assert (made.state, made.archive.exists()) == (ExportState.EXPIRED, False)
    assert waits.state == ExportState.CANCELLED
    assert erasure.counts["exports"] == 6


@pytest.mark.parametrize(
    "named", [{"words": {"entity_id": "42"}}, {"words": {"q": "42"}}, {"reason": "42 asked"}]
)
def test_an_archive_that_names_the_person_without_having_anything_of_them_goes_too(
    database: None, named: dict[str, Any]
) -> None:
    history(1)
    export = exported(**named)
    happened(7, entity_id="42")
    assert run_erasure(confirmed(Somebody("42", "Qvist", "zx@example.com")))
    export.refresh_from_db()
    assert (export.state, export.archive.exists()) == (ExportState.EXPIRED, False)


def test_an_id_within_another_one_is_somebody_else(database: None) -> None:
    history(1)
    happened(7, entity_id="1042")
    words = {"entity_id": "1042", "received_from": "2026-01-02T00:00:42Z"}
    other = exported(words, reason="1042 asked on 2026-11-26, and AB42")
    happened(8, entity_id="42")
    erasure = confirmed(Somebody("42", "Qvist", "zx@example.com"))
    assert run_erasure(erasure)
    fresh = Export.objects.get(pk=other.pk)
    assert (fresh.state, fresh.filter, fresh.reason) == (ExportState.DONE, other.filter, other.reason)
    assert "exports" not in erasure.counts


def test_an_id_in_a_reason_goes_in_whatever_case_it_was_written(asked: dict[str, Export]) -> None:
    Export.objects.filter(pk=asked["by id"].pk).update(reason=f"{ERASED.entity_id.upper()} asked")
    assert run_erasure(confirmed(ERASED))
    assert left() == set()
