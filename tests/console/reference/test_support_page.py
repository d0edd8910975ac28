"""The help for support: shown in the console, in the words of the console."""

import re
from pathlib import Path

import pytest

from console.navigation import MENU
from console.reference.support_page import load_help_page
from console.ui.outcome_texts import state_name
from tests.support.people import browser
from webhooks.models import State

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "support.md"
PAGE_TEXTS = ROOT / "tests" / "console" / "page_texts"


def strong_words() -> list[str]:
    """Return what the document prints in bold: the names of statuses, pages, buttons and fields of the console."""
    return re.findall(r"\*\*([^*]+)\*\*", DOCUMENT.read_text("utf-8"))


@pytest.mark.pure
def test_the_first_table_of_the_help_has_each_status_by_its_name() -> None:
    table = DOCUMENT.read_text("utf-8").partition("| Status |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| \*\*([^*]+)\*\*", table, re.MULTILINE) == [state_name(state) for state in State]


@pytest.mark.pure
def test_the_help_names_only_what_the_console_shows() -> None:
    """Buttons with a number match with any number."""
    shown = "\n".join(path.read_text("utf-8") for path in PAGE_TEXTS.glob("*.txt"))
    shown += "\n" + "\n".join(str(entry.name) for _group, entries in MENU for entry in entries)
    shown = re.sub(r"\d+", "1", shown)
    words = {re.sub(r"\d+", "1", word) for word in strong_words()}
    assert len(words) > 20
    unknown = [word for word in sorted(words) if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", shown)]
    assert unknown == []


@pytest.mark.django_db
@pytest.mark.one_database
def test_each_page_of_the_console_leads_to_the_help() -> None:
    client = browser("support")
    assert 'href="/admin/help/"' in client.get("/admin/webhooks/event/").content.decode()
    page = client.get("/admin/help/").content.decode()
    for section in load_help_page().sections:
        assert f'id="{section.anchor}"' in page
    assert "<td><strong>Held for approval</strong></td>" in page
    assert "style=" not in page.partition('<div class="help">')[2]
    assert "**" not in page
