"""An API that no preset knows is attached with forms alone, with scripts and without them."""

from dataclasses import dataclass
from typing import Any

import pytest

from sync.models import Connection, Mapping, MappingVersion, Route
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.support.hub import ANNA, Hub
from tests.support.invented_api import TOKEN, TOKEN_HEADER, invented_api
from webhooks.models import Source

pytestmark = pytest.mark.submission

MOST_EXPRESSION_CHARACTERS = 60
DECLARATION = {
    "fields": {
        "person": {"path": "entity.id"},
        "email": {"path": "entity.emails[0].address", "required": True},
        "name": {"path": "entity.name.familyName"},
    },
    "match": {"external_id": "person"},
}


@pytest.fixture(params=[True, False], ids=["with scripts", "without scripts"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"java_script_enabled": request.param}


@dataclass
class SettingsForm:
    """The controls of a document on the page. `expressions`: what was entered as such."""

    browser: Browser
    name: str
    expressions: str = ""

    def type(self, pointer: str, text: str) -> None:
        self.browser.type(self._at("v", pointer), text)

    def express(self, pointer: str, expression: str) -> None:
        self.expressions += expression
        self.type(pointer, expression)

    def choose(self, pointer: str, value: str) -> None:
        if self.browser.has(f"{self._at('v', pointer)}[type=radio]"):
            self.browser.find(f"{self._at('v', pointer)}[value='{value}']").check()
        else:
            self.browser.find(f"select{self._at('v', pointer)}").select_option(value)

    def check(self, pointer: str) -> None:
        self.browser.find(f"{self._at('v', pointer)}[type=checkbox]").check()

    def add_row(self, pointer: str, name: str, value: str) -> None:
        """Fill in the empty row, and wait for another."""
        rows = self.browser.page.locator(self._at("n", pointer))
        number = rows.count()
        rows.nth(number - 1).fill(name)
        self.browser.page.locator(self._at("r", pointer)).nth(number - 1).fill(value)
        self.press(f"again {pointer}", shown=f":nth-match({self._at('n', pointer)}, {number + 1})")

    def press(self, button: str, shown: str) -> None:
        """Press a button, and wait for what the next page, or part of the page, shows."""
        self.browser.find(f"button[name='{self.name}:do'][value='{button}']").click()
        self.browser.find(shown).wait_for()

    def add(self, pointer: str, control: str) -> None:
        self.press(f"add {pointer}", shown=self._at("v", f"{pointer}/{control}"))

    def show_more(self, pointer: str, control: str) -> None:
        self.press(f"open {pointer}/?more", shown=f"[id='at-{self.name}{pointer}/{control}']")

    def rename(self, pointer: str, name: str) -> None:
        self.browser.type(f"[name='{self.name}:key:{pointer}']", name)

    def _at(self, part: str, pointer: str) -> str:
        return f"[name='{self.name}:{part}:{pointer}']"


def test_an_unknown_api_is_attached_with_forms_and_gets_a_change(log_in: LogIn, hub: Hub) -> None:
    with invented_api() as api:
        api.contacts["7"] = {"id": 7, "person": ANNA, "email": "old@example.com", "name": "Aalto"}
        enter_connection(log_in("administrator"), api.url)
        deliver_users_to(Connection.objects.get(slug="nimbus"))
        answer = hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
        assert answer.status_code == 200, answer.content
        assert api.written == [("PATCH", {"contact": {"email": "anna.aalto@example.com"}})]
        assert api.contacts["7"]["email"] == "anna.aalto@example.com"


def enter_connection(browser: Browser, url: str) -> None:
    """Enter the connection by its controls, and count the characters of expressions."""
    browser.open("/admin/sync/connection/add/")
    for name, value in (("name", "Nimbus"), ("slug", "nimbus"), ("base_url", url), ("reason", "it joins")):
        browser.type(f"[name={name}]", value)
    browser.find("[name=side]").select_option("target")
    browser.find("[name=connector]").select_option("rest-target")
    authentication, settings = SettingsForm(browser, "authentication"), SettingsForm(browser, "settings")
    authentication.choose("/scheme", "header")
    authentication.press("again", shown="[name='authentication:v:/header']")
    authentication.type("/header", TOKEN_HEADER)
    enter_settings(settings)
    browser.type("[name=value]", TOKEN)
    browser.press("[name=_save]")
    assert browser.has(".success"), browser.text
    assert 0 < len(settings.expressions) <= MOST_EXPRESSION_CHARACTERS


def enter_settings(form: SettingsForm) -> None:
    """Enter how contacts are read and written: each is in an envelope, and a list comes in pages."""
    form.press("add /entities", shown="[name='settings:key:/entities/TYPE']")
    form.rename("/entities/TYPE", "USER")
    of = "/entities/USER/operations"
    form.press("add /entities/TYPE/operations/get", shown=f"[name='settings:v:{of}/get/path']")
    form.type(f"{of}/get/path", "/contacts/{id}")
    form.show_more(f"{of}/get", "result")
    form.express(f"{of}/get/result", "contact")
    form.add(f"{of}/search", "path")
    form.type(f"{of}/search/path", "/contacts")
    form.show_more(f"{of}/search", "result")
    form.express(f"{of}/search/result", "contacts")
    form.type(f"{of}/search/fields", "person\nemail")
    form.add_row(f"{of}/search/query", "{field}", "{value}")
    form.add_row(f"{of}/search/query", "page", "1")
    for name, path in (("create", "/contacts"), ("update", "/contacts/{id}")):
        form.add(f"{of}/{name}", "path")
        form.type(f"{of}/{name}/path", path)
        form.show_more(f"{of}/{name}", "result")
        form.express(f"{of}/{name}/result", "contact")
        form.expressions += "sent"
        form.add_row(f"{of}/{name}/body", "contact", "sent")
    form.add(f"{of}/list", "path")
    form.type(f"{of}/list/path", "/contacts")
    form.show_more(f"{of}/list", "result")
    form.express(f"{of}/list/result", "contacts")
    form.choose(f"{of}/list/paging", "page")
    form.type(f"{of}/list/count", "per_page")
    form.express(f"{of}/list/total", "total")
    form.check(f"{of}/list/complete")


def deliver_users_to(target: Connection) -> None:
    """Make a mapping, and the only route of users."""
    Route.objects.filter(entity_type="USER").update(is_enabled=False)
    mapping = Mapping.objects.create(name="Person to contact")
    version = MappingVersion(mapping=mapping, number=1, declaration=DECLARATION)
    version.full_clean()
    version.save()
    identity = Connection.objects.get(slug="aurora")
    route = Route(
        source=Source.objects.get(slug="aurora"),
        entity_type="USER",
        identity=identity,
        target=target,
        mapping=mapping,
        when_deleted=Route.DeletionPolicy.IGNORE,
    )
    route.full_clean()
    route.save()
