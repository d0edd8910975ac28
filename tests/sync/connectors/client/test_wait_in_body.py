"""A system that is throttled may state the seconds to wait in the body of its answer."""

from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from sync.connectors.contracts.errors import RequestThrottled, SystemUnavailable
from sync.connectors.presets import load_preset
from sync.connectors.settings.setting_kinds import Expression
from sync.connectors.values.json_responses import ErrorExtractor
from tests.support.http.connectors import identity, shop, shop_settings
from tests.support.http.servers import Reply, serving

pytestmark = pytest.mark.pure


def settings(wait: str = "retry_after") -> dict[str, Any]:
    return shop_settings() | {"error": {"sentence": "message", "wait": wait}}


@pytest.mark.parametrize(
    ("status", "body", "headers", "seconds"),
    [
        (429, {"message": "slow down", "retry_after": 64.57, "global": False}, {}, 64.57),
        (429, {"retry_after": 3}, {"Retry-After": "9"}, 9.0),
        (429, {"retry_after": 3}, {"Retry-After": "soon"}, 3.0),
        (503, {"retry_after": "12"}, {}, 12.0),
        (429, {"retry_after": 10**40}, {}, 3600.0),
        (429, {"message": "slow down"}, {}, None),
        (429, ["retry_after"], {}, None),
    ],
)
def test_the_seconds_to_wait_are_read_from_the_body(
    status: int, body: Any, headers: dict[str, str], seconds: float | None
) -> None:
    with serving(lambda _: Reply(status, body, headers)) as service:
        connector = shop(service.url, settings=settings())
        with pytest.raises((RequestThrottled, SystemUnavailable)) as caught:
            connector.get_record("USER", "1")
    assert caught.value.retry_after == seconds


def test_the_body_is_ignored_without_the_setting() -> None:
    with (
        serving(lambda _: Reply(429, {"retry_after": 64.57})) as service,
        pytest.raises(RequestThrottled) as caught,
    ):
        shop(service.url).get_record("USER", "1")
    assert caught.value.retry_after is None


def test_an_identity_service_may_state_it_too() -> None:

    read = load_preset("sandbox-identity")["settings"] | {"error": {"wait": "error.seconds"}}
    with (
        serving(lambda _: Reply(429, {"error": {"seconds": 5}})) as service,
        pytest.raises(RequestThrottled) as caught,
    ):
        identity(service.url, settings=read).fetch_entity("USER", "1")
    assert caught.value.retry_after == 5.0


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"wait": 0}', 0.0),
        (b'{"wait": "0.5"}', 0.5),
        (b'{"wait": -1}', None),
        (b'{"wait": -1%s}' % (b"0" * 400), None),
        (b'{"wait": true}', None),
        (b'{"wait": null}', None),
        (b'{"wait": "1e3"}', None),
        (b'{"wait": "\\u0663"}', None),
        (b'{"wait": [1]}', None),
        (b'{"wait": 1e999}', None),
        (b"", None),
        (b"<html>", None),
        (b'{"wait": ' * 2_000, None),
    ],
)
def test_any_body_is_read(body: bytes, seconds: float | None) -> None:
    assert ErrorExtractor(wait=Expression().read("wait", ())).extract_wait(body) == seconds


def test_an_invalid_expression_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="/error/wait"):
        shop("http://127.0.0.1:1", settings=settings("retry_after["))
