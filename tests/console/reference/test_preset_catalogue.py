"""The catalogue of presets: searched and filtered by the address, and filled into the form of whoever may add."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from connectors.presets import PRESETS
from console.reference.preset_catalogue import IDENTITY, SOURCE, TARGET, list_entries
from tests.support.pages import text_of, visible_text
from tests.support.people import browser
from webhooks.models import Source
from webhooks.presets.source_presets import SOURCE_PRESETS

pytestmark = [pytest.mark.django_db, pytest.mark.one_database, pytest.mark.presets]

PAGE = "/admin/reference/presets/"


def shown(client: Client, query: str = "") -> list[str]:
    """Return the labels on the page."""
    return re.findall(r'<th scope="row">([^<]+)</th>', text_of(client.get(f"{PAGE}{query}")))


def test_every_preset_is_on_the_page_with_what_it_needs_and_its_documentation() -> None:
    answer = browser("support").get(PAGE)
    html = text_of(answer)
    for metadata in [*SOURCE_PRESETS.values(), *PRESETS.values()]:
        assert escape(metadata.label) in html
        assert escape(metadata.follows) in html
        if metadata.is_public_page:
            assert f'<a href="{metadata.page}" rel="noreferrer">' in html
    assert not re.search(r"\*[A-Z]", html), "no Markdown"


def test_what_both_ends_have_is_said_by_its_labels() -> None:
    client = browser("auditor")
    text = " ".join(visible_text(client.get(f"{PAGE}?q=sandbox")).split())
    assert "Provides (USER): External ID, Username, First name, Last name, E-mail" in text
    assert "Accepts (GROUP): External ID, Group name, Group description, Members" in text
    assert "It waits 3 seconds for an answer." in visible_text(client.get(f"{PAGE}?kind=source&q=okta"))


def test_the_address_searches_and_filters() -> None:
    client = browser("auditor")
    expected = {
        "?q=OKTA+handshake": ["Okta event hooks"],
        "?q=workos.com": ["WorkOS (AuthKit users)", "WorkOS events (AuthKit and Directory Sync)"],
        "?kind=identity&q=sandbox": ["Sandbox identity service"],
        "?kind=target&q=sandbox": ["Sandbox shop"],
        "?kind=source&q=trivore": ["Trivore ID"],
        "?q=nothing+like+this": [],
    }
    assert {query: shown(client, query) for query in expected} == expected
    assert len(shown(client, "?kind=../x")) == len(SOURCE_PRESETS) + len(PRESETS)


def test_a_search_without_a_result_says_so_and_repeats_nothing_as_markup() -> None:
    html = text_of(browser("support").get(f"{PAGE}?q=<script>alert(1)</script>{'x' * 500}"))
    assert "<script>alert(1)" not in html
    assert "x" * 101 not in html


def test_the_filter_keeps_the_search_and_the_search_keeps_the_filter() -> None:
    html = text_of(browser("support").get(f"{PAGE}?q=a%26b&kind=source"))
    assert 'href="?kind=target&amp;q=a%26b"' in html
    assert '<input type="hidden" name="kind" value="source">' in html
    assert re.search(r'<a class="button primary" href="\?kind=source[^"]*" aria-current="true">', html)


def test_presets_are_offered_only_with_the_permission_to_add() -> None:
    assert "?preset=" not in text_of(browser("support").get(PAGE))
    html = text_of(browser("administrator").get(PAGE))
    assert 'href="/admin/webhooks/source/add/?preset=okta-event-hooks"' in html
    assert 'href="/admin/sync/connection/add/?preset=sandbox-shop"' in html


def test_the_kind_follows_from_the_connector() -> None:
    kinds = {entry.name: entry.kind for entry in list_entries() if entry.kind != SOURCE}
    assert set(kinds) == set(PRESETS)
    expected = {"trivore": IDENTITY, "sandbox-identity": IDENTITY, "sandbox-shop": TARGET}
    assert kinds | expected == kinds


CHOSEN = "okta-event-hooks"
OTHERS = sorted(set(SOURCE_PRESETS) - {CHOSEN})


@pytest.mark.parametrize(
    "name", [CHOSEN, *(pytest.param(name, marks=pytest.mark.nightly) for name in OTHERS)]
)
def test_a_preset_fills_the_form_of_a_source_and_can_be_saved(name: str) -> None:
    client = browser("administrator")
    page = client.get(f"/admin/webhooks/source/add/?preset={name}")
    assert f'<a class="button primary" href="?preset={name}" aria-current="true">' in text_of(page)
    form, preset = page.context["adminform"].form, SOURCE_PRESETS[name]
    answer = client.post("/admin/webhooks/source/add/", typed(form) | {"name": "Sender", "slug": "sender"})
    assert answer.status_code == 302, answer.context["errors"]
    source = Source.objects.get()
    assert {field: getattr(source, field) for field in preset.copy_settings()} == preset.copy_settings()


@pytest.mark.nightly
@pytest.mark.parametrize("name", PRESETS)
def test_the_form_of_a_connection_says_what_the_preset_needs(name: str) -> None:
    text = visible_text(browser("administrator").get(f"/admin/sync/connection/add/?preset={name}"))
    metadata = PRESETS[name]
    assert metadata.label in text
    assert metadata.needs[0].partition("`")[0].strip() in text


def typed(form: Any) -> dict[str, Any]:
    """Return what a browser sends of a form as it is shown."""
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value not in (None, False)} | {
        "reason": "it joins"
    }


@pytest.mark.submission
def test_an_unknown_preset_leaves_the_form_empty() -> None:
    client = browser("administrator")
    for name in ("", "nothing", "../../secrets", "<b>"):
        page = client.get("/admin/webhooks/source/add/", {"preset": name})
        assert page.status_code == 200
        assert page.context["adminform"].form["webhook_format"].value() in ("{}", {})
        assert "<b>" not in text_of(page)
