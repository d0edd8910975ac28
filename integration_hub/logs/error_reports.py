"""Errors that nothing caught, as log lines; and Django's error pages in DEBUG, without values and without secrets."""

import logging
import sys
import threading
from collections.abc import ItemsView
from types import FrameType, TracebackType
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from integration_hub.logs.process_secrets import make_scrubber

logger = logging.getLogger("hub.error")


def log_uncaught_errors() -> None:
    """Log errors that end a thread or the process: Python would print them to standard error as they are."""
    sys.excepthook = _log_error
    threading.excepthook = _log_thread_error


def _log_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, Exception):
        logger.critical("unexpected %s ended the process", kind.__name__, exc_info=(kind, error, trace))
    else:
        sys.__excepthook__(kind, error, trace)


def _log_thread_error(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = ended.thread.name if ended.thread else "a thread"
        details = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        logger.error("unexpected %s ended %s", ended.exc_type.__name__, name, exc_info=details)


class ReportFilter(SafeExceptionReporterFilter):
    """Leaves the values of variables, cookies, headers and form fields out of error pages: they hold personal data."""

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        return dict[str, Any]().items()

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        fields = request.POST if request is not None else {}
        return dict.fromkeys(fields, self.cleansed_substitute)

    def get_safe_cookies(self, request: HttpRequest) -> dict[str, Any]:
        return dict.fromkeys(request.COOKIES, self.cleansed_substitute)

    def get_safe_request_meta(self, request: HttpRequest) -> dict[str, Any]:
        meta: dict[str, Any] = super().get_safe_request_meta(request)
        secret = ("HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_PROXY_AUTHORIZATION", "HTTP_WEBHOOK_SIGNATURE")
        return {name: self.cleansed_substitute if name in secret else value for name, value in meta.items()}


class ScrubbedReporter(ExceptionReporter):
    """Django's error page, without the secrets that this process knows."""

    def get_traceback_html(self) -> SafeString:
        return SafeString(make_scrubber().scrub_text(super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        return SafeString(make_scrubber().scrub_text(super().get_traceback_text()))
