"""A hub that would be unsafe does not start, and says in one sentence which variable is at fault."""

import re

import pytest

from tests.support.processes.settings_check import SOUND, check, run, serve

pytestmark = pytest.mark.pure


def test_sound_settings_pass_without_a_word() -> None:
    done = check()
    assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "SEALING_KEYS"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_secret_stops_the_start_and_is_named(name: str, value: str | None) -> None:
    done = check(**{name: value})
    assert done.returncode != 0
    assert re.search(rf"Set {name} in the environment or in \.env: .+\.", done.stderr)


def test_debug_does_not_make_up_a_secret() -> None:
    assert check(DEBUG="on", SECRET_KEY=None).returncode != 0
    assert check(DEBUG="on", SEALING_KEYS=None).returncode != 0


KEY = ("hub.E001) SECRET_KEY", "token_urlsafe")
HOSTS = ("hub.E003) ALLOWED_HOSTS", "Set the host names")
STATUS = ("hub.E004) UNAVAILABLE_STATUS", "Use 503, or 429")


@pytest.mark.parametrize(
    ("variables", "findings"),
    [
        (
            {
                "SECRET_KEY": "short",
                "SEALING_KEYS": "not-a-key",
                "ALLOWED_HOSTS": "",
                "UNAVAILABLE_STATUS": "200",
            },
            [KEY, ("hub.E002) Key number 1 of SEALING_KEYS", "os.urandom(32)"), HOSTS, STATUS],
        ),
        (
            {"SECRET_KEY": "a" * 60, "SEALING_KEYS": f"{SOUND['SEALING_KEYS']},c2hvcnQ="},
            [KEY, ("hub.E002) Key number 2 of SEALING_KEYS", "os.urandom(32)")],
        ),
    ],
)
def test_an_unsound_setting_is_an_error_with_an_id_and_a_hint(
    variables: dict[str, str], findings: list[tuple[str, str]]
) -> None:
    done = check(**variables)
    assert done.returncode != 0
    errors = re.findall(r"(hub\.E.+)\n\s+HINT: (.+)", done.stderr.partition("ERRORS:")[2])
    assert len(errors) == len(findings)
    for (finding, hint), (told, told_hint) in zip(findings, errors, strict=True):
        assert finding in told
        assert hint in told_hint


def test_the_production_server_starts_with_sound_settings() -> None:
    started = serve()
    assert started.returncode == 0, started.stderr


@pytest.mark.parametrize(
    "variables", [{"ALLOWED_HOSTS": ""}, {"SEALING_KEYS": "not-a-key"}, {"SECRET_KEY": "short"}]
)
def test_the_production_server_does_not_start_either(variables: dict[str, str]) -> None:
    refused = serve(**variables)
    assert refused.returncode != 0
    assert next(iter(variables)) in refused.stderr


def test_a_check_never_repeats_a_secret() -> None:
    done = check(SECRET_KEY="canary-secret", SEALING_KEYS="canary-sealing")
    assert "canary" not in done.stdout + done.stderr


def test_cookies_that_can_be_read_on_the_wire_are_a_warning() -> None:
    assert "hub.W005" in check(SECURE_COOKIES="off").stderr
    assert "hub.W005" not in check(SECURE_COOKIES="off", DEBUG="on").stderr


def test_a_hub_whose_checkpoints_go_nowhere_is_warned() -> None:
    assert "hub.W007" in check(AUDIT_CHECKPOINT_EMAILS=None).stderr
    assert "hub.W007" not in check(AUDIT_CHECKPOINT_EMAILS=None, AUDIT_CHECKPOINT_FOLDER="/mnt/worm").stderr
    assert "hub.W007" not in check(AUDIT_CHECKPOINT_EMAILS=None, DEBUG="on").stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DELIVERY_THREADS", "two"),
        ("DELIVERY_THREADS", "2.5"),
        ("LEASE_SECONDS", "40s"),
        ("ALARM_LATE_SECONDS", "5 minutes"),
        ("ALARM_LATE_SECONDS", "nan"),
        ("ALARM_LATE_SECONDS", "inf"),
        ("DELIVERY_THREADS", "0"),
        ("LEASE_SECONDS", "0"),
        ("DATABASE_WAIT_SECONDS", "-1"),
        ("EXPORTS_AT_ONCE", "0"),
        ("TRUSTED_PROXIES", "-1"),
        ("REPLAY_LIMIT", "-1"),
        ("KEEP_EVENTS_DAYS", "-1"),
        ("KEEP_AUDIT_DAYS", "-1"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_value_that_cannot_be_meant_stops_the_start_and_is_named(name: str, value: str) -> None:
    assert re.search(rf"ImproperlyConfigured: {name}: must be .+, not '{value}'\.", refusal(**{name: value}))


@pytest.mark.parametrize("value", ["canary", "mysql://hub:canary@db/hub", "postgres://hub@db:canary/hub"])
def test_an_address_of_no_database_stops_the_start_and_is_not_repeated(value: str) -> None:
    told = refusal(DATABASE_URL=value)
    assert re.search(r"ImproperlyConfigured: DATABASE_URL: must be like .+\.", told)
    assert "canary" not in told


@pytest.mark.parametrize("value", ["canary", "smtp://mail.example.com:canary"])
def test_an_address_of_no_mail_server_stops_the_start_and_is_not_repeated(value: str) -> None:
    told = refusal(EMAIL_URL=value)
    assert re.search(r"ImproperlyConfigured: EMAIL_URL: must be like .+\.", told)
    assert "canary" not in told


def test_a_pool_that_nothing_can_be_taken_from_stops_the_start() -> None:
    assert "DATABASE_POOL: must be a whole number from 1" in refusal(
        DATABASE_URL="postgres://hub@localhost/hub", DATABASE_POOL="0"
    )


def test_numbers_are_read_as_they_are_written_and_empty_ones_are_the_default() -> None:
    shown = run(
        "-c",
        "from integration_hub import settings as s; print(s.ALARM_LATE_SECONDS, s.LEASE_SECONDS, s.DELIVERY_THREADS)",
        ALARM_LATE_SECONDS="1e3",
        LEASE_SECONDS="",
        DELIVERY_THREADS="8",
    )
    assert shown.stdout.split() == ["1000.0", "40.0", "8"]


def refusal(**variables: str) -> str:
    """What a start says that is refused."""
    done = run("-c", "import integration_hub.settings", **variables)
    assert done.returncode != 0
    return done.stderr


def test_a_word_for_debug_that_is_not_understood_means_off() -> None:
    assert "hub.E003" in check(DEBUG="canary", ALLOWED_HOSTS=None).stderr


def test_on_a_laptop_only_this_machine_is_answered() -> None:
    done = run(
        "-c",
        "from integration_hub import settings; print(settings.ALLOWED_HOSTS)",
        DEBUG="on",
        ALLOWED_HOSTS=None,
    )
    assert done.stdout.strip() == "['localhost', '127.0.0.1', '[::1]']"
