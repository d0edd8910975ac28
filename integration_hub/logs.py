"""Log lines that a person and a machine can read: one event a line, no control characters, no forged lines."""

import logging
import re
import traceback
from datetime import UTC, datetime
from types import TracebackType

from django.db import Error as DatabaseError

# Nothing of this is logged, so nothing of it need be found out for each line: where the call stands, who calls. The
# number of the process is: gunicorn's own lines hold it.
logging._srcfile = None
logging.logThreads = logging.logMultiprocessing = False

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class LineFormatter(logging.Formatter):
    """`time level logger message`; line breaks inside a message are written as escapes, tracebacks follow.

    The text of a database error holds values of the row that it refused: of those only type and place are logged.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if not message.isprintable():
            message = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", message)
        at = datetime.fromtimestamp(record.created, UTC).time().isoformat("milliseconds")
        line = f"{at} {record.levelname.lower():7} {record.name}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def formatException(  # noqa: N802 - the name of logging
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        if ei[1] is None or not _comes_from_database(ei[1]):
            return super().formatException(ei)
        return "".join(traceback.format_tb(ei[2])) + type(ei[1]).__name__


def _comes_from_database(error: BaseException | None) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, DatabaseError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
