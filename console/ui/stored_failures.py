"""Failures that a worker stores as an English sentence, in the language of the reader.

The sentence is stored as it is, because the audit log and exports have it too. Here it is recognised by its template.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from django.utils.translation import gettext, gettext_noop

# Why an exchange with another system failed.
EXCHANGE_FAILURES = (
    gettext_noop("no connection"),
    gettext_noop("the hub has no file descriptor, port, memory or thread left"),
    gettext_noop("the connection was cut"),
    gettext_noop("the certificate is not trusted"),
    gettext_noop("the system requires a client certificate"),
    gettext_noop("the system refused the client certificate"),
    gettext_noop("no response"),
    gettext_noop("the request was not sent"),
    gettext_noop("incomplete response"),
    gettext_noop("the response is too large"),
    gettext_noop("the response is not HTTP"),
    gettext_noop("the response is compressed"),
)

TEMPLATES = (
    # Jobs: exports, erasures.
    gettext_noop(
        "The background job crashed %(number)s times and made no progress. It is not tried again by itself."
    ),
    gettext_noop("An internal error. An administrator can find it in the log."),
    gettext_noop("The export folder cannot be written: %(error)s."),
    gettext_noop(
        "An Excel sheet can contain %(most)s events, but %(count)s were selected. Choose CSV instead."
    ),
    gettext_noop("No audit entries are sealed yet."),
    gettext_noop("Too many audit entries are not sealed yet. Check that a worker is running."),
    gettext_noop("Old audit entries were deleted while this export was running. Export again."),
    gettext_noop("New audit entries are not being sealed. Check that a worker is running."),
    gettext_noop("There is no space left for temporary files (SQLITE_TMPDIR or /var/tmp)."),
    gettext_noop("A stored value of event %(event)s cannot be read. Run verify_audit, which names the row."),
    # Notifications of alarms, and checkpoints.
    gettext_noop("internal error; see the log"),
    gettext_noop("this channel is no longer configured"),
    gettext_noop("the mail server did not accept it: %(error)s"),
    gettext_noop("the file could not be written: %(error)s"),
    gettext_noop("%(name)s already exists with other content"),
    gettext_noop("the settings of %(receiver)s are not good: %(error)s"),
    gettext_noop("%(receiver)s responded with %(status)s"),
    gettext_noop("%(receiver)s failed: %(failure)s"),
    # Receivers.
    gettext_noop("the alarm webhook"),
    gettext_noop("the checkpoint address"),
    *EXCHANGE_FAILURES,
)


def translate_failure(sentence: str) -> str:
    """Return a stored failure in the active language; one that is not recognised, as a cut one may be, as it is."""
    return translate_by_template(sentence, TEMPLATES)


def translate_by_template(sentence: str, templates: Sequence[str]) -> str:
    """Return a sentence of one of these templates in the active language; another one as it is. Its values are
    translated too, where they are such sentences.
    """
    for template in templates:
        found = match_template(sentence, template)
        if found is not None:
            values = {name: translate_by_template(value, templates) for name, value in found.items()}
            return gettext(template) % values
    return sentence


def match_template(sentence: str, template: str) -> Mapping[str, str] | None:
    """Return the values of a sentence that a template made; None if it did not make it."""
    found = _pattern_of(template).fullmatch(sentence)
    return None if found is None else found.groupdict()


@cache
def _pattern_of(template: str) -> re.Pattern[str]:
    """Return the pattern of the sentences that a template makes."""
    parts = re.split(r"%\((\w+)\)s", template)
    patterns = [f"(?P<{part}>.+)" if number % 2 else re.escape(part) for number, part in enumerate(parts)]
    return re.compile("".join(patterns))
