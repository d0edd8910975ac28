"""Texts that describe the hub's response to the person who saved a change."""

from dataclasses import dataclass, field

from sandbox.identity.webhook import SentWebhook

_FORM_FIELDS = {
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
    "observed": "The other systems do not take over changes yet.",
}
_EMAIL_SUCCESS = "The shop now uses your new e-mail address, too."


@dataclass(frozen=True, slots=True)
class SaveOutcome:
    """The result of a save, as a page shows it.

    ``tone`` is good, wait or bad. ``fields`` holds a message for each form field that the hub named.
    """

    tone: str
    headline: str
    sentence: str
    reference: str | None = None
    shows_saved_note: bool = False
    fields: dict[str, str] = field(default_factory=dict)


def describe_outcome(sent: SentWebhook, changed: str = "") -> SaveOutcome:
    """Describe the hub's response to a webhook. ``changed`` is "email" if the person changed that, otherwise empty."""
    body = sent.json if isinstance(sent.json, dict) else {}
    reference = body["reference"] if isinstance(body.get("reference"), str) else None
    status = body.get("status")
    if sent.status == 202 or (sent.status == 200 and status == "accepted"):
        return SaveOutcome("wait", "Saved", "The other systems will be updated shortly.", reference)
    # A 200 alone proves nothing: something else may listen at the hub's address.
    if sent.status == 200 and isinstance(status, str) and status in _SUCCESSES:
        is_email_updated = status == "succeeded" and changed == "email"
        return SaveOutcome(
            "good", "Saved", _EMAIL_SUCCESS if is_email_updated else _SUCCESSES[status], reference
        )
    return _describe_failure(sent, body, reference)


def _describe_failure(sent: SentWebhook, body: dict[str, object], reference: str | None) -> SaveOutcome:
    title, detail = body.get("title"), body.get("detail")
    sentence = (
        detail
        if isinstance(detail, str)
        else sent.error or "The other systems returned an unexpected response."
    )
    if body.get("retrying") is True:
        headline = title if isinstance(title, str) else "The other systems are not updated yet"
        return SaveOutcome("wait", headline, f"{sentence} The hub retries automatically.", reference, True)
    headline = title if isinstance(title, str) else "The other systems could not be notified"
    return SaveOutcome("bad", headline, sentence, reference, True, _list_field_messages(body.get("errors")))


def _list_field_messages(errors: object) -> dict[str, str]:
    """Return a message for each form field that an error of the hub names."""
    messages: dict[str, str] = {}
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            name = str(error.get("field", "")).rsplit(".", maxsplit=1)[-1].lower()
            messages.setdefault(
                _FORM_FIELDS.get(name, name), str(error.get("detail") or error.get("message") or "")
            )
    return messages
