"""The hub's answer in words for the person who pressed Save."""

from dataclasses import dataclass, field

from sandbox.identity.webhook import Delivered

_PLACES = {
    "email": "email",
    "emails": "email",
    "givenname": "given_name",
    "first_name": "given_name",
    "familyname": "family_name",
    "last_name": "family_name",
    "phone": "mobile",
    "mobile": "mobile",
    "name": "name",
    "title": "name",
}
_SUCCESSES = {
    "succeeded": "The shop is up to date, too.",
    "unchanged": "The shop was already up to date.",
    "superseded": "The shop already has a newer change.",
    "ignored": "No other system needed this change.",
}
_EMAIL_SUCCESS = "The shop now uses your new e-mail address, too."


@dataclass(frozen=True, slots=True)
class Outcome:
    """``tone`` is good, wait or bad; ``fields`` holds a sentence for each form field that the hub named."""

    tone: str
    headline: str
    sentence: str
    reference: str | None = None
    saved_note: bool = False
    fields: dict[str, str] = field(default_factory=dict)


def outcome_of(delivered: Delivered, changed: str = "") -> Outcome:
    """``changed`` names what the person changed: "email", or empty for anything."""
    answer = delivered.json if isinstance(delivered.json, dict) else {}
    reference = answer["reference"] if isinstance(answer.get("reference"), str) else None
    word = answer.get("status")
    if delivered.status == 202 or (delivered.status == 200 and word == "accepted"):
        return Outcome("wait", "Saved", "The other systems will be updated shortly.", reference)
    # A 200 alone proves nothing: something else may listen at the hub's address.
    if delivered.status == 200 and isinstance(word, str) and word in _SUCCESSES:
        email = word == "succeeded" and changed == "email"
        return Outcome("good", "Saved", _EMAIL_SUCCESS if email else _SUCCESSES[word], reference)
    return _failure(delivered, answer, reference)


def _failure(delivered: Delivered, answer: dict[str, object], reference: str | None) -> Outcome:
    title, detail = answer.get("title"), answer.get("detail")
    sentence = (
        detail
        if isinstance(detail, str)
        else delivered.error or "The other systems returned an unexpected response."
    )
    if answer.get("retrying") is True:
        headline = title if isinstance(title, str) else "The other systems are not updated yet"
        return Outcome("wait", headline, f"{sentence} The hub retries automatically.", reference, True)
    headline = title if isinstance(title, str) else "The other systems could not be notified"
    return Outcome("bad", headline, sentence, reference, True, _field_sentences(answer.get("errors")))


def _field_sentences(errors: object) -> dict[str, str]:
    sentences: dict[str, str] = {}
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            name = str(error.get("field", "")).rsplit(".", maxsplit=1)[-1].lower()
            sentences.setdefault(
                _PLACES.get(name, name), str(error.get("detail") or error.get("message") or "")
            )
    return sentences
