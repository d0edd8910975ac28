"""The format of log lines: one message a line, without control characters, so that no line can be forged."""

import logging
import re
import traceback
from datetime import UTC, datetime
from types import TracebackType

from django.db import Error as DatabaseError

# No line names the file, the thread or the process of a call, so logging need not find them out. The process id stays
# available, because gunicorn's own format names it.
logging._srcfile = None
logging.logThreads = logging.logMultiprocessing = False

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class LineFormatter(logging.Formatter):
    """Formats a line as `time level logger message`, with control characters escaped. A traceback follows.

    The text of a database error may hold values of the refused row, so only its type and traceback are logged.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, in UTC, with its traceback."""
        message = record.getMessage()
        if not message.isprintable():
            message = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", message)
        at = datetime.fromtimestamp(record.created, UTC).time().isoformat("milliseconds")
        line = f"{at} {record.levelname.lower():7} {record.name}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def formatException(  # noqa: N802 - the name of logging
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """Return a traceback. If a database error caused the exception, its text is left out."""
        if ei[1] is None or not _comes_from_database(ei[1]):
            return super().formatException(ei)
        return "".join(traceback.format_tb(ei[2])) + type(ei[1]).__name__


def _comes_from_database(error: BaseException | None) -> bool:
    """True if an error of the database is the exception or is in its chain of causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, DatabaseError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
