"""Secrets among the settings of a connection are found, refused when they are saved, and masked."""

from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from connectors.presets import load_preset
from connectors.registry import validate_connection
from connectors.settings.secret_values import is_secret_name, mask_plain_secrets
from tests.support.http.connectors import shop_settings

pytestmark = pytest.mark.pure

SECRET_HEADERS = {
    "Authorization": "Bearer abc",
    "Proxy-Authorization": "Basic YTpi",
    "Cookie": "session=abc",
    "x-api-key": "abc",
    "ApiKey": "abc",
    "Ocp-Apim-Subscription-Key": "abc",
    "X-Client-Secret": "abc",
    "X-Webhook-Signature": "abc",
    "X-Password": "abc",
    "X-Auth": "abc",
    "X-Forwarded-Whatever": "Bearer abcdef",
    "X-Login": "basic YTpi",
    "X-Account": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "X-Trace": "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
    "X-Origin": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "X-Shop": "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",
    "X-Assertion": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodWIifQ.c2lnbmF0dXJl",
}
PLAIN_HEADERS = {
    "Accept-Language": "fi",
    "X-Tenant": "acme",
    "X-Tenant-Key": "acme",
    "X-Atlassian-Token": "no-check",
    "Idempotency-Key": "fixed",
    "X-Keyboard": "fi",
    "X-Note": "Bearer of news, and more",
    "X-Tokens-Used": "5",
    "X-Region": "pat-of-europe-and-the-north",
    "X-Skin": "sk-",
    "X-Client": "ghost_writers-of-the-north-24",
}


def _validate(settings: dict[str, Any], base_url: str = "https://a.test", **authentication: str) -> None:
    own = load_preset("sandbox-identity")["settings"] | settings
    validate_connection("rest-identity", own, {"scheme": "bearer"} | authentication, base_url)


def test_a_secret_header_in_addition_to_another_secret_has_its_own_place() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        _validate({"headers": {"App-Token": "abc"}}, scheme="bearer")
    assert '"second": {"header": "App-Token"}' in caught.value.sentence
    assert "“Second secret”" in caught.value.sentence
    with pytest.raises(SettingsInvalid) as caught:
        _validate({"headers": {"Cookie": "abc"}}, scheme="bearer")
    assert "second" not in caught.value.sentence, "a second secret is in no cookie"


def test_a_secret_header_is_refused_and_the_field_for_it_is_named() -> None:
    cases: list[tuple[str, str]] = SECRET_HEADERS.items()
    for name, value in cases:
        with pytest.raises(SettingsInvalid) as caught:
            _validate({"headers": {name: value}})
        assert caught.value.pointer == "/settings/headers"
        assert name in caught.value.sentence
        assert "Header value" in caught.value.sentence
        assert "scheme" in caught.value.sentence
        assert value not in caught.value.sentence.replace('{"scheme": "bearer"}', "")


def test_any_other_header_is_accepted() -> None:
    cases: list[tuple[str, str]] = PLAIN_HEADERS.items()
    for name, value in cases:
        _validate({"headers": {name: value}})


def test_a_secret_parameter_is_refused() -> None:
    cases: list[str] = ["api_key", "apikey", "access_token", "key", "token", "sig"]
    for name in cases:
        settings = load_preset("sandbox-identity")["settings"]
        settings["entities"]["USER"]["query"] = {name: "abc"}
        with pytest.raises(SettingsInvalid) as caught:
            _validate(settings)
        assert caught.value.pointer == "/settings/entities/USER/query"
        assert "Header value" in caught.value.sentence


def test_any_other_parameter_is_accepted() -> None:
    cases: list[str] = ["page_token", "sortKey", "filter", "partition-key"]
    for name in cases:
        settings = load_preset("sandbox-identity")["settings"]
        settings["entities"]["USER"]["query"] = {name: "abc"}
        _validate(settings)


def test_a_secret_in_an_address_is_refused() -> None:
    cases: list[tuple[str, str]] = [
        ("https://user:pass@a.test", "credentials"),
        ("https://token@a.test/api", "credentials"),
        ("https://a.test/api?api_key=abc", "credential"),
        ("https://a.test/#token=abc", "credential"),
    ]
    for url, word in cases:
        with pytest.raises(SettingsInvalid) as caught:
            _validate({}, url)
        assert word in caught.value.sentence
        assert "abc" not in caught.value.sentence
        assert "pass@" not in caught.value.sentence


def test_a_credential_among_the_authentication_is_sent_to_its_own_field() -> None:
    cases: list[str] = ["token", "username"]
    for name in cases:
        with pytest.raises(SettingsInvalid) as caught:
            _validate({}, **{name: "abc"})
        assert caught.value.pointer == f"/authentication/{name}"
        assert "its own field" in caught.value.sentence


def test_secrets_are_masked_for_the_audit_log_and_everything_else_is_unchanged() -> None:
    settings = {
        "headers": {"X-Api-Key": "abc", "Accept": "a"},
        "entities": [{"query": {"key": "abc", "view": "b"}}],
    }
    assert mask_plain_secrets(settings) == {
        "headers": {"X-Api-Key": "***", "Accept": "a"},
        "entities": [{"query": {"key": "***", "view": "b"}}],
    }


def test_secret_names_are_recognised_word_by_word() -> None:
    assert is_secret_name("XApiKey")
    assert is_secret_name("ACCESS_TOKEN")
    assert is_secret_name("wstoken")
    assert is_secret_name("X-Apptoken")
    assert not is_secret_name("monkey")
    assert not is_secret_name("pagetoken")
    assert not is_secret_name("tokenize")
    assert not is_secret_name("")


def test_a_secret_in_a_body_is_refused_and_masked() -> None:
    cases: list[str] = ["password", "apiKey", "passwd"]
    for name in cases:
        create = {
            "path": "/c",
            "body": {"params": [1, {name: "hunter2-hunter2"}], "input": {"expression": "sent"}},
        }
        settings = shop_settings(create=create)
        with pytest.raises(SettingsInvalid) as caught:
            validate_connection("rest-target", settings, {}, "https://a.test")
        assert caught.value.pointer == f"/settings/entities/USER/operations/create/body/params/1/{name}"
        assert "Header value" in caught.value.sentence
        assert "hunter2" not in caught.value.sentence
        assert "hunter2" not in str(mask_plain_secrets(settings))


def test_any_other_member_of_a_body_is_accepted() -> None:
    cases: list[str] = ["key", "token", "passwordHint"]
    for name in cases:
        create = {"path": "/c", "body": {name: "email", "password": {"expression": "fields.code"}}}
        validate_connection("rest-target", shop_settings(create=create), {}, "https://a.test")
