"""`manage.py export_events --evidence`: the same export, with the same words, without a browser."""

import hashlib
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from integration_hub.console.exporting import choosing
from integration_hub.console.management.commands import export_events
from integration_hub.console.models import Export
from tests.console.staff import entries
from tests.exports.making import checked, happened, history, lines, unpacked
from tests.exports.test_bundles import kept


@pytest.fixture(autouse=True)
def is_one_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests has more to do."""
    monkeypatch.setattr(export_events, "stand_back", lambda: None)


def export(*words: Any) -> tuple[str, str]:
    out, said = StringIO(), StringIO()
    call_command(
        "export_events", "--evidence", "--reason", "the yearly audit", *words, stdout=out, stderr=said
    )
    return out.getvalue().strip(), said.getvalue()


def test_the_command_makes_what_the_console_makes(database: None, tmp_path: Path) -> None:
    history(3)
    happened(7, state="dead")
    path, said = export("--state", "dead", "--output", tmp_path / "copy.zip")
    made = Export.objects.get()
    assert Path(path) == tmp_path / "copy.zip"
    assert made.archive.read_bytes() == Path(path).read_bytes()
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() in said
    assert (made.requested_by, made.reason, made.filter) == (None, "the yearly audit", {"state": "dead"})
    folder = unpacked(made, tmp_path)
    kept(folder)
    assert checked(folder) == [0, 0, 0]
    assert [row["entity_id"] for row in lines(folder, "events")] == ["USR-7"]
    assert entries("export.completed")[0]["stream"] == f"export:{made.uuid}"


def test_a_command_that_fails_says_why(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="reason"):
        call_command("export_events", "--evidence")
    assert not Export.objects.exists()
    monkeypatch.setattr(choosing, "seal_audit", lambda: 0)
    with pytest.raises(CommandError, match="sealed"):
        export()
