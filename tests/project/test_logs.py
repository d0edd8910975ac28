"""Log lines and error pages: without values of rows and without secrets; one line for each message."""

import html
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.db import IntegrityError
from django.test import RequestFactory
from django.utils.module_loading import import_string
from django.views.debug import get_default_exception_reporter_filter
from gunicorn import glogging

from connectors.values.secret_forms import SecretSet, remember_secrets
from integration_hub.logs import LineFormatter
from integration_hub.logs.error_reports import log_uncaught_errors
from integration_hub.logs.request_id import REQUEST_ID
from tests.support.leaks.echoed_forms import ECHOED_FORMS, readable_in
from tests.support.rows import in_submission

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

FORMATS = ["text", "json"]
REFERENCE = "06DN9ZB3Y0000000000000000G"


def test_the_first_refused_request_loads_no_codec() -> None:
    """A process without free file descriptors could not load it, and would answer nothing."""
    code = "import sys, integration_hub.logs; sys.exit('encodings.unicode_escape' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def line_of(message: str, error: Exception | None = None, log_format: str = "text", *arguments: Any) -> str:
    info = None
    if error is not None:
        try:
            raise error
        except Exception:
            info = sys.exc_info()
    record = logging.LogRecord("hub", logging.ERROR, "", 1, message, arguments, info)
    return LineFormatter(log_format).format(record)


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.promise("T22")
@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("Key (email)=(anna@example.com) already exists"),
        ValueError("invalid literal for int() with base 10: 'anna@example.com'"),
        KeyError("anna@example.com"),
        UnicodeEncodeError("ascii", "anna@example.com", 0, 1, "ordinal not in range"),
        requests.ConnectionError("https://shop.test/?email=anna@example.com"),
        caused(OSError("the disk is full"), IntegrityError("anna@example.com")),
    ],
)
def test_a_traceback_leaves_out_texts_that_may_repeat_a_value(error: BaseException) -> None:
    line = line_of("failed", error)
    assert "anna@example.com" not in line
    assert type(error).__name__ in line
    assert "test_logs.py" in line


def test_a_traceback_names_every_error_of_its_chain() -> None:
    line = line_of("failed", caused(OSError(28, "No space left on device"), TypeError("int is not iterable")))
    assert "OSError: [Errno 28] No space left on device" in line
    assert "TypeError: int is not iterable" in line
    assert line.index("direct cause") < line.index("OSError")
    first, second = KeyError("a"), KeyError("b")
    first.__context__, second.__context__ = second, first
    assert line_of("failed", first).count("KeyError") == 2, "a circular chain is logged once"


def test_a_line_in_the_format_of_the_web_server_can_be_written() -> None:
    record = logging.LogRecord("gunicorn.error", logging.INFO, "", 1, "Handling signal: %s", ("term",), None)
    line = logging.Formatter(glogging.Logger.error_fmt, glogging.Logger.datefmt).format(record)
    assert line.endswith(f"[{os.getpid()}] [INFO] Handling signal: term")


@pytest.mark.promise("T27")
@pytest.mark.parametrize("log_format", FORMATS)
def test_no_character_starts_a_new_line_or_reverses_the_text(log_format: str) -> None:
    hostile = "".join(
        map(chr, [*range(32), *range(127, 160), 0x200E, 0x202E, 0x2028, 0x2066, 0xD800, 0xFEFF, 0xE0001])
    )
    line = line_of(hostile, ValueError(f"a{hostile}b"), log_format)
    assert all(part.isprintable() for part in line.split("\n"))
    # A traceback has lines of its own in a text; none of them begins where a message does.
    assert all(part.startswith("    ") for part in line.split("\n")[1:])
    assert "\n" not in line or log_format == "text"


def test_a_json_log_line_has_the_fields_that_log_collectors_expect() -> None:
    token = REQUEST_ID.set("request-1")
    try:
        line = json.loads(line_of(f"{REFERENCE} target-rejected: \x1bä", ValueError("wrong"), "json"))
    finally:
        REQUEST_ID.reset(token)
    assert line.pop("time").endswith("Z")
    assert line.pop("traceback").endswith("\nValueError")
    assert line == {
        "level": "error",
        "logger": "hub",
        "message": f"{REFERENCE} target-rejected: \x1bä",
        "reference": REFERENCE,
        "request_id": "request-1",
        "error": "ValueError",
    }


def test_the_format_follows_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert line_of("a", None, "auto").startswith("{")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert not line_of("a", None, "auto").startswith("{")


def test_arguments_that_do_not_fit_are_not_printed() -> None:
    assert line_of("%d of", None, "text", "secret").endswith("%d of")


PROCESS_SECRETS = {
    "SECRET_KEY": "process-secret-key",
    "HEALTH_TOKEN": "process-health-token",
    "METRICS_TOKEN": "process-metrics-token",
    "ALARM_WEBHOOK_SECRET": "whsec_process+alarm/secret",
    "AUDIT_CHECKPOINT_SECRET": "whsec_process+checkpoint/secret",
    "EMAIL_HOST_PASSWORD": "process mail password",
}


@pytest.fixture
def secrets(settings: Any) -> list[str]:
    """Set each secret of the process, and one of a connection. Returns all."""
    for name, value in PROCESS_SECRETS.items():
        setattr(settings, name, value)
    settings.SECRET_KEY_FALLBACKS = ["process-older-key"]
    settings.SEALING_KEYS = ["process-sealing-key-1", "process-sealing-key-2"]
    settings.SEARCH_KEYS = ["process-search-key"]
    settings.CELERY_BROKER_URL = "redis://user:broker%2Fpassword@broker:6379/0"
    settings.DATABASES["default"]["PASSWORD"] = "database-password"
    remember_secrets(SecretSet(["t0ken-of-a-connection"]))
    known = [*PROCESS_SECRETS.values(), "process-older-key", *settings.SEALING_KEYS, *settings.SEARCH_KEYS]
    return [*known, "broker/password", "database-password", "t0ken-of-a-connection"]


@pytest.fixture(autouse=True)
def _same_database_password(settings: Any) -> Any:
    before = settings.DATABASES["default"].get("PASSWORD", "")
    yield
    settings.DATABASES["default"]["PASSWORD"] = before


def leaks_of(secrets: list[str], log_format: str) -> list[tuple[str, str]]:
    """Return which secrets a log line shows, and in which form, in messages, arguments and tracebacks."""
    leaks = []
    for secret in secrets:
        for form, encode in ECHOED_FORMS.items():
            error = OSError(f"GET https://a.test/?k={encode(secret)}")
            line = line_of("sent %s", error, log_format, {"seen": encode(secret)})
            # What a reader of JSON sees, rather than its escapes.
            shown = "\n".join(json.loads(line).values()) if log_format == "json" else line
            if readable_in(shown, secret):
                leaks.append((secret, form))
    return leaks


@pytest.mark.promise("I6", "T20")
@pytest.mark.parametrize("log_format", in_submission(FORMATS, but=["json"]))
def test_no_line_holds_a_secret_of_the_process_or_of_a_connection(
    secrets: list[str], log_format: str
) -> None:
    assert len(secrets) == 13
    assert leaks_of(secrets, log_format) == []


def test_an_error_that_ends_a_thread_is_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR")
    hooks = sys.excepthook, threading.excepthook
    try:
        log_uncaught_errors()
        thread = threading.Thread(target=lambda: 1 / 0, name="counter")
        thread.start()
        thread.join()
    finally:
        sys.excepthook, threading.excepthook = hooks
    assert [record.getMessage() for record in caplog.records] == [
        "unexpected ZeroDivisionError ended counter"
    ]


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_suspicious_request_is_one_short_line(log_format: str) -> None:
    try:
        raise ValueError("a wrong host")
    except ValueError:
        info = sys.exc_info()
    name = "django.security.DisallowedHost"
    record = logging.LogRecord(name, logging.ERROR, "", 1, "x" * 9_000, None, info)
    line = LineFormatter(log_format).format(record)
    assert "\n" not in line
    assert "traceback" not in line
    assert len(line) < 450


@pytest.fixture(autouse=True)
def _own_filter() -> Iterator[None]:
    yield
    get_default_exception_reporter_filter.cache_clear()


SECRET = "t0ken-of-a-debug-page"
PERSON = "anna.secret@example.com"


def test_an_error_page_has_neither_secrets_nor_personal_data(settings: Any) -> None:
    settings.DEBUG = True
    get_default_exception_reporter_filter.cache_clear()
    remember_secrets(SecretSet([SECRET]))
    request = RequestFactory().post(
        "/x?y=1",
        {"email": PERSON},
        headers={"Authorization": f"Bearer {SECRET}", "Cookie": f"session={SECRET}"},
    )
    local_variable = {"email": PERSON, "token": SECRET}
    try:
        raise ValueError(f"responded to {SECRET}", len(local_variable))
    except ValueError:
        made = import_string(settings.DEFAULT_EXCEPTION_REPORTER)(request, *sys.exc_info())
    page = made.get_traceback_html() + made.get_traceback_text()
    assert "test_error_reports.py" in page
    assert not readable_in(html.unescape(page), SECRET)
    assert PERSON not in page
