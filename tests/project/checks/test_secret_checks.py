"""A weak secret is refused when a process starts, whichever setting it is in, with a sentence that names the setting."""

import base64
import re
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytest

from devtools.make_env import build_environment
from integration_hub.logs import process_secrets
from integration_hub.secret_checks import SECRET_SETTINGS, check_secrets

pytestmark = pytest.mark.pure

RANDOM = bytes(range(7, 39))
GOOD = {
    "SECRET_KEY": "Zq3v9LwXk2Rt8YbN5mHc7Jf4PgSd6Ea1UiOoTyWrQxCvBnMzKlHj",
    "SECRET_KEY_FALLBACKS": "bN5mHc7Jf4PgSd6Ea1UiOoTyWrQxCvBnMzKlHjZq3v9LwXk2Rt8Y",
    "SEALING_KEYS": base64.urlsafe_b64encode(RANDOM).decode(),
    "SEARCH_KEYS": base64.urlsafe_b64encode(RANDOM[::-1]).decode(),
    "HEALTH_TOKEN": "s6Ea1UiOoTyWrQxCvBnMzKlHjZq3v9Lw",
    "METRICS_TOKEN": "K7pLr2VxTq9ZsWc4NdYh8BfMg3JvUaEo",
    "ALARM_WEBHOOK_SECRET": "whsec_" + base64.b64encode(RANDOM[4:]).decode(),
    "AUDIT_CHECKPOINT_SECRET": "whsec_" + base64.b64encode(RANDOM[8:]).decode(),
}


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


WEAK_TEXTS = {
    "white space": GOOD["SECRET_KEY"] + " ",
    "one character": "a" * 60,
    "seven characters": "abcdefgabdcfegabcedfgacbdefgbacdegfabcdfegabdcefgbadcfgeabcd",
    "a repeated word": "correct-horse-battery!" * 4,
    "ten digits": "0123456789" * 6,
    "a placeholder": "change-me-" + GOOD["SECRET_KEY"],
    "the generator of Django": "django-insecure-" + GOOD["SECRET_KEY"],
    "an instruction": "Your_Secret_Token_" + GOOD["SECRET_KEY"],
}
WEAK_SIGNING = [
    encoded(RANDOM),
    "whsec_" + encoded(RANDOM[:23]),
    "whsec_" + encoded(bytes(32)),
    "whsec_" + encoded(b"an-example-of-a-secret-0123456789"),
]
WEAK = {
    "SECRET_KEY": [GOOD["SECRET_KEY"][:49], *WEAK_TEXTS.values()],
    "SECRET_KEY_FALLBACKS": [GOOD["SECRET_KEY"][:49], WEAK_TEXTS["white space"], WEAK_TEXTS["ten digits"]],
    "HEALTH_TOKEN": [GOOD["HEALTH_TOKEN"][:31], WEAK_TEXTS["white space"], WEAK_TEXTS["ten digits"]],
    "METRICS_TOKEN": [GOOD["METRICS_TOKEN"][:31], WEAK_TEXTS["one character"], WEAK_TEXTS["a placeholder"]],
    "SEALING_KEYS": [
        encoded(RANDOM[:31]),
        encoded(bytes(32)),
        encoded(b"0123456701234567" * 2),
        encoded(b"changeme-0123456789-abcdefghijkl"),
    ],
    "SEARCH_KEYS": [encoded(RANDOM[:31]), encoded(bytes(32))],
    "ALARM_WEBHOOK_SECRET": WEAK_SIGNING,
    "AUDIT_CHECKPOINT_SECRET": WEAK_SIGNING,
}


_LISTS = ("SECRET_KEY_FALLBACKS", "SEALING_KEYS", "SEARCH_KEYS")


def change(settings: Any, values: dict[str, str]) -> None:
    for name, value in values.items():
        is_list = name in _LISTS
        setattr(settings, name, value.split(",") if is_list else value)


@pytest.fixture
def good(settings: Any) -> Any:
    change(settings, GOOD)
    return settings


def test_good_secrets_pass_and_so_do_those_that_are_not_set(good: Any) -> None:
    assert check_secrets() == []
    for name in (
        "SECRET_KEY_FALLBACKS",
        "SEARCH_KEYS",
        "HEALTH_TOKEN",
        "METRICS_TOKEN",
        "ALARM_WEBHOOK_SECRET",
        "AUDIT_CHECKPOINT_SECRET",
    ):
        setattr(good, name, [] if name in _LISTS else "")
    assert check_secrets() == []


@pytest.mark.promise("T3")
@pytest.mark.parametrize("name", SECRET_SETTINGS)
def test_a_weak_secret_is_refused_and_named_with_a_command_that_makes_a_good_one(
    good: Any, name: str
) -> None:
    for value in ("canary-1", *WEAK[name]):
        change(good, {name: value})
        [message] = check_secrets()
        assert message.is_serious()
        assert name in message.msg
        assert value not in f"{message.msg} {message.hint}"
    command = re.search(r"python -c '(.+)'$", message.hint or "")
    assert command
    with redirect_stdout(StringIO()) as made:
        exec(command[1])
    change(good, {name: made.getvalue().strip()})
    assert check_secrets() == []


@pytest.mark.parametrize("name", _LISTS)
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
    # Who tries out a new hub alone does not wait for a day.
    assert (made["SECOND_PERSON_HOURS"], made["DEBUG"]) == ("0", "on")
