"""The register: the exports that contain a person, without opening one, and not readable from the database alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from audit.models import Entry
from exports import subject_register
from exports.bundle import builder
from exports.models import ExportedPerson
from exports.subject_register import decrypt_register_key, exports_containing, make_pseudonym
from tests.exports.interrupted_exports import Killed, elsewhere, killed
from tests.support.builders.exports import (
    a_finished_export,
    a_recorded_event,
    a_recorded_history,
    a_requested_export,
    read_lines,
    unpack_export,
)
from tests.support.jobs import end_leases, run_jobs


def test_the_register_lists_exactly_the_exports_that_contain_a_person(database: None, tmp_path: Path) -> None:
    a_recorded_history(3)
    a_recorded_event(7, state="dead")
    everything, failed, empty = (
        a_finished_export(),
        a_finished_export({"state": "dead"}),
        a_finished_export({"source": "nowhere"}),
    )
    for entity in ("USR-1", "USR-7", "USR-99", ""):
        export_keys = {export.pk for export in exports_containing(entity)}
        holds = {
            export.pk
            for export in (everything, failed, empty)
            if any(
                row["entity_id"] == entity
                for row in read_lines(unpack_export(export, tmp_path / entity), "events")
            )
        }
        assert export_keys == holds
    assert {export.pk for export in exports_containing("USR-7")} == {everything.pk, failed.pk}


@pytest.mark.submission
def test_the_register_holds_no_name_and_uses_another_pseudonym_for_each_export(database: None) -> None:
    a_recorded_history(2)
    first, second = a_finished_export(), a_finished_export()
    stored = {bytes(pseudonym) for pseudonym in ExportedPerson.objects.values_list("pseudonym", flat=True)}
    assert len(stored) == 4
    assert make_pseudonym(decrypt_register_key(first), "USR-1") in stored
    assert decrypt_register_key(first) != decrypt_register_key(second)
    assert bytes(first.register_key) != decrypt_register_key(first)


@pytest.mark.submission
def test_every_person_in_the_files_of_an_export_is_in_the_register(
    database: None, monkeypatch: pytest.MonkeyPatch, small_chunks: None
) -> None:
    """A run that recorded its files first would, if killed in between, miss their people."""
    a_recorded_history(9)
    export = a_requested_export()
    register_people = builder.register_entities

    def killed_at_the_third(*told: Any) -> None:
        if export.people.using(told[-1]).count() >= 4:
            killed()
        register_people(*told)

    with monkeypatch.context() as patch:
        patch.setattr(builder, "register_entities", killed_at_the_third)
        with pytest.raises(Killed):
            run_jobs("export")
    end_leases()
    run_jobs("export")
    export.refresh_from_db()
    assert export.counts["events"] == export.people.count() == 9


def test_people_of_an_export_are_registered_in_small_batches(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is committed before the next is written, so that no writer waits long."""
    monkeypatch.setattr(subject_register, "_BATCH_SIZE", 2)
    export, seen = a_requested_export(), []

    def look(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith(("INSERT", "DELETE")):
            elsewhere(lambda: seen.append(ExportedPerson.objects.count()))
        return execute(sql, *more)

    with connection.execute_wrapper(look):
        for _ in range(2):
            subject_register.register_entities(
                export, decrypt_register_key(export), map(str, range(5)), "default"
            )
        subject_register.clear_register(export)
    assert seen == [0, 2, 4, 5, 3, 1]
    assert not ExportedPerson.objects.exists()


@pytest.mark.submission
def test_the_audit_log_names_a_person_of_a_filter_by_the_registers_pseudonym(database: None) -> None:
    a_recorded_history(2)
    export = a_finished_export({"entity_id": "USR-1"})
    bodies = " ".join(entry.body for entry in Entry.objects.filter(stream=export.stream))
    assert make_pseudonym(decrypt_register_key(export), "USR-1").hex() in bodies
    assert "USR-1" not in bodies
    assert json.loads(bodies.split(" ")[0])["details"]["filter"]
