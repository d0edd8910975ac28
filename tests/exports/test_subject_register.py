"""The register: which exports contain somebody, told without opening one, and by nobody who has only the database."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from audit.models import Entry
from exports import subject_register
from exports.bundle import builder
from exports.models import ExportedPerson
from exports.subject_register import decrypt_register_key, exports_containing, make_pseudonym
from tests.exports.interrupted_exports import Killed, elsewhere, killed, killed_at
from tests.support.builders.exports import exported, happened, history, lines, requested, unpacked
from tests.support.jobs import end_leases, run_jobs


def test_it_tells_exactly_the_exports_that_contain_somebody(database: None, tmp_path: Path) -> None:
    history(3)
    happened(7, state="dead")
    everything, failed, nobody = exported(), exported({"state": "dead"}), exported({"source": "nowhere"})
    for entity in ("USR-1", "USR-7", "USR-99", ""):
        found = {export.pk for export in exports_containing(entity)}
        holds = {
            export.pk
            for export in (everything, failed, nobody)
            if any(row["entity_id"] == entity for row in lines(unpacked(export, tmp_path / entity), "events"))
        }
        assert found == holds
    assert {export.pk for export in exports_containing("USR-7")} == {everything.pk, failed.pk}


def test_it_holds_no_name_and_two_exports_name_somebody_differently(database: None) -> None:
    history(2)
    first, second = exported(), exported()
    stored = {bytes(each) for each in ExportedPerson.objects.values_list("pseudonym", flat=True)}
    assert len(stored) == 4
    assert make_pseudonym(decrypt_register_key(first), "USR-1") in stored
    assert decrypt_register_key(first) != decrypt_register_key(second)
    assert bytes(first.register_key) != decrypt_register_key(first)


def test_people_of_a_resumed_export_are_in_it_too(
    database: None,
    monkeypatch: pytest.MonkeyPatch,
    small_chunks: None,
) -> None:
    history(9)
    export = killed_at(monkeypatch, chunk=3)
    assert export.people.count() == 4
    run_jobs("export")
    assert export.people.count() == 9


@pytest.mark.parametrize("is_careless", [False, True])
def test_nobody_is_in_the_files_of_an_export_who_is_not_in_the_register(
    database: None,
    monkeypatch: pytest.MonkeyPatch,
    small_chunks: None,
    is_careless: bool,
) -> None:
    """Killed between the two, a run that notes its files first forgets whom they hold."""
    history(9)
    export = requested()
    register_people, notes = builder.register_entities, builder.ExportRun._save_progress

    def note_files_first(run: builder.ExportRun, sizes: dict[str, int], key: bytes = b"") -> None:
        people, run._unregistered_people = run._unregistered_people, set()
        notes(run, sizes, key)
        run._unregistered_people = people
        notes(run, sizes, key)

    def killed_at_the_third(*told: Any) -> None:
        if export.people.using(told[-1]).count() >= 4:
            killed()
        register_people(*told)

    with monkeypatch.context() as patch:
        patch.setattr(builder, "register_entities", killed_at_the_third)
        if is_careless:
            patch.setattr(builder.ExportRun, "_save_progress", note_files_first)
        with pytest.raises(Killed):
            run_jobs("export")
    end_leases()
    run_jobs("export")
    export.refresh_from_db()
    assert export.counts["events"] == 9
    assert export.people.count() == (7 if is_careless else 9)


@pytest.mark.parametrize("is_careless", [False, True])
def test_whom_an_export_contains_is_kept_a_few_at_a_time(
    database: None, monkeypatch: pytest.MonkeyPatch, is_careless: bool
) -> None:
    """Each few are committed before the next are written, so that nobody who writes waits long."""
    monkeypatch.setattr(subject_register, "_BATCH_SIZE", 2)
    export, seen = requested(), []

    def look(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith(("INSERT", "DELETE")):
            elsewhere(lambda: seen.append(ExportedPerson.objects.count()))
        return execute(sql, *more)

    with connection.execute_wrapper(look), transaction.atomic() if is_careless else nullcontext():
        for _ in range(2):
            subject_register.register_entities(
                export, decrypt_register_key(export), map(str, range(5)), "default"
            )
        subject_register.clear_register(export)
    assert seen == ([0] * 6 if is_careless else [0, 2, 4, 5, 3, 1])
    assert not ExportedPerson.objects.exists()


def test_the_audit_log_names_a_person_of_a_filter_by_the_registers_pseudonym(database: None) -> None:
    history(2)
    export = exported({"entity_id": "USR-1"})
    bodies = " ".join(Entry.objects.filter(stream=export.stream).values_list("body", flat=True))
    assert make_pseudonym(decrypt_register_key(export), "USR-1").hex() in bodies
    assert "USR-1" not in bodies
    assert json.loads(bodies.split(" ")[0])["details"]["filter"]


def test_one_look_into_an_index_answers_for_an_export(database: None) -> None:
    history(2)
    exported()
    question = ExportedPerson.objects.filter(export=1, pseudonym=b"0" * 16).explain()
    if connection.vendor == "sqlite":
        assert "SEARCH" in question
        assert "INDEX" in question
