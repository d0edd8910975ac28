"""Downloads: the content of the list, safe in a spreadsheet, recorded in the audit log with its hash."""

import csv
import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from audit.export.line_formats import csv_lines, neutralize_formula
from sync.models import PersonRequestMember
from tests.support.builders.history import NOON, a_replay
from tests.support.people import browser, entries, event, person, source
from webhooks.models import Event, Receipt, Source, State

FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\tx", "\rx", "＝1", "＋1", "－1", "＠x",
    " =1", '"=1', "'=1", ";=1", ",=1", "\u200b=1", "\ufeff=1", "\x00=1", "“=1", "−1",
]  # fmt: skip


@pytest.mark.promise("I18", "T26")
def test_no_cell_of_a_csv_is_a_formula() -> None:
    lines = "".join(csv_lines(["a"], [[text] for text in FORMULAS]))
    _header, *cells = csv.reader(io.StringIO(lines, newline=""))
    assert cells == [[f"'{text}"] for text in FORMULAS]


def test_a_harmless_text_is_unchanged() -> None:
    harmless = ["", "plain", "a=b", "anna@example.com", "1-2", "O'Neill", "ä"]
    assert [neutralize_formula(text) for text in harmless] == harmless


def test_a_csv_can_be_read_back_by_rfc_4180() -> None:
    row = ['say "hi", now', "two\r\nlines", None, True, 7, [{"a": 1}]]
    lines = "".join(csv_lines(list("abcdef"), [row]))
    assert list(csv.reader(io.StringIO(lines, newline="")))[1] == [
        'say "hi", now', "two\r\nlines", "", "true", "7", '[{"a":1}]'
    ]  # fmt: skip
    assert lines.endswith("\r\n")


def downloaded(client: Client, address: str) -> bytes:
    answer = client.get(address)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Disposition"].startswith("attachment; ")
    return b"".join(answer.streaming_content)


@pytest.mark.django_db
def test_the_file_holds_exactly_the_filtered_list() -> None:
    of = source()
    dead = event(of, state=State.DEAD, code="target-rejected", entity_id="U7")
    event(of)
    Receipt.objects.create(
        source=of,
        event=dead,
        verified_by="none",
        size=9,
        received_at=dead.received_at,
        status=422,
        code="target-rejected",
    )
    rows = (
        downloaded(browser("auditor"), "/admin/webhooks/event/download/jsonl?state=dead")
        .decode()
        .splitlines()
    )
    (row,) = (json.loads(line) for line in rows)
    assert row["reference"] == dead.reference
    assert (row["source"], row["entity_id"], row["state"], row["code"]) == (
        "crm",
        "U7",
        "dead",
        "target-rejected",
    )
    assert row["body_sha256"] == "07" * 32
    assert [(told["status"], told["code"]) for told in row["answers"]] == [(422, "target-rejected")]
    # An answer without its time is damaged, so each cell is read as it is stored: null remains null.
    assert [told["at"] for told in row["answers"]] == [None]
    assert (row["event_id"], row["occurred"], row["requested_by"]) == (None, None, None)
    assert row["attempts"] == 0


@pytest.mark.django_db
def test_a_download_is_recorded_at_its_start_and_with_rows_and_hash_at_its_end() -> None:
    event(source())
    client = browser("auditor")
    body = downloaded(client, "/admin/webhooks/event/download/csv?state=succeeded")
    (started,), (finished,) = entries("download.started"), entries("download.finished")
    assert started["details"]["filters"] == {"state": "succeeded"}
    assert started["details"]["download"] == finished["details"]["download"]
    assert finished["details"]["rows"] == 1
    assert finished["details"]["bytes"] == len(body)
    assert finished["details"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert finished["actor"] == started["actor"] != "system"


@pytest.mark.django_db
def test_an_aborted_download_is_recorded_as_interrupted() -> None:
    of = source()
    for _ in range(600):
        event(of)
    answer = browser("auditor").get("/admin/webhooks/event/download/csv")
    next(iter(answer.streaming_content))
    answer._iterator.close()  # as a server does when the reader has gone; `close()` would end the connection
    (entry,) = entries("download.interrupted")
    assert 0 < entry["details"]["rows"] < 600
    assert not entries("download.finished")


@pytest.mark.django_db
def test_a_searched_text_that_may_be_an_address_is_not_logged() -> None:
    downloaded(browser("auditor"), "/admin/webhooks/event/download/csv?q=anna@example.com")
    assert entries("download.started")[0]["details"]["filters"] == {"q": "withheld"}


@pytest.mark.django_db
def test_the_audit_log_is_downloaded_with_its_stored_text() -> None:
    client = browser("auditor")
    rows = (
        downloaded(client, "/admin/audit/entry/download/jsonl?action=person.logged-in").decode().splitlines()
    )
    (row,) = (json.loads(line) for line in rows)
    assert json.loads(row["body"]) == entries("person.logged-in")[0]


@pytest.mark.django_db
def test_an_unknown_format_is_not_found_and_a_wrong_filter_is_refused() -> None:
    client = browser("auditor")
    assert client.get("/admin/audit/entry/download/xlsx").status_code == 404
    assert client.get("/admin/audit/entry/download/csv?details__contains=a").status_code == 400


@pytest.mark.django_db
def test_the_command_writes_the_filtered_history_to_a_file_atomically(tmp_path: Path) -> None:
    of = source()
    event(of, entity_id="U7")
    event(of)
    file = tmp_path / "history.csv"
    call_command("export_events", entity_id="U7", format="csv", output=file)
    rows = list(csv.DictReader(file.open(newline="", encoding="utf-8")))
    assert [row["entity_id"] for row in rows] == ["U7"]
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
    (finished,) = entries("download.finished")
    assert finished["details"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert finished["details"]["filters"] == {"entity_id": "withheld"}
    with pytest.raises(CommandError, match="is a folder"):
        call_command("export_events", format="csv", output=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


@pytest.mark.django_db
def test_the_audit_command_writes_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    browser("auditor")
    call_command("export_audit", "--action=person.logged-in", "--since=2026-01-01")
    (line,) = capfdbinary.readouterr().out.splitlines()
    assert json.loads(line)["action"] == "person.logged-in"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--action=nosuch"], "nosuch"),
        (["--since=2026-02-01", "--until=2026-01-01"], "is empty"),
    ],
)
def test_the_audit_command_refuses_an_invalid_filter(words: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        call_command("export_audit", *words)
    assert entries("download.started") == []


@pytest.mark.nightly
@pytest.mark.concurrent
def test_a_download_blocks_no_writer_and_shows_no_later_rows(database: None) -> None:
    of = source()
    for _ in range(600):
        event(of)
    answer = browser("auditor").get("/admin/webhooks/event/download/jsonl")
    pieces = iter(answer.streaming_content)
    first = next(pieces)
    with ThreadPoolExecutor(1) as other:
        other.submit(write_on_another_connection, of.pk).result(timeout=60)
    assert len((first + b"".join(pieces)).splitlines()) == 600
    assert Event.objects.count() == 601
    assert entries("download.finished")[0]["details"]["rows"] == 600


def write_on_another_connection(source_pk: int) -> None:
    """Create an event that another connection commits."""
    event(Source.objects.get(pk=source_pk))
    connection.close()


@pytest.mark.django_db
def test_a_list_above_the_limit_is_no_file_and_leads_to_an_export(settings: Any) -> None:
    """Holds that no download has more rows with values than an export that nobody else approved."""
    settings.EXPORT_LIMIT = 2
    client, of = browser("auditor"), source()
    replay = a_replay(person("administrator"), frozen_at=NOON)
    members = f"/admin/sync/personrequest/{replay.uuid}/events/?format=csv"
    for number in range(3):
        PersonRequestMember.objects.create(
            person_request=replay, event=event(of, entity_id=f"U{number}"), at=NOON
        )
        if number == 1:
            assert downloaded(client, "/admin/webhooks/event/download/jsonl").count(b"\n") == 2
            assert b"".join(client.get(members).streaming_content).count(b"\r\n") == 3
    for address in ("/admin/webhooks/event/download/jsonl?source=crm", members):
        page = client.get(address, follow=True)
        assert page.redirect_chain
        assert "one person may download at most 2 rows" in page.content.decode()
    assert downloaded(client, "/admin/webhooks/event/download/csv?q=U2").count(b"\r\n") == 2
    assert downloaded(client, "/admin/audit/entry/download/jsonl"), "the audit log names nobody"


@pytest.mark.django_db
def test_each_row_of_a_downloaded_file_names_the_requester() -> None:
    client, auditor = Client(), person("auditor")
    client.force_login(auditor)
    replay = a_replay(person("administrator"), frozen_at=NOON)
    PersonRequestMember.objects.create(person_request=replay, event=event(source()), at=NOON)
    who = f"person:{auditor.pk}"
    for address in ("webhooks/event/download/jsonl", "audit/entry/download/jsonl"):
        rows = downloaded(client, f"/admin/{address}").decode().splitlines()
        assert {json.loads(row)["exported_by"] for row in rows} == {who}
    csvs = ("webhooks/event/download/csv", f"sync/personrequest/{replay.uuid}/events/?format=csv")
    for text in (b"".join(client.get(f"/admin/{address}").streaming_content).decode() for address in csvs):
        assert [row["exported_by"] for row in csv.DictReader(io.StringIO(text, newline=""))] == [who]
