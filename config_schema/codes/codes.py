"""The catalogue of outcome codes: HTTP status, owner, and whether a retry can help.

A code about a remote system begins with `identity-` or `target-`. The texts that people read are in one TOML file for
each language (`messages`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from config_schema.codes import messages
from config_schema.codes.messages import LANGUAGES, CodeTexts, Language

__all__ = [
    "CATALOGUE",
    "HELD_EVENT_CODES",
    "HUB_FOUND_CODES",
    "IGNORED_EVENT_CODES",
    "LANGUAGES",
    "NOT_STORED_CODES",
    "RETRYABLE_CODES",
    "CodeTexts",
    "Language",
    "OutcomeCode",
    "Owner",
    "choose_language",
    "code_texts",
    "is_about_identity",
]

Owner = Literal["sender", "identity", "target", "hub", "nobody"]


@dataclass(frozen=True, slots=True)
class OutcomeCode:
    """One code of the catalogue.

    `status` is the HTTP status of the answer, `owner` the party that must act. If `retryable`, the same attempt can
    succeed later. `texts` may contain `{connection}`: read them with `code_texts`.
    """

    code: str
    status: int
    owner: Owner
    retryable: bool
    texts: Mapping[Language, CodeTexts]

    @property
    def type(self) -> str:
        """The problem type of RFC 9457: the path of a page that the hub serves."""
        return f"/problems/{self.code}"

    @property
    def replay_helps(self) -> bool:
        """True if a replay can succeed without a change of the data first."""
        return self.retryable

    @property
    def is_worth_a_replay(self) -> bool:
        """True if a list may offer a replay: it can succeed, and no administrator has to act first."""
        return self.replay_helps and self.owner != "hub"


_Row = tuple[int, Owner, bool]

_REQUEST: Mapping[str, _Row] = {
    "bad-request": (400, "sender", False),
    "byte-order-mark": (400, "sender", False),
    "wrong-encoding": (400, "sender", False),
    "too-deep": (400, "sender", False),
    "not-json": (400, "sender", False),
    "not-form": (400, "sender", False),
    "number-too-large": (400, "sender", False),
    "bad-text": (400, "sender", False),
    "duplicate-member": (400, "sender", False),
    "not-an-object": (400, "sender", False),
    "missing-member": (400, "sender", False),
    "wrong-id": (400, "sender", False),
    "wrong-entity-type": (400, "sender", False),
    "wrong-event-type": (400, "sender", False),
    "wrong-timestamp": (400, "sender", False),
    "missing-time": (400, "sender", False),
    "wrong-event-id": (400, "sender", False),
    "wrong-previous": (400, "sender", False),
    "wrong-data": (400, "sender", False),
    "wrong-respond": (400, "sender", False),
    "wrong-events": (400, "sender", False),
    "format-error": (400, "hub", False),
    "bad-signature": (401, "sender", False),
    "not-allowed": (403, "sender", False),
    "unknown-source": (404, "sender", False),
    "unknown-path": (404, "sender", False),
    "unknown-outcome": (404, "sender", False),
    "wrong-method": (405, "sender", False),
    "slow-request": (408, "sender", False),
    "event-id-conflict": (409, "sender", False),
    "source-disabled": (410, "hub", False),
    "too-many-events": (413, "sender", False),
    "too-many-fields": (413, "sender", False),
    "too-large": (413, "sender", False),
    "wrong-content-type": (415, "sender", False),
    "too-many-requests": (429, "sender", True),
    "internal-error": (500, "hub", True),
    "storage-unavailable": (503, "hub", True),
    "hub-moving": (503, "hub", True),
}

_IGNORED_EVENT: Mapping[str, _Row] = {
    "ignored": (200, "nobody", False),
    "observed": (200, "nobody", False),
    "observed-failed": (200, "nobody", False),
    "filtered": (200, "nobody", False),
    "out-of-scope": (200, "nobody", False),
}

_HELD_EVENT: Mapping[str, _Row] = {
    "held": (202, "hub", False),
    "held-match": (202, "hub", False),
    "held-external-id": (202, "hub", False),
}

_OUTCOME: Mapping[str, _Row] = {
    **_IGNORED_EVENT,
    **_HELD_EVENT,
    "succeeded": (200, "nobody", False),
    "unchanged": (200, "nobody", False),
    "type-not-handled": (200, "nobody", False),
    "superseded": (200, "nobody", False),
    "accepted": (202, "nobody", False),
    "identity-unavailable": (424, "identity", True),
    "identity-timeout": (424, "identity", True),
    "identity-throttled": (424, "identity", True),
    "identity-credentials": (424, "hub", True),
    "identity-forbidden": (424, "hub", True),
    "identity-garbled": (424, "identity", True),
    "identity-rejected": (424, "identity", False),
    "identity-missing": (424, "identity", True),
    "identity-missing-unproven": (424, "hub", True),
    "identity-not-configured": (424, "hub", True),
    "identity-over-budget": (424, "hub", True),
    "identity-unsafe-id": (422, "identity", False),
    "target-unavailable": (424, "target", True),
    "target-timeout": (424, "target", True),
    "target-throttled": (424, "target", True),
    "target-credentials": (424, "hub", True),
    "target-forbidden": (424, "hub", True),
    "target-garbled": (424, "target", True),
    "target-missing-unproven": (424, "hub", True),
    "target-stale": (424, "target", True),
    "target-rejected": (422, "identity", False),
    "target-not-configured": (424, "hub", True),
    "target-over-budget": (424, "hub", True),
    "target-missing-value": (422, "hub", False),
    "target-unsafe-id": (422, "target", False),
    "ambiguous-match": (409, "target", False),
    "no-match": (422, "target", False),
    "unmappable": (422, "hub", False),
    "missing-data": (422, "identity", False),
    "mapping-over-budget": (424, "hub", True),
    "mapping-failed": (422, "hub", False),
    "reference-missing": (424, "identity", True),
    "too-many-references": (422, "identity", False),
    "entity-too-large": (422, "identity", False),
    "interrupted": (424, "hub", True),
    "internal-failure": (424, "hub", True),
    "hub-exhausted": (424, "hub", True),
    "crashes-hub": (424, "hub", False),
    "connection-disabled": (424, "hub", True),
    "closed": (422, "hub", False),
}

CATALOGUE: Mapping[str, OutcomeCode] = {
    code: OutcomeCode(code, *row, {language: messages.load_texts(language)[code] for language in LANGUAGES})
    for code, row in {**_REQUEST, **_OUTCOME}.items()
}
NOT_STORED_CODES = frozenset(code for code, (_, _, is_retryable) in _REQUEST.items() if is_retryable)
"""Codes of verified requests of which nothing is stored. Their sender has to send them again."""
IGNORED_EVENT_CODES = tuple(_IGNORED_EVENT)
"""Codes of stored events of which nothing was sent, although nothing failed."""
HELD_EVENT_CODES = tuple(_HELD_EVENT)
"""Codes of events that wait for the decision of a person."""
HUB_FOUND_CODES = frozenset(
    {"unmappable", "mapping-failed", "missing-data", "identity-over-budget", "target-over-budget"}
    | {"mapping-over-budget"}
)
"""Codes whose field errors are found by the hub itself: no system has refused a request."""
RETRYABLE_CODES = frozenset(code for code, entry in CATALOGUE.items() if entry.retryable)


def is_about_identity(code: str) -> bool:
    """True if the code is about the identity service. Other codes are about the target, the hub or the sender."""
    return code.startswith("identity-")


def code_texts(
    code: str, language: Language, *, connection: str = "", translate: Callable[[str], str] = str
) -> CodeTexts:
    """Return the texts of a code with the connection's name filled in, or a general name if none is given.

    `translate` is applied to each text before the name is filled in. Raises KeyError for a code that is not in the
    catalogue.
    """
    texts = CATALOGUE[code].texts[language]
    side: messages.Side = "identity" if is_about_identity(code) else "target"
    name = connection or translate(messages.default_connection_name(language, side))
    # The person who waits reads an answer, not a page of the console.
    read = (*map(translate, (texts.title, texts.detail, texts.next_step)), texts.person)
    # Not `str.format`: a name may contain braces.
    return CodeTexts(*(text.replace("{connection}", name) for text in read))


def choose_language(accept_language: str | None) -> Language:
    """Return the available language that an `Accept-Language` header prefers (RFC 9110, section 12.5.4), or English.

    `fi-FI` asks for Finnish. The first of equal weights wins. Malformed entries are skipped.
    """
    # Senders of webhooks rarely state one.
    if not accept_language:
        return LANGUAGES[0]
    weights: dict[Language, float] = {}
    for tag, weight in _language_ranges(accept_language):
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
