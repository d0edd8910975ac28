"""What the pages of the console say to each role: reviewed as files in `page_texts/`, one for the pages of a model.

A page has the text for a person who has all roles, then for each role how it differs. Texts that are made from
declarations (fields of settings, the reference) are left out.
"""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.console.page_text import differing_lines, page_text
from tests.console.route_table import ROLES, address_of, pages_of
from tests.support.builders.page_rows import fixed_clock, page_rows
from tests.support.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

FOLDER = Path(__file__).with_name("page_texts")
COMMAND = "HUB_WRITE_PAGE_TEXTS=1 pytest tests/console/test_page_texts.py"
# Before the text of each page.
TITLE = re.compile(r"^=== (\w+)\n", re.MULTILINE)
EVERY_ROLE = "administrator+auditor+support"
STATES = (
    *("retrying", "held", "succeeded", "unchanged", "pending", "running", "closed", "superseded"),
    *("ignored", "moved", "filtered"),
)
# Made from declarations, presets and a document; and scripts and files.
LEFT_OUT = tuple(
    f"admin/{route}"
    for route in (
        "connect/",
        "help/",
        "jsi18n/",
        "login/",
        "reference/<",
        "reference/p",
        "reference/s",
        "audit/entry/d",
        "sync/comparison/<uuid:key>/change/d",
        "webhooks/event/d",
    )
)


def addresses(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a name and the address of each page, of some pages in several states."""
    for route in pages_of(*ROLES):
        name = re.sub(r"<[^>]*>/?", "", route.removeprefix("admin/")).strip("/").replace("/", "_") or "index"
        if not route.startswith(LEFT_OUT):
            yield name, address_of(route, found)
    for state in STATES:
        yield f"webhooks_event_change_{state}", f"/admin/webhooks/event/{found[state].pk}/change/"
    for replay in ("finished", "retried", "awaiting", "approval"):
        yield f"sync_personrequest_change_{replay}", f"/admin/sync/personrequest/{found[replay].pk}/change/"
    route, identity = found["sync_route"], found["identity"]
    subject = f"type=USER&id=USR-1&identity={identity.pk}&target={route.target_id}"
    yield "sync_personrequest_members_finished", f"/admin/sync/personrequest/{found['finished'].uuid}/events/"
    yield "sync_personrequest_approvals", "/admin/sync/personrequest/?kind=approval"
    comparison = f"/admin/sync/comparison/{found['sync_comparison'].uuid}"
    for name in ("running", "failed"):
        one = found[f"{name}_comparison"]
        yield f"sync_comparison_change_{name}", f"/admin/sync/comparison/{one.uuid}/change/"
    for name in ("condition_try", "failed_condition_try", "running_condition_try"):
        yield f"sync_route_{name}", f"/admin/sync/route/{route.pk}/condition/{found[name].uuid}/"
    yield "sync_comparison_difference_one", f"{comparison}/difference/{found['difference'].pk}/"
    yield "sync_comparison_match_one", f"{comparison}/match/{found['matched'].pk}/"
    yield "sync_connection_change_identity", f"/admin/sync/connection/{identity.pk}/change/"
    yield "webhooks_entity_one", "/admin/webhooks/entity/?type=USER&id=USR-1"
    yield "webhooks_entity_link_one", f"/admin/webhooks/entity/link/?{subject}"
    captured = found["captured"]
    yield "webhooks_source_captured_request", f"/admin/webhooks/source/1/capture/{captured.pk}/"
    yield "webhooks_event_empty", "/admin/webhooks/event/?state=superseded&entity_id=NOBODY"
    yield "webhooks_event_invalid", "/admin/webhooks/event/?received=2"


def read_pages() -> dict[str, str]:
    """Return the contents of the files, by the name of the page."""
    with fixed_clock():
        found, clients = page_rows(), {}
        for role in (EVERY_ROLE, *ROLES):
            clients[role] = Client(raise_request_exception=False)
            clients[role].force_login(person(role, f"reader-{role.replace('+', '-')}"))
        pages = {name: text_of_all(clients, address) for name, address in addresses(found)}
    return {name: text for name, text in pages.items() if text}


def text_of_all(clients: dict[str, Client], address: str) -> str:
    """Return the text of a page for all roles, empty if the address is that of no page."""
    answers = {role: client.get(address) for role, client in clients.items()}
    if answers[EVERY_ROLE].status_code != 200:
        return ""
    usual = page_text(answers[EVERY_ROLE].content.decode())
    lines = list(usual)
    for role in ROLES:
        if answers[role].status_code == 200:
            differing = differing_lines(page_text(answers[role].content.decode()), usual)
        else:
            differing = [f"status {answers[role].status_code}"]
        lines += ["", f"[{role}]", *differing] if differing else []
    return "\n".join(lines) + "\n"


@pytest.mark.submission
def test_the_text_of_each_page_is_the_reviewed_one() -> None:
    pages = read_pages()
    if os.environ.get("HUB_WRITE_PAGE_TEXTS"):
        write_files(pages)
    reviewed = read_files()
    differences = [
        line
        for name in sorted({*pages, *reviewed})
        for line in difflib.unified_diff(
            reviewed.get(name, "").splitlines(),
            pages.get(name, "").splitlines(),
            name,
            name,
            "reviewed",
            "now",
            1,
            "",
        )
    ]
    assert not differences, "\n".join([*differences, f"Write the files anew and review them: {COMMAND}"])


def read_files() -> dict[str, str]:
    """Return the reviewed texts, by the name of the page."""
    parts = [re.split(TITLE, path.read_text("utf-8"))[1:] for path in sorted(FOLDER.glob("*.txt"))]
    return {name: text for part in parts for name, text in zip(part[::2], part[1::2], strict=True)}


def write_files(pages: dict[str, str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    for name, text in sorted(pages.items()):
        with (FOLDER / f"{'_'.join(name.split('_')[:2])}.txt").open("a", encoding="utf-8") as file:
            file.write(f"=== {name}\n{text}")
