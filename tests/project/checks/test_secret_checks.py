"""A weak secret is refused when a process starts, whichever setting it is in, with a sentence that names the setting."""

import base64
import re
import subprocess
import sys
from typing import Any

import pytest

from integration_hub import secret_checks
from integration_hub.devtools.make_env import build_environment
from integration_hub.logs import process_secrets
from integration_hub.secret_checks import SECRET_SETTINGS, check_secrets
from tests.support.processes.settings_check import check, serve

pytestmark = pytest.mark.pure

RANDOM = bytes(range(7, 39))
GOOD = {
    "SECRET_KEY": "Zq3v9LwXk2Rt8YbN5mHc7Jf4PgSd6Ea1UiOoTyWrQxCvBnMzKlHj",
    "SECRET_KEY_FALLBACKS": "bN5mHc7Jf4PgSd6Ea1UiOoTyWrQxCvBnMzKlHjZq3v9LwXk2Rt8Y",
    "SEALING_KEYS": base64.urlsafe_b64encode(RANDOM).decode(),
    "HEALTH_TOKEN": "s6Ea1UiOoTyWrQxCvBnMzKlHjZq3v9Lw",
    "ALARM_WEBHOOK_SECRET": "whsec_" + base64.b64encode(RANDOM[4:]).decode(),
    "AUDIT_CHECKPOINT_SECRET": "whsec_" + base64.b64encode(RANDOM[8:]).decode(),
}
SEALING, SIGNING = ("SEALING_KEYS",), ("ALARM_WEBHOOK_SECRET", "AUDIT_CHECKPOINT_SECRET")
KEYS, TEXTS = ("SECRET_KEY", "SECRET_KEY_FALLBACKS"), ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "HEALTH_TOKEN")


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


WEAK = [
    *((name, "canary-1") for name in SECRET_SETTINGS),
    *((name, GOOD["SECRET_KEY"][:49]) for name in KEYS),
    ("HEALTH_TOKEN", GOOD["HEALTH_TOKEN"][:31]),
    *((name, "whsec_" + encoded(RANDOM[:23])) for name in SIGNING),
    *((name, encoded(RANDOM)) for name in SIGNING),
    *((name, GOOD["HEALTH_TOKEN"] + " " * 30) for name in TEXTS),
    *((name, "a" * 60) for name in TEXTS),
    *((name, "correct-horse-battery!" * 4) for name in TEXTS),
    *((name, "0123456789" * 6) for name in TEXTS),
    *((name, "change-me-" + GOOD["SECRET_KEY"]) for name in TEXTS),
    *((name, "django-insecure-" + GOOD["SECRET_KEY"]) for name in TEXTS),
    *((name, "Your_Secret_Token_" + GOOD["SECRET_KEY"]) for name in TEXTS),
    *((name, encoded(bytes(32))) for name in SEALING),
    *((name, encoded(b"0123456701234567" * 2)) for name in SEALING),
    *((name, encoded(b"changeme-0123456789-abcdefghijkl")) for name in SEALING),
    *((name, "whsec_" + encoded(bytes(32))) for name in SIGNING),
    *((name, "whsec_" + encoded(b"an-example-of-a-secret-0123456789")) for name in SIGNING),
]


def change(settings: Any, values: dict[str, str]) -> None:
    for name, value in values.items():
        is_list = name in ("SECRET_KEY_FALLBACKS", "SEALING_KEYS")
        setattr(settings, name, value.split(",") if is_list else value)


@pytest.fixture
def good(settings: Any) -> Any:
    change(settings, GOOD)
    return settings


def test_good_secrets_pass(good: Any) -> None:
    assert check_secrets() == []


@pytest.mark.parametrize("name", ["SECRET_KEY_FALLBACKS", *TEXTS[2:], *SIGNING])
def test_a_secret_that_is_not_set_passes(good: Any, name: str) -> None:
    setattr(good, name, [] if name.endswith("FALLBACKS") else "")
    assert check_secrets() == []


@pytest.mark.parametrize(("name", "value"), WEAK)
def test_a_weak_secret_is_refused_and_named_with_a_command_that_makes_a_good_one(
    good: Any, name: str, value: str
) -> None:
    change(good, {name: value})
    [message] = check_secrets()
    assert message.is_serious()
    assert name in message.msg
    assert value not in f"{message.msg} {message.hint}"
    command = re.search(r"python -c '(.+)'$", message.hint or "")
    assert command
    made = subprocess.run([sys.executable, "-c", command[1]], capture_output=True, text=True, check=True)
    change(good, {name: made.stdout.strip()})
    assert check_secrets() == []


@pytest.mark.parametrize("name", ["SECRET_KEY_FALLBACKS", "SEALING_KEYS"])
def test_each_key_of_a_list_is_checked(good: Any, name: str) -> None:
    change(good, {name: f"{GOOD[name]},short"})
    assert [message.msg.partition(" is ")[0] for message in check_secrets()] == [f"Key number 2 of {name}"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"HEALTH_TOKEN": GOOD["SECRET_KEY"]}, "HEALTH_TOKEN has the same value as SECRET_KEY."),
        (
            {"SECRET_KEY_FALLBACKS": GOOD["SECRET_KEY"]},
            "Key number 1 of SECRET_KEY_FALLBACKS has the same value as SECRET_KEY.",
        ),
        (
            {"AUDIT_CHECKPOINT_SECRET": GOOD["ALARM_WEBHOOK_SECRET"]},
            "AUDIT_CHECKPOINT_SECRET has the same value as ALARM_WEBHOOK_SECRET.",
        ),
        (
            {"ALARM_WEBHOOK_SECRET": "whsec_" + encoded(RANDOM)},
            "ALARM_WEBHOOK_SECRET has the same value as Key number 1 of SEALING_KEYS.",
        ),
        (
            {"EMAIL_HOST_PASSWORD": GOOD["HEALTH_TOKEN"]},
            "HEALTH_TOKEN has the same value as EMAIL_URL.",
        ),
        (
            {"CELERY_BROKER_URL": f"redis://:{GOOD['HEALTH_TOKEN']}@127.0.0.1/0"},
            "HEALTH_TOKEN has the same value as CELERY_BROKER_URL.",
        ),
    ],
)
def test_two_uses_of_one_secret_are_refused(good: Any, values: dict[str, str], sentence: str) -> None:
    change(good, values)
    assert [message.msg for message in check_secrets()] == [sentence]


def test_every_secret_that_the_operator_makes_up_is_checked() -> None:
    chosen_elsewhere = {"EMAIL_HOST_PASSWORD"}
    hidden = {*process_secrets._SECRETS, *process_secrets._LISTS}
    assert set(SECRET_SETTINGS) == hidden - chosen_elsewhere


def test_a_new_developers_machine_has_strong_secrets(good: Any) -> None:
    made = dict(line.split("=", 1) for line in build_environment().splitlines() if not line.startswith("#"))
    change(good, {name: made[name] for name in SECRET_SETTINGS if name in made})
    assert check_secrets() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SECRET_KEY_FALLBACKS", "HEALTH_TOKEN", *SIGNING])
def test_a_process_does_not_start_with_a_weak_secret(name: str) -> None:
    variables = {name: "canary-short", "ALARM_WEBHOOK_URL": "https://alarms.example.com/hub"}
    for refused in (check(**GOOD | variables), serve(**GOOD | variables)):
        assert refused.returncode != 0
        assert name in refused.stderr
        assert "canary" not in refused.stdout + refused.stderr


BROKEN = {
    "the shortest length": ("DJANGO_KEY", ("SECRET_KEY", "canary-1")),
    "repeated characters": ("_MIN_DISTINCT", ("HEALTH_TOKEN", "a" * 60)),
    "repeated pieces": ("_is_repeated_piece", ("HEALTH_TOKEN", "0123456789" * 6)),
    "examples": ("_EXAMPLE", ("HEALTH_TOKEN", "change-me-" + GOOD["HEALTH_TOKEN"])),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_tests_fail_if_one_rule_is_left_out(
    what: str, good: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken variants: one rule accepts everything."""
    name, (setting, value) = BROKEN[what]
    everything = secret_checks.SecretKind(lambda text: RANDOM + text.encode(), "")
    replacement: Any = {
        "DJANGO_KEY": everything,
        "_MIN_DISTINCT": 0,
        "_is_repeated_piece": lambda content: False,
        "_EXAMPLE": re.compile("(?!)"),
    }[name]
    monkeypatch.setattr(secret_checks, name, replacement)
    if name == "DJANGO_KEY":
        monkeypatch.setitem(SECRET_SETTINGS, "SECRET_KEY", (everything, "hub.E001"))
    if name == "_MIN_DISTINCT":  # the rule for pieces would notice these too
        monkeypatch.setattr(secret_checks, "_is_repeated_piece", lambda content: False)
    with pytest.raises((AssertionError, ValueError)):
        test_a_weak_secret_is_refused_and_named_with_a_command_that_makes_a_good_one(good, setting, value)


def test_the_tests_fail_if_one_secret_may_serve_twice(good: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken variant: two values are never taken for one."""
    monkeypatch.setattr(secret_checks, "_normalize_secret", lambda value: object())
    with pytest.raises(AssertionError):
        test_two_uses_of_one_secret_are_refused(
            good, {"HEALTH_TOKEN": GOOD["SECRET_KEY"]}, "HEALTH_TOKEN has the same value as SECRET_KEY."
        )
