"""Check that the case number of an erasure names no person, because it stays in the audit log for ever."""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from database.encryption.at_rest import CannotDecrypt
from sync.erasure.subject_data import ErasureSubject
from webhooks.models import Event, Payload

MAX_LENGTH = 40
# Letters, digits and separators, with a digit: a name has none, and an e-mail address needs the @.
_PATTERN = re.compile(r"(?=.*[0-9])[A-Za-z0-9][A-Za-z0-9._/#:-]*")
# The newest payloads of the person that are read. Older ones say the same about the person, or what is outdated.
MAX_PAYLOADS = 200
MAX_BYTES = 1024 * 1024
# Shorter values (a country, a language, a version) occur in a case number by chance.
_MIN_VALUE_LENGTH = 3
_MIN_WORD_LENGTH = 4
_MIN_NUMBER_LENGTH = 6
# Words of a payload that describe a webhook, not a person.
_COMMON_WORDS = frozenset({"user", "group", "file", "create", "update", "delete", "true", "false", "null"})


class CaseNumberRefused(ValueError):
    """The case number may name a person, with a sentence that does not repeat it."""


def clean_case_number(text: str) -> str:
    """Return the case number without white space around it; empty if there is none.

    Raises CaseNumberRefused if it has another form than a case number.
    """
    number = text.strip()
    if number and (len(number) > MAX_LENGTH or not _PATTERN.fullmatch(number)):
        raise CaseNumberRefused(
            _(
                "A case number has at most %(length)d letters (A to Z), digits and . - _ / # :, no spaces, and at "
                "least one digit, for example GDPR-2026-117."
            )
            % {"length": MAX_LENGTH}
        )
    return number


def check_case_number(number: str, subject: ErasureSubject) -> None:
    """Raise CaseNumberRefused if a case number contains what the hub knows about the person to be erased.

    It may not be the id of another stored entity either: the entry in the audit log would survive its erasure. Reads
    and decrypts the newest payloads, at most MAX_PAYLOADS and MAX_BYTES.
    """
    if not number:
        return
    if _contains_id(number, subject.entity_id) or any(
        _is_named(value, number) for value in _stored_values(subject)
    ):
        raise CaseNumberRefused(
            _(
                "The case number contains data that is stored about this person. Enter one that does not name "
                "the person."
            )
        )
    if Event.objects.filter(entity_id=number).exists():
        raise CaseNumberRefused(
            _("The case number is the id of a stored entity. Enter one that does not name a person.")
        )


def _stored_values(subject: ErasureSubject) -> Iterator[str]:
    """Yield the values that are stored about a person: ids, and the values of payloads."""
    records = subject.links.exclude(record_id="").order_by("-pk").values_list("record_id", flat=True)
    events = subject.events.exclude(event_id=None).order_by("-pk").values_list("event_id", flat=True)
    yield from map(str, (*records[:MAX_PAYLOADS], *events[:MAX_PAYLOADS]))
    payloads = Payload.objects.filter(subject__in=subject.keys).select_related("subject")
    left = MAX_BYTES
    for payload in payloads.order_by("-pk")[:MAX_PAYLOADS]:
        # A large payload must not hide the smaller ones behind it.
        if payload.size > left:
            continue
        left -= payload.size
        try:
            yield from _payload_values(payload.decrypt())
        except CannotDecrypt:
            continue


def _payload_values(plain: bytes) -> Iterator[str]:
    """Yield the values of a JSON document; the words of any other text."""
    text = plain.decode("utf-8", "replace")
    try:
        pending: list[Any] = [json.loads(text)]
    except (ValueError, RecursionError):
        pending = list(re.split(r"[\s\"'=&<>,;|{}\[\]]+", text))
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, str | int) and not isinstance(value, bool):
            yield str(value)


def _is_named(value: str, number: str) -> bool:
    """True if a case number equals a value, or contains a word or a long number of it."""
    whole_value, own = _normalize_text(value), _normalize_text(number)
    if len(whole_value) >= _MIN_VALUE_LENGTH and whole_value == own:
        return True
    if whole_value.isdigit() and len(whole_value) >= _MIN_NUMBER_LENGTH:
        return whole_value in re.sub(r"\D", "", own)
    words = {word for word in _split_words(value) if len(word) >= _MIN_WORD_LENGTH and not word.isdigit()}
    return not (words - _COMMON_WORDS).isdisjoint(_split_words(number))


def _split_words(text: str) -> set[str]:
    return set(re.split(r"[\W_]+", _fold_case_and_accents(text)))


def _normalize_text(text: str) -> str:
    """Return the letters and digits of a text in lower case: people write separators as they like."""
    return re.sub(r"[\W_]+", "", _fold_case_and_accents(text))


def _fold_case_and_accents(text: str) -> str:
    """Return a text in lower case without accents."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(c))


def _contains_id(number: str, entity_id: str) -> bool:
    """True if a case number contains the id, however short, between separators or at an end."""
    word = rf"(?<![A-Za-z0-9]){re.escape(entity_id)}(?![A-Za-z0-9])"
    return bool(re.search(word, number, re.IGNORECASE)) or _normalize_text(entity_id) == _normalize_text(
        number
    )
