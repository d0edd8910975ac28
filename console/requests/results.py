"""Results of requests that reached the hub, with their texts and pills."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.ui.outcome_texts import describe_code, render_pill
from webhooks.models import HANDSHAKE_CODE, Receipt, Refusal
from webhooks.protocol.signature_reasons import SignatureReason
from webhooks.receiving.answers import IGNORED_CODES

NOT_VERIFIED_CODE = "bad-signature"
OVER_LIMIT_CODE = "too-many-requests"


class RequestResult(StrEnum):
    """The result of a request, as the list *Requests* shows it."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    UNUSABLE = "unusable"
    NOT_VERIFIED = "not-verified"
    OVER_LIMIT = "over-limit"
    REFUSED = "refused"
    HANDSHAKE = "handshake"


RECEIPT_RESULTS = (RequestResult.ACCEPTED, RequestResult.DUPLICATE, RequestResult.UNUSABLE)
REFUSAL_RESULTS = (
    RequestResult.NOT_VERIFIED,
    RequestResult.OVER_LIMIT,
    RequestResult.REFUSED,
    RequestResult.HANDSHAKE,
)
RESULT_NAMES: Mapping[RequestResult, Any] = {
    RequestResult.ACCEPTED: gettext_lazy("Accepted"),
    RequestResult.DUPLICATE: gettext_lazy("Duplicate"),
    RequestResult.UNUSABLE: gettext_lazy("Unusable"),
    RequestResult.NOT_VERIFIED: gettext_lazy("Not verified"),
    RequestResult.OVER_LIMIT: gettext_lazy("Over the request limit"),
    RequestResult.REFUSED: gettext_lazy("Refused for another reason"),
    RequestResult.HANDSHAKE: gettext_lazy("Handshake"),
}
_PILLS: Mapping[RequestResult, tuple[str, str]] = {
    RequestResult.ACCEPTED: ("good", "✓"),
    RequestResult.DUPLICATE: ("quiet", "="),
    RequestResult.UNUSABLE: ("bad", "?"),
    RequestResult.NOT_VERIFIED: ("bad", "✕"),
    RequestResult.OVER_LIMIT: ("warn", "‖"),
    RequestResult.REFUSED: ("warn", "⊘"),
    RequestResult.HANDSHAKE: ("quiet", "⇄"),
}
SIGNATURE_REASON_NAMES: Mapping[str, Any] = {
    SignatureReason.HEADER_MISSING: gettext_lazy("Header missing or empty"),
    SignatureReason.MALFORMED_HEADER: gettext_lazy("Malformed header"),
    SignatureReason.MALFORMED_TIMESTAMP: gettext_lazy("Malformed timestamp"),
    SignatureReason.OLD_TIMESTAMP: gettext_lazy("Timestamp too old or in the future"),
    SignatureReason.WRONG_SIGNATURE: gettext_lazy("No secret matches the signature"),
    SignatureReason.NO_LIVE_SECRET: gettext_lazy("Source has no active secret"),
    SignatureReason.INVALID_SETTINGS: gettext_lazy("Invalid settings of the source"),
    SignatureReason.WRONG_QUERY: gettext_lazy("Query of the address differs from the settings"),
    SignatureReason.MALFORMED_BODY: gettext_lazy("Body is not JSON"),
    SignatureReason.SECRET_MISSING: gettext_lazy("Secret missing in the body"),
    SignatureReason.MALFORMED_TOKEN: gettext_lazy("Malformed token"),
    SignatureReason.WRONG_TOKEN: gettext_lazy("Claims of the token differ from the settings"),
    SignatureReason.UNKNOWN_KEY: gettext_lazy("Token signed with an unknown key"),
}


def request_result(row: Receipt | Refusal) -> RequestResult:
    """Return the result of the request, or of the requests, that a row stands for."""
    if isinstance(row, Refusal):
        return refusal_result(row.code)
    if row.event_id is None:
        is_usable = row.event_count is not None or row.code in IGNORED_CODES
        return RequestResult.ACCEPTED if is_usable else RequestResult.UNUSABLE
    return RequestResult.DUPLICATE if row.is_repeat else RequestResult.ACCEPTED


def refusal_result(code: str) -> RequestResult:
    """Return the result of the requests of a row of refusals with this code."""
    if code == NOT_VERIFIED_CODE:
        return RequestResult.NOT_VERIFIED
    if code == HANDSHAKE_CODE:
        return RequestResult.HANDSHAKE
    return RequestResult.OVER_LIMIT if code == OVER_LIMIT_CODE else RequestResult.REFUSED


def reason_text(row: Receipt | Refusal, system: str = "") -> str:
    """Return the reason for which a request was not verified, or else the title of the code that it was answered
    with. `system`: the name of the system that the code is about.
    """
    if isinstance(row, Refusal) and row.reason:
        return str(SIGNATURE_REASON_NAMES.get(row.reason, row.reason))
    if row.code == HANDSHAKE_CODE:
        return _("The sender's handshake was answered")
    if isinstance(row, Receipt) and row.status is None:
        return _("no response yet")
    return describe_code(row.code, system).title


def render_result(result: RequestResult) -> SafeString:
    return render_pill(*_PILLS[result], str(RESULT_NAMES[result]))
