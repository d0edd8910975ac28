"""The pages of exports: requested from the list, watched, downloaded, by permitted roles."""

import hashlib
import html
import re
import shutil
import subprocess
import zipfile
from datetime import timedelta
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
from tests.support.people import browser, entries, person

LIST = "/admin/exports/export/"
NEW = f"{LIST}new/"


@pytest.mark.slow
def test_an_export_leads_from_the_button_of_the_list_to_the_archive(database: None, tmp_path: Path) -> None:
    a_recorded_history(3)
    a_recorded_event(7, state="dead")
    client = browser("auditor")
    page = text_of(client.get("/admin/webhooks/event/?state=dead"))
    assert f'<a class="button" href="{NEW}?state=dead">Export…</a>' in page
    question = client.get(f"{NEW}?state=dead")
    assert "<strong>1 event</strong>" in text_of(question)
    assert ">Export 1 event</button>" in text_of(question)
    assert "Status: <strong>Failed</strong>" in text_of(question)
    assert '<a href="?state=retrying">' in text_of(question), "the filters can be changed here"
    assert '<input type="hidden" name="state" value="dead">' in text_of(question)
    asked = client.post(NEW, {"state": "dead", "reason": "why it failed", "table": "csv"})
    assert asked.status_code == 302
    waiting = text_of(client.get(asked["Location"]))
    assert "Waiting for a worker" in waiting
    assert "<progress" not in waiting, "the size is not known yet"
    assert 'id="export" data-poll="3"' in waiting
    run_jobs("export")
    done = text_of(client.get(asked["Location"]))
    export = Export.objects.get()
    assert export.requested_by is not None
    assert (export.reason, export.filter) == ("why it failed", {"state": "dead"})
    assert export.sha256 in done
    assert "refresh" not in done
    assert "Status: Failed" in done
    assert "1 event, 1 webhook request" in done
    answer = client.get(f"{LIST}{export.uuid}/download/")
    content = b"".join(answer.streaming_content)
    assert hashlib.sha256(content).hexdigest() == export.sha256
    assert "no-store" in answer["Cache-Control"]
    assert [row["entity_id"] for row in read_lines(unpack_export(export, tmp_path), "events")] == ["USR-7"]
    assert "No downloads yet." in done
    again = text_of(client.get(asked["Location"]))
    assert f"<li>{export.requested_by.get_username()}, <time" in again
    (downloaded,) = entries("export.downloaded")
    assert downloaded["details"]["sha256"] == export.sha256
    assert downloaded["actor"] == f"person:{export.requested_by.pk}"


def test_a_relative_period_is_fixed_on_the_request_page(database: None) -> None:
    page = text_of(browser("auditor").get(f"{NEW}?received=24"))
    assert re.search(r'name="received_from" value="\d{4}-\d\d-\d\dT', page)
    assert 'name="received"' not in page


def test_the_page_says_how_quickly_rows_are_written_and_how_long_it_will_take(database: None) -> None:
    export = a_requested_export()
    # So long ago that a busy machine, which needs a second for the page, changes the figures by little.
    begun = timezone.now() - timedelta(seconds=1_000)
    Export.objects.update(state="running", snapshot_at=begun, total=900_000, position=300_000)
    page = text_of(browser("auditor").get(f"{LIST}{export.uuid}/change/"))
    assert re.search(
        r"Writing rows: 300,000 of 900,000 events\. (29\d|300) events a second, about 3[345] min( \d+ s)? left\.",
        page,
    ), page


@pytest.mark.parametrize(
    "given", [{}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "y", "table": "pdf"}]
)
def test_a_reason_and_a_known_format_are_required(database: None, given: dict[str, str]) -> None:
    answer = browser("auditor").post(NEW, {"table": "csv"} | given)
    assert answer.status_code == 200
    assert "errorlist" in text_of(answer)
    assert not Export.objects.exists()


def test_filters_that_cannot_be_used_lead_to_the_page_without_filters(database: None) -> None:
    client = browser("auditor")
    for answer in (
        client.get(f"{NEW}?received=2", follow=True),
        client.post(NEW, {"received_from": "x", "reason": "y", "table": "csv"}, follow=True),
    ):
        assert answer.redirect_chain == [(NEW, 302)]
        assert "The filters in this address are invalid. Choose them again." in text_of(answer)
    assert not Export.objects.exists()


def test_the_page_of_a_new_export_belongs_to_the_exports_and_links_to_its_events(database: None) -> None:
    client = browser("auditor")
    listed = text_of(client.get(LIST))
    assert "No exports yet." in listed
    assert f'href="{NEW}"' in listed
    page = text_of(client.get(f"{NEW}?state=dead&source=aurora"))
    assert f'<a href="{LIST}">← Exports</a>' in page
    assert f'<a class="button" href="{LIST}">Cancel</a>' in page
    assert '<a href="/admin/webhooks/event/?state=dead&amp;source=aurora">Show these events</a>' in page
    whole = text_of(client.get(NEW))
    assert "The export contains the whole audit log. It proves that no event was left out." in whole
    assert '<a href="/admin/webhooks/event/?">Show these events</a>' in whole
    assert "the whole audit log of this period" in text_of(client.get(f"{NEW}?received=24"))


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed here; .ci/run installs it")
@pytest.mark.parametrize("is_broken", [False, True])
def test_the_command_of_the_page_leaves_the_saved_checkpoint_as_it_is(
    database: None, tmp_path: Path, is_broken: bool
) -> None:
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
    if is_broken:
        command = command.replace("'export/*'", "")
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is not is_broken, done.stdout + done.stderr
    assert ((tmp_path / "kept.json").read_bytes() == saved) is not is_broken


def test_the_register_answers_on_the_page_of_exports(database: None) -> None:
    a_recorded_history(2)
    a_recorded_event(7, state="dead")
    a_finished_export({"state": "dead"}, reason="only what failed")
    a_finished_export({"state": "succeeded"}, reason="only what went well")
    page = text_of(browser("auditor").get(LIST, {"q": "USR-7"}))
    assert "only what failed" in page
    assert "only what went well" not in page
    assert "1 result " in page
    everything = text_of(browser("administrator").get(LIST))
    assert "only what went well" in everything
    assert "result" not in re.sub(r'(class|id)="[^"]*"', "", everything), "no search was made"
    assert "Status: Failed" in everything


def test_an_export_is_cancelled_by_its_button(database: None, exports: Path) -> None:
    export = a_requested_export()
    client = browser("auditor")
    page = text_of(client.get(f"{LIST}{export.pk}/change/"))
    assert "Cancel this export" in page
    assert "This action needs the button. Nothing was changed; press it again." in text_of(
        client.get(f"{LIST}{export.uuid}/cancel/", follow=True)
    )
    answer = client.post(f"{LIST}{export.uuid}/cancel/", follow=True)
    assert "The export was cancelled" in text_of(answer)
    assert Export.objects.get().state == ExportState.CANCELLED
    run_jobs("export")
    assert Export.objects.get().state == ExportState.CANCELLED
    assert "had already finished" in text_of(client.post(f"{LIST}{export.uuid}/cancel/", follow=True))


def test_a_deleted_or_unfinished_export_cannot_be_downloaded(database: None) -> None:
    a_recorded_history(1)
    export, client = a_finished_export(), browser("auditor")
    Export.objects.update(expires_at=timezone.now())
    lifecycle.delete_expired_files()
    answer = client.get(f"{LIST}{export.uuid}/download/", follow=True)
    assert "The file of this export is missing" in text_of(answer)
    assert "Its files were deleted" in text_of(answer)
    assert not entries("export.downloaded")


def test_the_page_explains_why_a_finished_file_cannot_be_downloaded(database: None) -> None:
    a_recorded_history(1)
    export = a_finished_export()
    page = f"{LIST}{export.uuid}/change/"
    client = browser("auditor")
    assert "Download the archive" in text_of(client.get(page))
    export.archive.unlink()
    text = text_of(client.get(page))
    assert "Download the archive" not in text
    assert "missing from the export folder" in text
    assert (
        "Only people with the permission “Can create and download exports” can download this file."
        in text_of(browser("administrator").get(page))
    )


def test_a_failed_export_shows_the_reason(database: None, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings.EXPORT_FOLDER = str(tmp_path / "file")
    export = a_requested_export()
    run_jobs("export")
    assert "export folder cannot be written" in text_of(
        browser("auditor").get(f"{LIST}{export.uuid}/change/")
    )


def test_the_audit_log_links_to_the_export(database: None) -> None:
    export = a_requested_export()
    page = text_of(browser("auditor").get("/admin/audit/entry/?action=export.requested"))
    assert f'href="{LIST}{export.uuid}/change/"' in page
    assert "requested an export" in page


MATRIX = {
    "auditor": {"list": 200, "detail": 200, "new": 200, "ask": 302, "download": 200, "cancel": 302},
    "administrator": {"list": 200, "detail": 200, "new": 403, "ask": 403, "download": 403, "cancel": 403},
    "support": dict.fromkeys(["list", "detail", "new", "ask", "download", "cancel"], 403),
}


@pytest.mark.slow
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
    assert ("New export…" in text_of(found["list"])) == (role == "auditor")
    if role == "administrator":
        assert "Download the archive" not in found["detail"].content.decode()


def test_a_stranger_is_sent_to_the_login(database: None) -> None:
    export = a_requested_export()
    for page in (LIST, NEW, f"{LIST}{export.uuid}/change/", f"{LIST}{export.uuid}/download/"):
        assert "/admin/login/" in Client().get(page)["Location"]


def test_exports_cannot_be_added_changed_or_deleted_manually(database: None) -> None:
    export = a_requested_export()
    client = Client()
    client.force_login(person(""))
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{export.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{LIST}{export.pk}/change/").status_code == 200
    assert client.get(f"{LIST}nowhere/change/").status_code == 404
