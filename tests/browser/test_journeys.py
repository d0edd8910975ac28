"""Complete tasks in the console, from the first page to the last."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from sandbox.identity.signing import sign_webhook
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.browser.stage.event_page import reveal_values
from tests.support.hub import SIGNING_SECRET, Hub
from webhooks.models import Event, Receipt, Source

# With the browser's start it costs more than `make test` has; people, pages, repairs and refreshes stay in it.
pytestmark = pytest.mark.slow

REASON = "The yearly rotation"


@dataclass
class Sender:
    """The identity service, which sends one webhook after the other; `secret` may change meanwhile."""

    site: str
    secret: str = SIGNING_SECRET
    told: list[tuple[str, int]] = field(default_factory=list)

    def send(self, number: int) -> None:
        """Post one webhook and record the secret that signed it and its answer."""
        secret, name, now = self.secret, f"rotation-{number}", int(time.time())
        body = json.dumps({"id": "GROUPREGULARS", "entityType": "GROUP", "eventType": "UPDATE"}).encode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(now),
            "webhook-signature": sign_webhook(secret, name, now, body),
        }
        connection = http.client.HTTPConnection(urlsplit(self.site).netloc, timeout=20)
        try:
            connection.request("POST", "/webhooks/aurora", body, headers)
            self.told.append((secret, connection.getresponse().status))
        finally:
            connection.close()

    def answers(self, secret: str) -> Counter[int]:
        return Counter(status for signed_with, status in self.told if signed_with == secret)

    def wait_for(self, secret: str, status: int) -> None:
        """Wait until a webhook that this secret signed got this answer."""
        until = time.monotonic() + 20
        while not self.answers(secret)[status]:
            assert time.monotonic() < until, self.told[-5:]
            time.sleep(0.02)


@contextmanager
def sending(sender: Sender) -> Iterator[None]:
    """Webhooks come in all the time, five a second or so."""
    ended = threading.Event()

    def go() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            sender.send(number)
            ended.wait(0.2)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def give_reason(browser: Browser) -> None:
    """Fill in the reason, if the page asks for one."""
    if browser.has("#content [name=reason]"):
        browser.type("#content [name=reason]", REASON)


def test_a_secret_is_rotated_while_webhooks_come_in_and_none_is_lost(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("administrator")
    sender, source = Sender(browser.site), Source.objects.get(slug="aurora")
    with sending(sender):
        sender.wait_for(SIGNING_SECRET, 200)
        browser.open(f"/admin/webhooks/source/{source.pk}/change/")
        browser.press("a[href$='/rotate/']")
        give_reason(browser)
        browser.press("#content form [type=submit]")
        new = browser.read("#new-secret")
        given = len(sender.told)
        while len(sender.told) < given + 2:  # the old secret is valid for a while
            time.sleep(0.02)
        sender.secret = new
        sender.wait_for(new, 200)
        assert set(sender.answers(SIGNING_SECRET)) == {200}
        old = source.secrets.earliest("id")
        browser.open(f"/admin/webhooks/source/{source.pk}/change/")
        assert new not in browser.text
        browser.press(f"a[href$='/secrets/{old.pk}/end/']")
        give_reason(browser)
        browser.press("#content form [type=submit]")
        good, sender.secret = sender.answers(new)[200], SIGNING_SECRET
        sender.wait_for(SIGNING_SECRET, 401)
        sender.secret = new
        while sender.answers(new)[200] == good:
            time.sleep(0.02)
    assert set(sender.answers(new)) == {200}
    accepted = sender.answers(SIGNING_SECRET)[200] + sender.answers(new)[200]
    assert Event.objects.count() == Receipt.objects.count() == accepted


MENUS = {
    "support": {"Overview", "Events", "Held for approval", "Replays", "Requests", "Alarms"},
    "auditor": {"Overview", "Events", "Audit log", "Exports"},
    "administrator": {
        "Overview",
        "Events",
        "Sources",
        "Connections",
        "Audit log",
        "Erasures",
        "People",
        "Roles",
    },
}
ABSENT = {
    "support": {"Audit log", "Exports", "Erasures", "People", "Roles"},
    "auditor": {"Erasures", "People", "Roles"},
    "administrator": set(),
}
REFUSED = {
    "support": ("audit/entry/", "exports/export/", "auth/user/", "sync/erasure/", "webhooks/source/add/"),
    "auditor": ("auth/user/", "sync/erasure/", "sync/connection/add/", "sync/alarm/snooze/"),
    "administrator": ("exports/export/new/",),
}


@pytest.mark.parametrize("role", MENUS)
def test_each_role_sees_only_its_own(log_in: LogIn, hub: Hub, role: str) -> None:
    hub.change_email("taken@example.com")
    hub.post_signed({"id": "IDNUMBER1234", "entityType": "USER", "eventType": "UPDATE"})
    browser = log_in(role)
    browser.open("/admin/")
    shown = {label.strip() for label in browser.page.locator("#console-nav a").all_inner_texts()}
    assert shown >= MENUS[role]
    assert not shown & ABSENT[role]
    addresses = browser.run(
        "[...document.querySelectorAll('#console-nav a[href^=\"/\"]')].map(each => each.href)"
    )
    for address in addresses:  # what is shown opens
        browser.open(address)
        assert browser.complaints() == []
        assert browser.has("h1"), address
    for page in REFUSED[role]:
        answer = browser.page.goto(f"{browser.site}/admin/{page}")
        assert answer.status == 403, page
        assert "permission" in browser.text
        assert [complaint for complaint in browser.complaints() if "403" not in complaint] == []
    browser.open(f"/admin/webhooks/event/{Event.objects.get().pk}/change/")
    assert "taken@example.com" not in browser.page.content()
    if role == "support":
        reveal_values(browser)
        assert "taken@example.com" in browser.page.content()
    assert browser.has("#reveal") is False
    assert browser.has("#content a[href$='/replay/'], #content form[action$='/replay/']") is (
        role != "auditor"
    )
