"""Who was erased stands in no export that is kept, and in no question that was asked."""

import pytest

from audit.models import Entry
from integration_hub.console.exporting.register import exports_with
from integration_hub.console.models import Export, ExportState
from sync import erasing
from sync.erasing import erase
from tests.erasure import Somebody, cells, confirmed
from tests.exports.making import exported, happened, history, requested

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
    assert any(name.startswith("console_export.") for name in left())
    assert erase(confirmed(ERASED))
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
    assert {export.pk for export in exports_with(ERASED.entity_id)} == made, "who may have downloaded whom"
    [entry] = Entry.objects.filter(action="subject.erased")
    assert '"exports":4' in entry.body


def test_a_variant_that_forgets_the_exports_is_caught(
    asked: dict[str, Export], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "_erase_elsewhere", lambda _: erasing.Counter())
    assert erase(confirmed(ERASED))
    assert left() == {"console_export.filter", "console_export.reason"}
    assert asked["everything"].archive.exists()
