"""Every page: without complaints of the browser, and not wider than a phone."""

import re
from urllib.parse import parse_qsl, urldefrag, urlsplit

import pytest
from django.utils import timezone

from exports.jobs.lifecycle import request_export
from sync.search.event_filter import resolve_filter
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Source

pytestmark = pytest.mark.nightly

WIDTHS = (390, 320, 768, 1024, 1280)
UNLOOKED = re.compile(r"/download/|\.json\Z|/logout/|/jsi18n/|[?&](_popup|_to_field|o|e|all)=")
KEPT = re.compile(r"\?_changelist_filters=[^&]*\Z")

CONSOLE = {
    "/admin/",
    "/admin/password_change/",
    "/admin/webhooks/event/",
    "/admin/webhooks/event/N/change/",
    "/admin/webhooks/receipt/",
    "/admin/webhooks/receipt/N/change/",
    "/admin/webhooks/refusal/N/change/",
    "/admin/webhooks/entity/?id,type",
    "/admin/webhooks/event/?state",
    "/admin/webhooks/source/",
    "/admin/webhooks/source/add/",
    "/admin/webhooks/source/add/?preset",
    "/admin/webhooks/source/N/capture/",
    "/admin/webhooks/source/N/change/",
    "/admin/webhooks/source/N/rotate/",
    "/admin/sync/connection/",
    "/admin/sync/connection/add/",
    "/admin/sync/connection/add/?preset",
    "/admin/sync/connection/N/change/",
    "/admin/sync/route/",
    "/admin/sync/route/N/change/",
    "/admin/sync/personrequest/",
    "/admin/exports/export/",
    "/admin/exports/export/N/change/",
    "/admin/exports/export/new/",
    "/admin/sync/mapping/",
    "/admin/sync/mapping/N/change/",
    "/admin/sync/mapping/N/compare/?from,to",
    "/admin/sync/mapping/N/edit/",
    "/admin/audit/entry/",
    "/admin/audit/entry/N/change/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "/admin/auth/user/N/change/",
    "/admin/auth/group/",
    "/admin/auth/group/N/change/",
    "/admin/reference/presets/",
    "/admin/reference/presets/?kind",
}


def shape(address: str) -> str:
    """Pages of one kind have one shape: keys are N, of a query only the names count."""
    parts = urlsplit(address)
    path = re.sub(r"(?<=/)(?=[^/]*\d)[^/]+", "N", parts.path)
    names = ",".join(sorted(name for name, _ in parse_qsl(parts.query, keep_blank_values=True)))
    return f"{path}?{names}" if names else path


def walk(browser: Browser, start: str) -> tuple[set[str], list[str]]:
    """Follow every link that stays on the site, one page of a shape; the shapes, and what was wrong where."""
    site, faults = urlsplit(start).netloc, []
    known, ahead = {shape(start)}, [start]
    while ahead:
        address = ahead.pop()
        browser.narrow(WIDTHS[0])
        browser.open(address)
        faults += [f"{address}: {complaint}" for complaint in browser.complaints()]
        wide = [(width, browser.overflow(width)) for width in WIDTHS]
        faults += [f"{address} at {width}: {what}" for width, what in wide if what]
        new = {shape(link): link for link in reversed(links(browser)) if urlsplit(link).netloc == site}
        ahead += [link for name, link in new.items() if name not in known]
        known |= set(new)
    return known, faults


def links(browser: Browser) -> list[str]:
    """Return the links of this page; of a filtered list only those without a further filter."""
    result = browser.run("[...document.links].map(link => link.href)")
    addresses = [urldefrag(KEPT.sub("", link))[0] for link in result]
    deeper = bool(urlsplit(browser.address).query)
    return [
        address
        for address in addresses
        if not UNLOOKED.search(address) and not (deeper and urlsplit(address).query)
    ]


def test_every_page_of_the_console_is_clean_and_fits_a_phone(log_in: LogIn, hub: Hub) -> None:
    hub.change_email("taken@example.com")
    hub.post(EXAMPLE)
    hub.post_signed({"id": "GROUPREGULARS", "entityType": "GROUP", "eventType": "UPDATE"})
    hub.client.post("/webhooks/aurora", b"{}", content_type="application/json")
    request_export(resolve_filter({}, timezone.now()), by=None, reason="one that waits")
    browser = log_in("")
    seen, faults = walk(browser, f"{browser.site}/admin/")
    assert faults == []
    assert seen >= CONSOLE


@pytest.mark.parametrize("address", ["/admin/login/", "/admin/nowhere/", "/problems/target-rejected"])
def test_pages_outside_the_console_are_clean_too(browser: Browser, address: str) -> None:
    browser.narrow(WIDTHS[0])
    browser.open(address)
    missing = [complaint for complaint in browser.complaints() if " 404 " not in complaint]
    assert (missing, [browser.overflow(width) for width in WIDTHS]) == ([], [None] * len(WIDTHS))


def test_the_form_follows_what_is_chosen_in_it(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("")
    source = Source.objects.get(slug="aurora")
    browser.open(f"/admin/webhooks/source/{source.pk}/change/")
    browser.page.select_option("[name=scheme]", "hmac")
    browser.page.wait_for_selector("[name='scheme_settings:v:/header']")
    browser.open("/admin/sync/connection/add/")
    browser.page.select_option("[name=connector]", "rest-target")
    browser.page.wait_for_selector("#document-settings button[value='add /entities']")

    def credentials() -> list[str]:
        inputs = browser.page.locator("[data-credential]")
        return [name or "" for name in inputs.evaluate_all("all => all.map(one => one.name)")]

    scheme = "[name='authentication:v:/scheme']"
    browser.page.select_option(scheme, "basic")
    browser.page.wait_for_selector("[name=password]")
    assert credentials() == ["username", "password"]
    browser.page.select_option(scheme, "bearer")
    browser.page.wait_for_selector("[name=token]")
    assert credentials() == ["token"]
    browser.page.check("[name='authentication:v:/client_certificate'][type=checkbox]")
    browser.page.wait_for_selector("[name=client_key]")
    assert credentials() == ["token", "client_certificate", "client_key"]
