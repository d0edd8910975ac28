"""A hub with unsafe settings does not start, and names the variable in one sentence."""

import re
from pathlib import Path

import pytest

from tests.support.processes.settings_check import VALID_SETTINGS, check, run, serve

pytestmark = [pytest.mark.pure, pytest.mark.slow]  # processes of their own


@pytest.mark.slow
def test_valid_settings_pass_without_output() -> None:
    result = check()
    assert (result.returncode, "no issues" in result.stdout) == (0, True), result.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "SEALING_KEYS"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_secret_stops_the_start_and_is_named(name: str, value: str | None) -> None:
    result = check(**{name: value})
    assert result.returncode != 0
    assert re.search(rf"Set {name} in the environment or in \.env: .+\.", result.stderr)


def test_debug_does_not_generate_a_secret() -> None:
    assert check(DEBUG="on", SECRET_KEY=None).returncode != 0
    assert check(DEBUG="on", SEALING_KEYS=None).returncode != 0


KEY = ("hub.E001) SECRET_KEY", "token_urlsafe")
HOSTS = ("hub.E003) ALLOWED_HOSTS", "Set the host names")
STATUS = ("hub.E004) UNAVAILABLE_STATUS", "Use 503, or 429")


@pytest.mark.slow
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
            {"SECRET_KEY": "a" * 60, "SEALING_KEYS": f"{VALID_SETTINGS['SEALING_KEYS']},c2hvcnQ="},
            [KEY, ("hub.E002) Key number 2 of SEALING_KEYS", "os.urandom(32)")],
        ),
    ],
)
def test_an_invalid_setting_is_an_error_with_an_id_and_a_hint(
    variables: dict[str, str], findings: list[tuple[str, str]]
) -> None:
    result = check(**variables)
    assert result.returncode != 0
    errors = re.findall(r"(hub\.E.+)\n\s+HINT: (.+)", result.stderr.partition("ERRORS:")[2])
    assert len(errors) == len(findings)
    for (finding, hint), (message, told_hint) in zip(findings, errors, strict=True):
        assert finding in message
        assert hint in told_hint


@pytest.mark.slow
def test_the_production_server_starts_with_valid_settings() -> None:
    started = serve()
    assert started.returncode == 0, started.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables", [{"ALLOWED_HOSTS": ""}, {"SEALING_KEYS": "not-a-key"}, {"SECRET_KEY": "short"}]
)
def test_the_production_server_does_not_start_with_invalid_settings(variables: dict[str, str]) -> None:
    refused = serve(**variables)
    assert refused.returncode != 0
    assert next(iter(variables)) in refused.stderr


@pytest.mark.slow
def test_a_check_never_repeats_a_secret() -> None:
    result = check(SECRET_KEY="canary-secret", SEALING_KEYS="canary-sealing")
    assert "canary" not in result.stdout + result.stderr


@pytest.mark.slow
def test_insecure_cookies_are_a_warning() -> None:
    assert "hub.W005" in check(SECURE_COOKIES="off").stderr
    assert "hub.W005" not in check(SECURE_COOKIES="off", DEBUG="on").stderr


@pytest.mark.slow
def test_a_hub_without_checkpoint_channels_is_a_warning() -> None:
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
        ("UNKEPT_WRITES", "-1"),
        ("UNKEPT_WRITES", "2"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_an_implausible_value_stops_the_start_and_is_named(name: str, value: str) -> None:
    assert re.search(rf"ImproperlyConfigured: {name}: must be .+, not '{value}'\.", refusal(**{name: value}))


@pytest.mark.parametrize(
    "value", ["60;300", "60,,300", "300,60", "60,60", "0", "nan", "90000", "1,2,3,4,5,6,7,8,9,10,11"]
)
def test_invalid_delays_stop_the_start_and_are_named(value: str) -> None:
    assert (
        f"RECHECK_SECONDS: must be one to ten increasing numbers of seconds from 0.01 to 86,400, separated by commas, not {value!r}."
        in refusal(RECHECK_SECONDS=value)
    )


def test_an_environment_file_may_be_indented(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("    # pasted from a page\n\n    SECRET_KEY=short\n  export DEBUG=1\n")
    result = check(HUB_ENV_FILE=str(file), SECRET_KEY=None)
    assert "SECRET_KEY is shorter than 50 characters" in result.stderr


def test_an_invalid_line_of_an_environment_file_is_named_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("DEBUG=1\nSECRET_KEY = canary\n")
    result = check(HUB_ENV_FILE=str(file))
    assert result.returncode == 1
    assert f"{file}: line 2 must be NAME=value" in result.stderr
    assert "canary" not in result.stderr + result.stdout


@pytest.mark.parametrize("value", ["canary", "mysql://hub:canary@db/hub", "postgres://hub@db:canary/hub"])
def test_an_invalid_database_url_stops_the_start_and_is_not_repeated(value: str) -> None:
    message = refusal(DATABASE_URL=value)
    assert re.search(r"ImproperlyConfigured: DATABASE_URL: must be like .+\.", message)
    assert "canary" not in message


@pytest.mark.parametrize("value", ["canary", "smtp://mail.example.com:canary"])
def test_an_invalid_mail_server_url_stops_the_start_and_is_not_repeated(value: str) -> None:
    message = refusal(EMAIL_URL=value)
    assert re.search(r"ImproperlyConfigured: EMAIL_URL: must be like .+\.", message)
    assert "canary" not in message


@pytest.mark.parametrize("value", ["canary", "ftp://canary", "https://u:canary@hub.example.com", "https://"])
def test_an_invalid_public_url_stops_the_start_and_is_not_repeated(value: str) -> None:
    result = check(PUBLIC_URL=value)
    assert result.returncode != 0
    assert "Set PUBLIC_URL" in result.stderr
    assert "canary" not in result.stderr


def test_an_empty_connection_pool_stops_the_start() -> None:
    assert "DATABASE_POOL: must be a whole number from 1" in refusal(
        DATABASE_URL="postgres://hub@localhost/hub", DATABASE_POOL="0"
    )


def test_numbers_are_parsed_and_empty_ones_use_the_default() -> None:
    shown = run(
        "-c",
        "from integration_hub import settings as s; print(s.ALARM_LATE_SECONDS, s.LEASE_SECONDS, s.DELIVERY_THREADS)\n"
        "print(s.RECHECK_SECONDS)",
        ALARM_LATE_SECONDS="1e3",
        LEASE_SECONDS="",
        DELIVERY_THREADS="8",
        RECHECK_SECONDS="1, 5.5",
    )
    assert shown.stdout.splitlines() == ["1000.0 40.0 8", "(1.0, 5.5)"]


def refusal(**variables: str) -> str:
    """Return the message of a refused start."""
    result = run("-c", "import integration_hub.settings", **variables)
    assert result.returncode != 0
    return result.stderr


@pytest.mark.slow
def test_an_unknown_value_of_debug_means_off() -> None:
    assert "hub.E003" in check(DEBUG="canary", ALLOWED_HOSTS=None).stderr


def test_a_development_hub_answers_only_local_hosts() -> None:
    result = run(
        "-c",
        "from integration_hub import settings; print(settings.ALLOWED_HOSTS)",
        DEBUG="on",
        ALLOWED_HOSTS=None,
    )
    assert result.stdout.strip() == "['localhost', '127.0.0.1', '[::1]']"
