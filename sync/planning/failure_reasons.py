"""What failures have in common: code, field, and the system's own code or its sentence, without the values in it. Pure.

Two failures with equal reasons are of one group. No reason names a person: every value is replaced first.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from connectors.contracts.types import FieldError

PLACEHOLDER = "…"
MAX_REASON_LENGTH = 200
_MAX_SENTENCE_LENGTH = 1_000
_MAX_ERRORS = 10
_MAX_VALUES = 200
_MIN_VALUE_LENGTH = 2
# Codes that the hub gives to any field: they say less than the sentence.
_GENERAL_CODES = frozenset({"", "unmappable", "over-budget"})
_QUOTED = re.compile(
    r"\"[^\"\n]{1,300}\"|“[^”\n]{1,300}”|„[^“”\n]{1,300}[“”]|«[^»\n]{1,300}»|‘[^’\n]{1,300}’|`[^`\n]{1,300}`"
    r"|(?<!\w)'[^'\n]{1,300}'(?!\w)"
)
# Addresses of e-mail and of pages, and each word with a digit: numbers, dates, ids, telephone numbers.
_ADDRESS = re.compile(r"[^\s\"'<>(),;:]+@[^\s\"'<>(),;:]+|\w+://[^\s\"'<>]+")
_WITH_DIGIT = re.compile(r"[^\s\"'<>(),;:=\[\]{}]*\d[^\s\"'<>(),;=\[\]{}]*")
_REPEATED = re.compile(rf"{PLACEHOLDER}(?:[\s.,:;/+()-]*{PLACEHOLDER})+")


def fold_values(sentence: str, values: Iterable[str] = (), names: Collection[str] = ()) -> str:
    """Return a system's sentence with a placeholder for each value in it, at most MAX_REASON_LENGTH characters.

    A value is one of `values` (what was sent, in any case), what is in quotes, unless it is one of the fields `names`,
    an address, and each word with a digit.
    """
    text = " ".join(sentence[:_MAX_SENTENCE_LENGTH].split())
    text = _ADDRESS.sub(PLACEHOLDER, text)
    for value in sorted(
        {value for value in values if len(value) >= _MIN_VALUE_LENGTH}, key=len, reverse=True
    ):
        if value.casefold() in text.casefold() and value not in names:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", PLACEHOLDER, text, flags=re.IGNORECASE)
    text = _QUOTED.sub(lambda quoted: quoted[0] if quoted[0][1:-1] in names else PLACEHOLDER, text)
    text = _WITH_DIGIT.sub(PLACEHOLDER, text)
    return _REPEATED.sub(PLACEHOLDER, text)[:MAX_REASON_LENGTH].strip()


def reason_of_failure(
    sentence: str | None,
    errors: Sequence[FieldError],
    values: Iterable[str] = (),
    names: Collection[str] = (),
) -> str:
    """Return the reason that failures of one group share, empty if the system gave none.

    Of each field it has the system's own code, else its sentence; without fields, the sentence of the whole.
    """
    known = list(values)[:_MAX_VALUES]
    parts = sorted({_reason_of_field(error, known, names) for error in errors[:_MAX_ERRORS]})
    if not parts and sentence:
        parts = [fold_values(sentence, known, names)]
    return "\n".join(parts).casefold()


def _reason_of_field(error: FieldError, values: Sequence[str], names: Collection[str]) -> str:
    has_own_code = error.code not in _GENERAL_CODES
    said = error.code if has_own_code else fold_values(error.detail, values, names)
    # A field may be one of a list: `emails.2.value`.
    return f"{re.sub(r'[0-9]+', PLACEHOLDER, error.field)}: {said}"[:MAX_REASON_LENGTH]
