"""Words of the erasure pages: states, legal grounds, kinds of data."""

from collections.abc import Iterator, Mapping

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.ui.outcome_texts import render_pill
from sync.models import ErasureState, LegalGround

_STATES: Mapping[str, tuple[str, str, object]] = {
    ErasureState.REQUESTED: ("warn", "‖", gettext_lazy("Waiting for a second administrator")),
    ErasureState.CONFIRMED: ("running", "▸", gettext_lazy("Approved, in progress")),
    ErasureState.DONE: ("good", "✓", gettext_lazy("Erased")),
    ErasureState.REFUSED: ("quiet", "⊘", gettext_lazy("Rejected or withdrawn")),
}
_GROUNDS: Mapping[str, tuple[object, str]] = {
    LegalGround.NOT_NEEDED: (gettext_lazy("The data is no longer needed"), "a"),
    LegalGround.CONSENT: (gettext_lazy("The person withdrew consent"), "b"),
    LegalGround.OBJECTION: (gettext_lazy("The person objects"), "c"),
    LegalGround.UNLAWFUL: (gettext_lazy("The data was processed unlawfully"), "d"),
    LegalGround.OBLIGATION: (gettext_lazy("The law requires the erasure"), "e"),
    LegalGround.CHILD: (gettext_lazy("The data was collected from a child"), "f"),
}
_ROW_LABELS: Mapping[str, object] = {
    "events": gettext_lazy("Events"),
    "receipts": gettext_lazy("Webhook requests"),
    "deliveries": gettext_lazy("Deliveries"),
    "attempts": gettext_lazy("Attempts"),
    "calls": gettext_lazy("API calls"),
    "payloads": gettext_lazy("Payloads: received, sent and returned data"),
    "links": gettext_lazy("Links to records in other systems"),
    "keys": gettext_lazy("Encryption keys"),
    "reasons": gettext_lazy("Replay reasons"),
    "differences": gettext_lazy("Differences found by comparisons"),
    "changes": gettext_lazy("Changes found by catch-ups"),
    "views": gettext_lazy("Saved views"),
    "captures": gettext_lazy("Captured requests"),
    "unusable": gettext_lazy("Bodies of unusable requests that contain the id"),
}


def erasure_mark(state: str) -> SafeString:
    style, symbol, label = _STATES[state]
    return render_pill(style, symbol, str(label))


def ground_text(ground: str) -> str:
    words, letter = _GROUNDS[ground]
    return _("%(ground)s (GDPR, Article 17(1)(%(letter)s))") % {"ground": words, "letter": letter}


def ground_choices() -> Iterator[tuple[str, str]]:
    yield "", _("Choose a ground")
    yield from ((ground, ground_text(ground)) for ground in _GROUNDS)


def counted_rows(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return label and number of each kind of data; kinds without data are left out."""
    return [
        (str(_ROW_LABELS.get(name, name.capitalize())), number) for name, number in counts.items() if number
    ]
