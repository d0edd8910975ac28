"""A system that is throttled may state the wait in a header of its own: seconds, milliseconds or a time."""

import time
from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from sync.connectors.contracts.errors import ConnectorError, RequestThrottled, SystemUnavailable
from sync.connectors.values.json_responses import WaitHeader, WaitUnit
from tests.support.http.connectors import identity, shop, shop_settings
from tests.support.http.servers import Reply, serving

pytestmark = pytest.mark.pure

NAME = "X-RateLimit-Reset"


def settings(unit: str, **more: Any) -> dict[str, Any]:
    return shop_settings() | {"error": {"wait_header": {"name": NAME, "unit": unit}, **more}}


def wait_after(reply: Reply, unit: str, **more: Any) -> float | None:
    with serving(lambda _: reply) as service, pytest.raises(ConnectorError) as caught:
        shop(service.url, settings=settings(unit, **more)).get_record("USER", "1")
    assert isinstance(caught.value, RequestThrottled | SystemUnavailable)
    return caught.value.retry_after


@pytest.mark.parametrize(
    ("unit", "headers", "seconds"),
    [
        ("seconds", {NAME: "12"}, 12.0),
        ("milliseconds", {NAME: "15000"}, 15.0),
        ("seconds", {NAME.lower(): "12"}, 12.0),
        ("seconds", {NAME: "12", "Retry-After": "3"}, 3.0),
        ("seconds", {NAME: "9" * 30}, 3600.0),
        ("seconds", {NAME: "soon"}, None),
        ("seconds", {NAME: "-5"}, None),
        ("seconds", {}, None),
        ("time", {NAME: "1000"}, 0.0),
    ],
)
def test_the_wait_is_read_from_the_header(unit: str, headers: dict[str, str], seconds: float | None) -> None:
    assert wait_after(Reply(429, {"message": "slow down"}, headers), unit) == seconds


def test_the_time_when_the_wait_is_over_is_counted_from_now() -> None:
    in_a_minute = {NAME: str(int(time.time()) + 60)}
    seconds = wait_after(Reply(429, None, in_a_minute), "time")
    assert seconds is not None
    assert 50 < seconds <= 60


def test_the_body_takes_precedence_over_the_header() -> None:
    assert wait_after(Reply(429, {"retry": 7}, {NAME: "12"}), "seconds", wait="retry") == 7.0
    assert wait_after(Reply(429, {"other": 7}, {NAME: "12"}), "seconds", wait="retry") == 12.0


def test_the_wait_header_counts_only_for_throttled_requests() -> None:
    """Many systems send it with every response, and nothing was throttled."""
    assert wait_after(Reply(503, None, {NAME: "1200"}), "seconds") is None


def test_a_rule_may_say_that_a_response_was_throttled() -> None:
    rules = [{"status": 403, "when": "headers.\"x-ratelimit-remaining\" == '0'", "means": "throttled"}]
    document = settings("seconds") | {"answers": rules}
    throttled = Reply(403, None, {NAME: "12", "X-RateLimit-Remaining": "0"})
    with serving(lambda _: throttled) as service, pytest.raises(RequestThrottled) as caught:
        shop(service.url, settings=document).get_record("USER", "1")
    assert caught.value.retry_after == 12.0


def test_an_identity_service_may_state_it_too() -> None:
    read = {
        "entities": {"USER": {"path": "/users/{id}"}},
        "error": {"wait_header": {"name": NAME, "unit": "seconds"}},
    }
    with (
        serving(lambda _: Reply(429, None, {NAME: "5"})) as service,
        pytest.raises(RequestThrottled) as caught,
    ):
        identity(service.url, settings=read).fetch_entity("USER", "1")
    assert caught.value.retry_after == 5.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0.5", 0.5),
        (" 4 ", 4.0),
        ("9, 4", 4.0),
        ("", None),
        ("1e3", None),
        ("\u0663", None),
        ("9" * 31, None),
        ("nan", None),
    ],
)
def test_any_header_is_read(text: str, seconds: float | None) -> None:
    assert WaitHeader("reset", WaitUnit.SECONDS).read_seconds({"reset": text}, 0.0) == seconds


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"name": NAME, "unit": "minutes"}, "/error/wait_header/unit"),
        ({"name": NAME}, "/error/wait_header/unit"),
        ({"name": "a b", "unit": "time"}, "/error/wait_header/name"),
        (NAME, "/error/wait_header"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(document: Any, place: str) -> None:
    with pytest.raises(SettingsInvalid, match=place):
        shop("http://127.0.0.1:1", settings=shop_settings() | {"error": {"wait_header": document}})
