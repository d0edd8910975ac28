"""A hub with unsafe settings does not start, and names the variable in one sentence."""

import os
import re
import runpy
import traceback
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.exceptions import ImproperlyConfigured

from connectors.http.egress import is_address_allowed
from integration_hub import checks
from tests.support.http.egress import egress_policy
from tests.support.processes.settings_check import VALID_SETTINGS, check, serve

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

SETTINGS = Path(checks.__file__).with_name("settings.py")


def load(**variables: str | None) -> dict[str, Any]:
    """Return the settings that are read from an environment of valid variables and these; None removes one."""
    chosen = {name: value for name, value in (VALID_SETTINGS | variables).items() if value is not None}
    with patch.dict(os.environ, chosen, clear=True):
        return runpy.run_path(str(SETTINGS))


def refusal(**variables: str | None) -> str:
    """Return the message of a refused start. Its traceback repeats no value that may be a secret."""
    with pytest.raises(ImproperlyConfigured) as caught:
        load(**variables)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("name", ["SECRET_KEY", "SEALING_KEYS"])
def test_a_missing_secret_stops_the_start_and_is_named(name: str) -> None:
    for value in (None, ""):
        for debug in ("off", "on"):
            message = refusal(**{name: value, "DEBUG": debug})
            assert message.startswith(f"Set {name} in the environment or in .env: ")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("DELIVERY_THREADS", ["two", "2.5", "0", "1001"]),
        ("LEASE_SECONDS", ["40s", "0", "0.09"]),
        ("ALARM_LATE_SECONDS", ["5 minutes", "nan", "inf", "-1", "1000000001"]),
        ("DATABASE_WAIT_SECONDS", ["-1", "0.09", "3601"]),
        ("EXPORTS_AT_ONCE", ["0"]),
        ("TRUSTED_PROXIES", ["-1", "101"]),
        ("UNAVAILABLE_STATUS", ["199", "600"]),
        ("REPLAY_LIMIT", ["-1"]),
        ("SECOND_PERSON_HOURS", ["-1", "0.5", "8761"]),
        ("KEEP_AUDIT_DAYS", ["-1"]),
        ("UNKEPT_WRITES", ["-1", "2"]),
        (
            "METRICS_LISTEN",
            ["9464", "localhost:9464", "10.0.0.7:", "10.0.0.7:0", "10.0.0.7:65536", "10.0.0.7:٣"],
        ),
        ("LOG_LEVEL", ["LOUD"]),
        ("LOG_FORMAT", ["xml"]),
        ("RECHECK_SECONDS", ["60;300", "60,,300", "300,60", "60,60", "0", "nan", "90000"]),
        ("RECHECK_SECONDS", ["1,2,3,4,5,6,7,8,9,10,11"]),
    ],
)
def test_an_implausible_value_stops_the_start_and_is_named(name: str, values: list[str]) -> None:
    for value in values:
        assert re.fullmatch(rf"{name}: must be .+, not '{re.escape(value)}'\.", refusal(**{name: value}))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("DATABASE_URL", ["canary", "mysql://hub:canary@db/hub", "postgres://hub@db:canary/hub"]),
        ("EMAIL_URL", ["canary", "smtp://mail.example.com:canary"]),
        ("PUBLIC_URL", ["canary", "ftp://canary", "https://u:canary@hub.example.com", "https://"]),
    ],
)
def test_an_invalid_address_stops_the_start_and_is_not_repeated(name: str, values: list[str]) -> None:
    for value in values:
        assert name in refusal(**{name: value})


@pytest.mark.parametrize("size", ["0", "1001"])
def test_an_empty_or_too_large_connection_pool_stops_the_start(size: str) -> None:
    message = refusal(DATABASE_URL="postgres://hub@localhost/hub", DATABASE_POOL=size)
    assert message.startswith("DATABASE_POOL: must be a whole number from 1 to 1,000, ")


def test_values_are_parsed_and_empty_ones_use_the_default() -> None:
    settings = load(
        ALARM_LATE_SECONDS="1e3",
        LEASE_SECONDS="",
        DELIVERY_THREADS="8",
        RECHECK_SECONDS="1, 5.5",
        PUBLIC_URL="https://hub.example.com/",
        TLS_HEADER="X-Forwarded-Proto",
    )
    assert (settings["ALARM_LATE_SECONDS"], settings["LEASE_SECONDS"]) == (1000.0, 40.0)
    assert (settings["DELIVERY_THREADS"], settings["RECHECK_SECONDS"]) == (8, (1.0, 5.5))
    assert settings["PUBLIC_URL"] == "https://hub.example.com"
    assert settings["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


def test_an_invalid_egress_list_stops_the_start_with_the_number_of_the_entry() -> None:
    for value in ("http://shop.test", "shop.test,canary@shop.test", "10.0.0.1/8", "169.254.169.254"):
        assert re.fullmatch(r"EGRESS_ALLOW: must be .+: entry \d is .+\.", refusal(EGRESS_ALLOW=value))


@pytest.mark.promise("T4", "T7")
def test_internal_addresses_are_contacted_only_with_debug_or_if_they_are_listed() -> None:
    cases = [
        ("off", None, False, True), ("off", "", False, True), ("on", None, True, True), ("on", "", True, True),
        ("off", "127.0.0.0/8", True, False), ("on", "public", False, True), ("off", "public,localhost", True, True),
    ]  # fmt: skip
    for debug, value, is_internal_allowed, is_public_allowed in cases:
        with egress_policy(load(DEBUG=debug, EGRESS_ALLOW=value)["EGRESS_POLICY"]):
            assert is_address_allowed("localhost", "127.0.0.1") is is_internal_allowed
            assert is_address_allowed("shop.test", "8.8.8.8") is is_public_allowed
            assert not is_address_allowed("shop.test", "169.254.169.254")


@pytest.mark.promise("T4")
def test_nothing_is_trusted_or_open_unless_it_is_configured() -> None:
    settings = load(DEBUG="canary", ALLOWED_HOSTS=None)
    assert (settings["DEBUG"], settings["ALLOWED_HOSTS"], settings["TRUSTED_PROXIES"]) == (False, [], 0)
    assert "SECURE_PROXY_SSL_HEADER" not in settings
    assert settings["SECURE_COOKIES"] is settings["SESSION_COOKIE_SECURE"] is True
    assert settings["PASSWORD_HASHERS"] == ["logins.password_hasher.LowPriorityHasher"]
    assert load(DEBUG="on", ALLOWED_HOSTS=None)["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]


def test_an_environment_file_may_be_indented(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("    # pasted from a page\n\n    HEALTH_TOKEN=short\n  export DEBUG=1\n")
    settings = load(HUB_ENV_FILE=str(file))
    assert (settings["HEALTH_TOKEN"], settings["DEBUG"]) == ("short", True)


def test_an_invalid_line_of_an_environment_file_is_named_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("DEBUG=1\nSECRET_KEY = canary\n")
    message = refusal(HUB_ENV_FILE=str(file))
    assert message.startswith(f"{file}: line 2 must be NAME=value")


GOOD = {
    "DEBUG": False,
    "ALLOWED_HOSTS": ["hub.example.com"],
    "UNAVAILABLE_STATUS": 503,
    "SECURE_COOKIES": True,
    "AUDIT_CHECKPOINT_FOLDER": "",
    "AUDIT_CHECKPOINT_EMAILS": ["auditor@example.com"],
    "AUDIT_CHECKPOINT_URL": "",
    "CELERY_BROKER_URL": "",
}


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"UNAVAILABLE_STATUS": 429}, []),
        ({"ALLOWED_HOSTS": []}, ["hub.E003"]),
        ({"ALLOWED_HOSTS": [], "DEBUG": True}, []),
        ({"UNAVAILABLE_STATUS": 200}, ["hub.E004"]),
        ({"SECOND_PERSON_HOURS": 0}, ["hub.E021"]),
        ({"SECOND_PERSON_HOURS": 0, "DEBUG": True}, []),
        ({"SECURE_COOKIES": False}, ["hub.W005"]),
        ({"SECURE_COOKIES": False, "DEBUG": True}, []),
        ({"CELERY_BROKER_URL": "redis://:canary@127.0.0.1:1/0"}, ["hub.E006"]),
        ({"AUDIT_CHECKPOINT_EMAILS": []}, ["hub.W007"]),
        ({"AUDIT_CHECKPOINT_EMAILS": [], "AUDIT_CHECKPOINT_FOLDER": "/mnt/worm"}, []),
        ({"AUDIT_CHECKPOINT_EMAILS": [], "DEBUG": True}, []),
    ],
)
def test_unsafe_settings_are_found_with_an_id_and_a_hint(
    settings: Any, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], found: list[str]
) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda _: None)  # as where Celery is not installed
    for name, value in (GOOD | changed).items():
        setattr(settings, name, value)
    messages = [*checks.check_production(), *checks.check_checkpoints(), *checks.check_celery()]
    assert [message.id for message in messages] == found
    assert all(message.hint for message in messages)
    assert all(message.is_serious() == ("hub.E" in str(message.id)) for message in messages)
    assert "canary" not in str(messages)


def test_workers_accept_json_only() -> None:
    settings = load(CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert settings["CELERY_ACCEPT_CONTENT"] == [settings["CELERY_TASK_SERIALIZER"]] == ["json"]


@pytest.mark.submission
@pytest.mark.promise("T3")
def test_the_production_server_does_not_start_with_an_invalid_setting() -> None:
    refused = serve(SECRET_KEY="canary", ALLOWED_HOSTS="")
    assert refused.returncode != 0
    assert "SECRET_KEY is shorter than 50 characters" in refused.stderr
    assert "ALLOWED_HOSTS" in refused.stderr
    assert "canary" not in refused.stdout + refused.stderr


@pytest.mark.nightly
def test_valid_settings_pass_and_invalid_ones_are_refused_by_every_start() -> None:
    result = check()
    assert (result.returncode, "no issues" in result.stdout) == (0, True), result.stderr
    started = serve()
    assert started.returncode == 0, started.stderr
    for values in ({"SECRET_KEY": "canary"}, {"HEALTH_TOKEN": "canary"}, {"DATABASE_URL": "canary"}):
        for refused in (check(**values), serve(**values)):
            assert refused.returncode != 0
            assert "canary" not in refused.stdout + refused.stderr
