"""The file whose age tells a service manager whether a worker, or Celery's beat, still makes its rounds."""

import logging
import time
from pathlib import Path

from django.conf import settings

logger = logging.getLogger("hub.worker")

# A round of a worker may take this long while the database or a system hangs.
MAX_AGE_SECONDS = 180.0
_INTERVAL_SECONDS = 5.0


class Heartbeat:
    """Touches a file every few seconds, if it is called that often. Without a path it does nothing."""

    def __init__(self, path: str) -> None:
        self._path, self._next, self._has_failed = path, 0.0, False

    def beat(self) -> None:
        """Show that a round begins. Never raises: a worker works without its file."""
        now = time.monotonic()
        if not self._path or now < self._next:
            return
        self._next = now + _INTERVAL_SECONDS
        try:
            Path(self._path).touch()
        except OSError as error:
            if not self._has_failed:
                logger.warning("HEARTBEAT_FILE cannot be written: %s", error.strerror)
            self._has_failed = True
        else:
            self._has_failed = False


def make_heartbeat() -> Heartbeat:
    """Return the heartbeat of this process, on the file of HEARTBEAT_FILE."""
    return Heartbeat(settings.HEARTBEAT_FILE)
