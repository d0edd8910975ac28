"""Log lines: one for each message, without values of rows."""

import logging
import os
import sys

import pytest
from django.db import IntegrityError
from gunicorn import glogging

from integration_hub.logs import LineFormatter

pytestmark = pytest.mark.pure


def line_of(message: str, error: Exception | None = None) -> str:
    info = None
    if error is not None:
        try:
            raise error
        except Exception:
            info = sys.exc_info()
    return LineFormatter().format(logging.LogRecord("hub", logging.ERROR, "", 1, message, None, info))


def test_a_message_cannot_begin_a_line_of_its_own() -> None:
    assert "\n" not in line_of("a\nb\x1b[31m\u2028c")


def test_a_database_error_is_logged_without_the_values_of_its_row() -> None:
    line = line_of("failed", IntegrityError("Key (email)=(anna@example.com) already exists"))
    assert "anna@example.com" not in line
    assert "IntegrityError" in line
    assert "test_logs.py" in line


def test_an_error_that_a_database_error_caused_is_treated_alike() -> None:
    error = RuntimeError("anna@example.com")
    error.__cause__ = IntegrityError("anna@example.com")
    assert "anna@example.com" not in line_of("failed", error)


def test_a_line_in_the_format_of_the_web_server_can_be_written() -> None:
    record = logging.LogRecord("gunicorn.error", logging.INFO, "", 1, "Handling signal: %s", ("term",), None)
    line = logging.Formatter(glogging.Logger.error_fmt, glogging.Logger.datefmt).format(record)
    assert line.endswith(f"[{os.getpid()}] [INFO] Handling signal: term")


def test_any_other_error_is_logged_completely() -> None:
    assert "no such mapping" in line_of("failed", ValueError("no such mapping"))
