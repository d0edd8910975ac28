"""Searches by a path, to systems that answer 404 if there is no record, as Mattermost, Nextcloud and Recurly do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest

from config_schema.errors import SettingsInvalid
from connectors.contracts.errors import RequestRejected, UnreadableResponse
from connectors.contracts.types import TargetConnector
from connectors.settings.target import TARGET_SETTINGS
from tests.support.http.connectors import shop
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

MISSING = {"id": "app.user.missing_account.const", "message": "Unable to find the user.", "status_code": 404}
NO_PAGE = {
    "id": "api.context.404.app_error",
    "message": "Sorry, we could not find the page.",
    "status_code": 404,
}
RULE = {"status": 404, "when": "body.id == 'app.user.missing_account.const'", "means": "absent"}
ANNA = {"id": "u1", "email": "anna@example.com"}


class Accounts:
    """Accounts that are found by their address in the path. A path that it does not know is 404 too."""

    prefix = "/api/v4"

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if not seen.path.startswith(f"{self.prefix}/users/"):
            return Reply(404, NO_PAGE)
        known = {"email/anna@example.com": ANNA, "u1": ANNA}
        record = known.get(unquote(seen.path).removeprefix(f"{self.prefix}/users/"))
        return Reply(404, MISSING) if record is None else Reply(200, record)


def settings_with(*rules: Any, **search: Any) -> dict[str, Any]:
    operations_by_name = {
        "get": {"path": "/api/v4/users/{id}"},
        "search": {
            "path": "/api/v4/users/email/{value}",
            "result": "[@]",
            "fields": ["email"],
            **({"answers": list(rules)} if rules else {}),
            **search,
        },
        "create": {"path": "/api/v4/users"},
        "update": {"path": "/api/v4/users/{id}"},
    }
    return {"entities": {"USER": {"operations": operations_by_name}}}


@contextmanager
def accounts(settings: dict[str, Any], prefix: str = "/api/v4") -> Iterator[TargetConnector]:
    system = Accounts()
    system.prefix = prefix
    with serving(system.answer) as service:
        yield shop(service.url, settings=settings)


def test_an_account_is_found_and_another_is_not() -> None:
    with accounts(settings_with(RULE)) as target:
        assert [record.id for record in target.search_records("USER", "email", "anna@example.com")] == ["u1"]
        assert target.search_records("USER", "email", "bob@example.com") == ()


def test_an_unknown_path_is_an_error_and_not_an_empty_result() -> None:
    with accounts(settings_with(RULE), "/api/v5") as target, pytest.raises(UnreadableResponse):
        target.search_records("USER", "email", "bob@example.com")


def test_a_404_without_a_rule_says_which_rule_is_missing() -> None:
    reason = "a search returned 404; a rule in its `answers` must say if that means `absent`"
    with accounts(settings_with()) as target, pytest.raises(UnreadableResponse, match=reason):
        target.search_records("USER", "email", "bob@example.com")


def test_a_rule_of_the_connection_is_about_items_and_not_about_searches() -> None:
    settings = settings_with() | {"answers": [RULE]}
    with accounts(settings) as target, pytest.raises(UnreadableResponse):
        target.search_records("USER", "email", "bob@example.com")


def test_the_status_may_be_any() -> None:
    cases: list[int] = [200, 204, 404]
    for status in cases:
        rule = {
            "status": status,
            **({} if status == 204 else {"when": "body.code == 'none'"}),
            "means": "absent",
        }
        with serving(lambda _, status=status: Reply(status, {"code": "none"})) as service:
            target = shop(service.url, settings=settings_with(rule))
            assert target.search_records("USER", "email", "bob@example.com") == ()


def test_other_meanings_keep_their_errors() -> None:
    rules = ({"status": 404, "when": "body.code == 'bad'", "means": "refused"}, RULE)
    with serving(lambda _: Reply(404, {"code": "bad"})) as service, pytest.raises(RequestRejected):
        shop(service.url, settings=settings_with(*rules)).search_records("USER", "email", "b@example.com")


def test_a_search_that_takes_any_404_for_nothing_is_refused_when_saved() -> None:
    cases: list[Any] = [404, "4xx", [204, 404]]
    for status in cases:
        with pytest.raises(SettingsInvalid, match="needs “when”"):
            TARGET_SETTINGS.read(settings_with({"status": status, "means": "absent"}), ())


def test_a_rule_without_a_condition_is_fine_for_one_record() -> None:
    settings = settings_with(RULE)
    settings["entities"]["USER"]["operations"]["get"]["answers"] = [{"status": 403, "means": "absent"}]
    TARGET_SETTINGS.read(settings, ())
