"""The format of log lines: JSON, or text on a terminal. No line can be forged, and none holds a secret of the hub."""

import codecs
import json
import logging
import re
import sys
from datetime import UTC, datetime
from types import TracebackType

from config_schema.codes.trace_context import TRACE_ID
from integration_hub.logs.process_secrets import make_scrubber
from integration_hub.logs.request_id import REQUEST_ID
from integration_hub.logs.tracebacks import format_traceback

# No line names the file, the thread or the process of a call, so logging need not find them out. The process id stays
# available, because gunicorn's own format names it.
logging._srcfile = None
logging.logThreads = logging.logMultiprocessing = False
# Django loads this codec when it logs the first response with a status of 4xx. In a process that has no file descriptor
# left, that would fail, and with it the request.
codecs.lookup("unicode_escape")

# References of events: see config_schema/codes/reference.py.
_REFERENCE = re.compile(r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b")

# A suspicious request decides what its line says.
_MAX_SUSPICION_LENGTH = 250


class LineFormatter(logging.Formatter):
    """Formats a record as one line of JSON, or as `time level logger message` with an indented traceback below it. A
    line about an event whose work is going on names its trace.

    `log_format`: `json`, `text`, or `auto`, which is text if standard error is a terminal. Control characters, and
    those that turn the direction of a text around, are escaped. Tracebacks leave out texts of exceptions that may
    repeat a value, for example one of a refused row. A request that Django finds suspicious (a wrong Host, too many
    fields) is one short line without a traceback: it is not a fault of the hub.
    """

    def __init__(self, log_format: str = "text") -> None:
        super().__init__()
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._is_json = log_format == "json" or (log_format == "auto" and not is_terminal)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, in UTC, with its traceback, and without secrets."""
        # After formatting, because arguments and tracebacks hold secrets too.
        scrub = make_scrubber().scrub_text
        message = scrub(_message_of(record))
        error = scrub(self.formatException(record.exc_info)) if record.exc_info else ""
        if record.name.startswith("django.security."):
            message, error = message[:_MAX_SUSPICION_LENGTH], ""
        if self._is_json:
            return _json_line(record, message, error)
        at = datetime.fromtimestamp(record.created, UTC).time().isoformat("milliseconds")
        trace_id = TRACE_ID.get()
        line = f"{at} {record.levelname.lower():7} {record.name}: {_escape(message)}"
        line += f" [trace {trace_id}]" if trace_id else ""
        # Indented, so that no part of an error's text looks like a line of its own.
        return "\n    ".join([line, *map(_escape, error.split("\n"))]) if error else line

    def formatException(  # noqa: N802 - the name of logging
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """Return a traceback, in which texts that may contain personal data are left out."""
        return format_traceback(ei[1], ei[2]) if ei[1] is not None else super().formatException(ei)


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - logging would print the arguments to standard error
        return str(record.msg)


def _json_line(record: logging.LogRecord, message: str, error: str) -> str:
    reference = _REFERENCE.search(message)
    kind = record.exc_info[0] if record.exc_info else None
    fields = {
        "time": datetime.fromtimestamp(record.created, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": message,
        "reference": reference[0] if reference else "",
        "request_id": REQUEST_ID.get(),
        "trace_id": TRACE_ID.get(),
        "error": kind.__name__ if kind else "",
        "traceback": error,
    }
    # In ASCII: no control or bidi character is left, but for DEL, and every reader can decode it.
    return json.dumps({name: value for name, value in fields.items() if value}).replace("\x7f", "\\u007f")


def _escape(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escape_character, text))


def _escape_character(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65_536 else f"\\U{code:08x}"
