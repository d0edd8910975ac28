"""The one catalogue of outcomes: the stable word, the HTTP status, whose it is, whether trying again helps.

A code is prefixed by whose fault it is where that is a remote system's. The words that people read stand in
`sentences`, one file a language.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from webhooks.catalogue import messages
from webhooks.catalogue.messages import LANGUAGES, Language, Words

__all__ = [
    "CATALOGUE",
    "LANGUAGES",
    "RETRYABLE_CODES",
    "Code",
    "Language",
    "Owner",
    "Words",
    "choose_language",
    "is_about_identity",
    "words",
]

Owner = Literal["sender", "identity", "target", "hub", "nobody"]


@dataclass(frozen=True, slots=True)
class Code:
    """`status` answers the sender; `owner` must act where anybody must; `retryable`: the same try later can
    succeed.

    `texts` may hold the place-holder `{connection}`: read them through `words`.
    """

    code: str
    status: int
    owner: Owner
    retryable: bool
    texts: Mapping[Language, Words]

    @property
    def type(self) -> str:
        """The problem type of RFC 9457: a page that the hub itself serves."""
        return f"/problems/{self.code}"

    @property
    def replay_helps(self) -> bool:
        """Return whether a replay can succeed without anybody changing the data first."""
        return self.retryable

    @property
    def is_worth_a_replay(self) -> bool:
        """Return whether a list may offer a replay at once: not if an administrator must act before."""
        return self.replay_helps and self.owner != "hub"


_Row = tuple[int, Owner, bool]

_REQUEST: Mapping[str, _Row] = {
    "bad-request": (400, "sender", False),
    "byte-order-mark": (400, "sender", False),
    "wrong-encoding": (400, "sender", False),
    "too-deep": (400, "sender", False),
    "not-json": (400, "sender", False),
    "number-too-large": (400, "sender", False),
    "bad-text": (400, "sender", False),
    "duplicate-member": (400, "sender", False),
    "not-an-object": (400, "sender", False),
    "missing-member": (400, "sender", False),
    "wrong-id": (400, "sender", False),
    "wrong-entity-type": (400, "sender", False),
    "wrong-event-type": (400, "sender", False),
    "wrong-timestamp": (400, "sender", False),
    "wrong-event-id": (400, "sender", False),
    "wrong-previous": (400, "sender", False),
    "wrong-data": (400, "sender", False),
    "wrong-respond": (400, "sender", False),
    "bad-signature": (401, "sender", False),
    "not-allowed": (403, "sender", False),
    "unknown-source": (404, "sender", False),
    "unknown-path": (404, "sender", False),
    "unknown-outcome": (404, "sender", False),
    "wrong-method": (405, "sender", False),
    "event-id-conflict": (409, "sender", False),
    "source-disabled": (410, "hub", False),
    "too-large": (413, "sender", False),
    "wrong-content-type": (415, "sender", False),
    "too-many-requests": (429, "sender", True),
    "internal-error": (500, "hub", True),
    "storage-unavailable": (503, "hub", True),
}

_OUTCOME: Mapping[str, _Row] = {
    "succeeded": (200, "nobody", False),
    "unchanged": (200, "nobody", False),
    "ignored": (200, "nobody", False),
    "superseded": (200, "nobody", False),
    "accepted": (202, "nobody", False),
    "held": (202, "hub", False),
    "identity-unavailable": (424, "identity", True),
    "identity-timeout": (424, "identity", True),
    "identity-throttled": (424, "identity", True),
    "identity-credentials": (424, "hub", True),
    "identity-garbled": (424, "identity", True),
    "identity-rejected": (424, "identity", False),
    "identity-missing": (424, "identity", True),
    "identity-unsafe-id": (422, "identity", False),
    "target-unavailable": (424, "target", True),
    "target-timeout": (424, "target", True),
    "target-throttled": (424, "target", True),
    "target-credentials": (424, "hub", True),
    "target-garbled": (424, "target", True),
    "target-rejected": (422, "identity", False),
    "target-unsafe-id": (422, "target", False),
    "ambiguous-match": (409, "target", False),
    "no-match": (422, "target", False),
    "unmappable": (422, "identity", False),
    "entity-too-large": (422, "identity", False),
    "interrupted": (424, "hub", True),
    "internal-failure": (424, "hub", True),
    "crashes-hub": (424, "hub", False),
    "connection-disabled": (424, "hub", True),
    "closed": (422, "hub", False),
}

CATALOGUE: Mapping[str, Code] = {
    code: Code(code, *row, {language: messages.load(language)[code] for language in LANGUAGES})
    for code, row in {**_REQUEST, **_OUTCOME}.items()
}
RETRYABLE_CODES = frozenset(code for code, entry in CATALOGUE.items() if entry.retryable)


def is_about_identity(code: str) -> bool:
    """Whether it is about the identity service; what is not is about the commercial system, or nobody."""
    return code.startswith("identity-")


def words(
    code: str, language: Language, *, connection: str = "", translate: Callable[[str], str] = str
) -> Words:
    """What people read for `code`: the name of the connection filled in, a plain word where there is none.

    `translate` is given each text before that, its `{connection}` in place. Raises `KeyError` for a code that is not in
    the catalogue.
    """
    texts = CATALOGUE[code].texts[language]
    side: messages.Side = "identity" if is_about_identity(code) else "target"
    name = connection or translate(messages.unnamed(language, side))
    read = (translate(text) for text in (texts.title, texts.detail, texts.next_step))
    return Words(*(text.replace("{connection}", name) for text in read))


def choose_language(accept_language: str | None) -> Language:
    """The reader's best language that we have, by RFC 9110, section 12.5.4; English where nothing fits.

    `fi-FI` asks for Finnish; of equal weights the first counts; what is malformed is skipped.
    """
    weights: dict[Language, float] = {}
    for tag, weight in _language_ranges(accept_language or ""):
        primary = tag.split("-", 1)[0]
        for language in LANGUAGES:
            if primary == language:
                weights[language] = max(weight, weights.get(language, 0.0))
    best = max(weights, key=lambda language: weights[language], default=LANGUAGES[0])
    return best if weights.get(best) else LANGUAGES[0]


def _language_ranges(header: str) -> Iterator[tuple[str, float]]:
    for entry in header[:1000].lower().split(","):
        tag, _semicolon, parameter = (part.strip() for part in entry.partition(";"))
        name, _equals, value = (part.strip() for part in (parameter or "q=1").partition("="))
        if name == "q" and value.isascii() and value.replace(".", "", 1).isdigit() and float(value) <= 1:
            yield tag, float(value)
