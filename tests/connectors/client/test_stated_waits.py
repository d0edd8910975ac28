"""A system that is throttled may state the wait in the body of its answer or in a header of its own."""

from typing import Any

import pytest

from connectors.contracts.errors import ConnectorError, RequestThrottled, SystemUnavailable
from connectors.settings.setting_kinds import Expression
from connectors.values.json_responses import ErrorExtractor, WaitHeader, WaitUnit
from tests.support.http.connectors import identity, shop, shop_settings
from tests.support.http.servers import Reply, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

NAME = "X-RateLimit-Reset"
IN_BODY = {"wait": "retry_after"}
# 2100: a longer wait than the hub believes.
LATE = "4102444800"


def in_header(unit: str) -> dict[str, Any]:
    return {"wait_header": {"name": NAME, "unit": unit}}


def wait_after(reply: Reply, error: dict[str, Any]) -> float | None:
    with serving(lambda _: reply) as service, pytest.raises(ConnectorError) as caught:
        shop(service.url, settings=shop_settings() | {"error": error}).get_record("USER", "1")
    assert isinstance(caught.value, RequestThrottled | SystemUnavailable)
    return caught.value.retry_after


def test_the_wait_is_read_where_the_settings_say() -> None:
    cases: list[tuple[dict[str, Any], Reply, float | None]] = [
        (IN_BODY, Reply(429, {"message": "slow down", "retry_after": 64.57}), 64.57),
        (IN_BODY, Reply(429, {"retry_after": 3}, {"Retry-After": "9"}), 9.0),
        (IN_BODY, Reply(429, {"retry_after": 3}, {"Retry-After": "soon"}), 3.0),
        (IN_BODY, Reply(503, {"retry_after": "12"}), 12.0),
        (IN_BODY, Reply(429, {"retry_after": 10**40}), 3600.0),
        (IN_BODY, Reply(429, ["retry_after"]), None),
        ({}, Reply(429, {"retry_after": 64.57}), None),
        (in_header("seconds"), Reply(429, None, {NAME.lower(): "12"}), 12.0),
        (in_header("milliseconds"), Reply(429, None, {NAME: "15000"}), 15.0),
        (in_header("seconds"), Reply(429, None, {NAME: "12", "Retry-After": "3"}), 3.0),
        (in_header("seconds"), Reply(429, None, {NAME: "9" * 30}), 3600.0),
        (in_header("seconds"), Reply(429, None, {NAME: "-5"}), None),
        (in_header("seconds"), Reply(429), None),
        # Many systems send the header with every response, and nothing was throttled.
        (in_header("seconds"), Reply(503, None, {NAME: "1200"}), None),
        (in_header("time"), Reply(429, None, {NAME: "1000"}), 0.0),
        (in_header("time"), Reply(429, None, {NAME: LATE}), 3600.0),
        (in_header("seconds") | IN_BODY, Reply(429, {"retry_after": 7}, {NAME: "12"}), 7.0),
        (in_header("seconds") | IN_BODY, Reply(429, {"other": 7}, {NAME: "12"}), 12.0),
    ]
    for error, reply, seconds in cases:
        assert wait_after(reply, error) == seconds


def test_a_rule_may_say_that_a_response_was_throttled() -> None:
    rules = [{"status": 403, "when": "headers.\"x-ratelimit-remaining\" == '0'", "means": "throttled"}]
    document = shop_settings() | {"error": in_header("seconds"), "answers": rules}
    throttled = Reply(403, None, {NAME: "12", "X-RateLimit-Remaining": "0"})
    with serving(lambda _: throttled) as service, pytest.raises(RequestThrottled) as caught:
        shop(service.url, settings=document).get_record("USER", "1")
    assert caught.value.retry_after == 12.0


@pytest.mark.parametrize("error", [{"wait": "seconds"}, in_header("seconds")])
def test_an_identity_service_may_state_it_too(error: dict[str, Any]) -> None:
    settings = {"entities": {"USER": {"path": "/users/{id}"}}, "error": error}
    reply = Reply(429, {"seconds": 5}, {NAME: "5"})
    with serving(lambda _: reply) as service, pytest.raises(RequestThrottled) as caught:
        identity(service.url, settings=settings).fetch_entity("USER", "1")
    assert caught.value.retry_after == 5.0


def test_any_body_is_read() -> None:
    cases: list[tuple[bytes, float | None]] = [
        (b'{"wait": 0}', 0.0),
        (b'{"wait": "0.5"}', 0.5),
        (b'{"wait": -1}', None),
        (b'{"wait": -1%s}' % (b"0" * 400), None),
        (b'{"wait": true}', None),
        (b'{"wait": "1e3"}', None),
        (b'{"wait": "\\u0663"}', None),
        (b'{"wait": [1]}', None),
        (b'{"wait": 1e999}', None),
        (b"<html>", None),
        (b'{"wait": ' * 2_000, None),
    ]
    for body, seconds in cases:
        assert ErrorExtractor(wait=Expression().read("wait", ())).extract_wait(body) == seconds


def test_any_header_is_read() -> None:
    cases: list[tuple[WaitUnit, str, float | None]] = [
        (WaitUnit.SECONDS, "0", 0.0),
        (WaitUnit.SECONDS, " 0.5 ", 0.5),
        (WaitUnit.SECONDS, "9, 4", 4.0),
        (WaitUnit.SECONDS, "", None),
        (WaitUnit.SECONDS, "1e3", None),
        (WaitUnit.SECONDS, "\u0663", None),
        (WaitUnit.SECONDS, "9" * 31, None),
        (WaitUnit.TIME, "1060", 60.0),
        (WaitUnit.TIME, "999", 0.0),
    ]
    for unit, text, seconds in cases:
        assert WaitHeader("reset", unit).read_seconds({"reset": text}, 1000.0) == seconds
