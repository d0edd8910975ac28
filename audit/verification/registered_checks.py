"""The checks of other tables against the audit log, which the project registers: the log imports none of them."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from django.conf import settings
from django.utils.module_loading import import_string

logger = logging.getLogger("hub.audit")

Check = Callable[[], Iterable[str]]


class CheckStopped(Exception):
    """A check ended by an exception before it had compared everything."""


def registered_checks() -> Sequence[Check]:
    """Return the checks that the setting NIGHTLY_CHECKS names."""
    return [import_string(dotted) for dotted in settings.NIGHTLY_CHECKS]


def run_check(check: Check) -> Iterator[str]:
    """Yield the faults that a check finds. Raises CheckStopped, with the type of the error, if it does not end."""
    try:
        yield from check()
    except Exception as error:
        logger.exception("a check of the audit log stopped")
        name = getattr(check, "__name__", "a check")
        raise CheckStopped(f"{name} stopped: {type(error).__name__}") from error
