"""The pages of exports: requested from the list, watched, downloaded, by permitted roles."""

import hashlib
import html
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from exports.jobs import lifecycle
from exports.models import Export, ExportState
from tests.support.builders.exports import (
    a_finished_export,
    a_recorded_event,
    a_recorded_history,
    a_requested_export,
    read_lines,
    save_checkpoint,
    unpack_export,
)
from tests.support.jobs import run_jobs
from tests.support.pages import text_of
from tests.support.people import browser, entries

pytestmark = pytest.mark.concurrent
LIST = "/admin/exports/export/"
NEW = f"{LIST}new/"


@pytest.mark.submission
def test_an_export_leads_from_the_button_of_the_list_to_the_archive(database: None, tmp_path: Path) -> None:
    a_recorded_history(3)
    a_recorded_event(7, state="dead")
    client = browser("auditor")
    page = text_of(client.get("/admin/webhooks/event/?state=dead"))
    assert f'<a class="button" href="{NEW}?state=dead">Export…</a>' in page
    question = client.get(f"{NEW}?state=dead")
    assert "<strong>1 event</strong>" in text_of(question)
    assert '<input type="hidden" name="state" value="dead">' in text_of(question)
    asked = client.post(NEW, {"state": "dead", "reason": "why it failed", "table": "csv"})
    assert asked.status_code == 302
    waiting = text_of(client.get(asked["Location"]))
    assert "<progress" not in waiting, "the size is not known yet"
    assert 'id="export" data-poll="3"' in waiting
    run_jobs("export")
    done = text_of(client.get(asked["Location"]))
    export = Export.objects.get()
    assert export.requested_by is not None
    assert (export.reason, export.filter) == ("why it failed", {"state": "dead"})
    assert export.sha256 in done
    assert "data-poll" not in done
    assert "1 event, 1 webhook request" in done
    answer = client.get(f"{LIST}{export.uuid}/download/")
    content = b"".join(answer.streaming_content)
    assert hashlib.sha256(content).hexdigest() == export.sha256
    assert "no-store" in answer["Cache-Control"]
    assert [row["entity_id"] for row in read_lines(unpack_export(export, tmp_path), "events")] == ["USR-7"]
    again = text_of(client.get(asked["Location"]))
    assert f"<li>{export.requested_by.get_username()}, <time" in again
    (downloaded,) = entries("export.downloaded")
    assert downloaded["details"]["sha256"] == export.sha256
    assert downloaded["actor"] == f"person:{export.requested_by.pk}"


def test_the_page_of_an_export_above_the_limit_asks_for_a_second_person(
    database: None, settings: Any
) -> None:
    settings.EXPORT_LIMIT = 2
    a_recorded_history(3)
    first, second = browser("auditor", "first"), browser("auditor", "second")
    address = first.post(NEW, {"reason": "the yearly audit", "table": "csv"})["Location"]
    run_jobs("export")
    mine, theirs = text_of(first.get(address)), text_of(second.get(address))
    assert "The export has 3 events" in mine
    assert "Can approve: second." in mine
    assert ("Approve</button>" in mine, "Withdraw" in mine) == (False, True)
    assert ("Approve</button>" in theirs, "Reject" in theirs) == (True, True)
    page = address.removesuffix("change/")
    assert "You requested this export" in text_of(first.post(f"{page}approve/", follow=True))
    assert "Nothing was changed" in text_of(second.get(f"{page}approve/", follow=True))
    assert Export.objects.get().state == ExportState.AWAITING
    assert "Approved." in text_of(second.post(f"{page}approve/", follow=True))
    run_jobs("export")
    assert Export.objects.get().state == ExportState.DONE


def test_a_relative_period_is_fixed_on_the_request_page(database: None) -> None:
    page = text_of(browser("auditor").get(f"{NEW}?received=24"))
    assert re.search(r'name="received_from" value="\d{4}-\d\d-\d\dT', page)
    assert 'name="received"' not in page.partition('class="card form" method="post"')[2]


def test_the_page_shows_the_position_of_a_running_export(database: None) -> None:
    export = a_requested_export()
    Export.objects.update(state="running", snapshot_at=timezone.now(), total=900_000, position=300_000)
    assert "300,000 of 900,000" in text_of(browser("auditor").get(f"{LIST}{export.uuid}/change/"))


@pytest.mark.submission
def test_a_reason_and_a_known_format_are_required(database: None) -> None:
    client = browser("auditor")
    for given in ({}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "y", "table": "pdf"}):
        answer = client.post(NEW, {"table": "csv"} | given)
        assert answer.status_code == 200
        assert "errorlist" in text_of(answer)
    assert not Export.objects.exists()


@pytest.mark.submission
def test_filters_that_cannot_be_used_lead_to_the_page_without_filters(database: None) -> None:
    client = browser("auditor")
    for answer in (
        client.get(f"{NEW}?received=2", follow=True),
        client.post(NEW, {"received_from": "x", "reason": "y", "table": "csv"}, follow=True),
    ):
        assert answer.redirect_chain == [(NEW, 302)]
    assert not Export.objects.exists()


@pytest.mark.submission
@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed here; .ci/run installs it")
def test_the_command_of_the_page_leaves_the_saved_checkpoint_as_it_is(database: None, tmp_path: Path) -> None:
    """A forged archive may have a file of that name next to its folder."""
    a_recorded_history(2)
    export = a_finished_export({})
    archive = tmp_path / f"{export.uuid}.zip"
    archive.write_bytes(export.archive.read_bytes())
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("kept.json", "forged")
    save_checkpoint(tmp_path / "export")
    saved = (tmp_path / "kept.json").read_bytes()
    page = text_of(browser("auditor").get(f"{LIST}{export.pk}/change/"))
    shown = re.search(r'<pre id="check-proof">(.*?)</pre>', page, re.DOTALL)
    assert shown is not None
    command = re.sub(r"unzip -q \S+", f"unzip -qo {archive.name}", html.unescape(shown[1]), count=1)
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "kept.json").read_bytes() == saved


@pytest.mark.submission
def test_the_register_answers_on_the_page_of_exports(database: None) -> None:
    a_recorded_history(2)
    a_recorded_event(7, state="dead")
    a_finished_export({"state": "dead"}, reason="only what failed")
    a_finished_export({"state": "succeeded"}, reason="only what went well")
    page = text_of(browser("auditor").get(LIST, {"q": "USR-7"}))
    assert "only what failed" in page
    assert "only what went well" not in page
    everything = text_of(browser("administrator").get(LIST))
    assert "only what went well" in everything


def test_an_export_is_cancelled_by_its_button(database: None, exports: Path) -> None:
    export = a_requested_export()
    client = browser("auditor")
    address = f"{LIST}{export.uuid}/cancel/"
    assert f'action="{address}"' in text_of(client.get(f"{LIST}{export.pk}/change/"))
    client.get(address)
    assert Export.objects.get().state != ExportState.CANCELLED
    client.post(address)
    assert Export.objects.get().state == ExportState.CANCELLED
    run_jobs("export")
    assert Export.objects.get().state == ExportState.CANCELLED
    client.post(address)
    assert len(entries("export.cancelled")) == 1


@pytest.mark.submission
def test_a_missing_or_deleted_file_is_not_offered_and_cannot_be_downloaded(database: None) -> None:
    a_recorded_history(1)
    export = a_finished_export()
    page, file = f"{LIST}{export.uuid}/change/", f"{LIST}{export.uuid}/download/"
    client = browser("auditor")
    assert file in text_of(client.get(page))
    assert file not in text_of(browser("administrator").get(page))
    export.archive.unlink()
    assert file not in text_of(client.get(page))
    Export.objects.update(expires_at=timezone.now())
    lifecycle.delete_expired_files()
    assert client.get(file, follow=True).redirect_chain
    assert not entries("export.downloaded")


def test_a_failed_export_shows_the_reason(database: None, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings.EXPORT_FOLDER = str(tmp_path / "file")
    export = a_requested_export()
    run_jobs("export")
    export.refresh_from_db()
    assert export.failure
    assert html.escape(export.failure) in text_of(browser("auditor").get(f"{LIST}{export.uuid}/change/"))


MATRIX = {
    "auditor": {"list": 200, "detail": 200, "new": 200, "ask": 302, "download": 200, "cancel": 302},
    "administrator": {"list": 200, "detail": 200, "new": 403, "ask": 403, "download": 403, "cancel": 403},
    "support": dict.fromkeys(["list", "detail", "new", "ask", "download", "cancel"], 403),
}


@pytest.mark.submission_rows(2)
@pytest.mark.promise("T25")
@pytest.mark.one_database
@pytest.mark.parametrize("role", MATRIX)
def test_each_role_has_its_own_actions_and_a_refusal_is_recorded(database: None, role: str) -> None:
    a_recorded_history(1)
    export = a_finished_export()
    client = browser(role)
    found = {
        "list": client.get(LIST),
        "detail": client.get(f"{LIST}{export.uuid}/change/"),
        "new": client.get(NEW),
        "ask": client.post(NEW, {"reason": "because", "table": "none"}),
        "download": client.get(f"{LIST}{export.uuid}/download/"),
        "cancel": client.post(f"{LIST}{export.uuid}/cancel/"),
    }
    assert {name: answer.status_code for name, answer in found.items()} == MATRIX[role]
    assert len(entries("download.refused")) == (0 if role == "auditor" else 4)
    page = client.get("/admin/webhooks/event/").content.decode()
    assert ("Export…" in page) == (role == "auditor")
    address = f"{LIST}{export.uuid}/download/"
    stranger = Client().get(address)
    assert (stranger.status_code, stranger["Location"].partition("?")[0]) == (302, "/admin/login/")
