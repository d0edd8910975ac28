"""Labels of settings and of places in documents."""

from django.utils.translation import gettext_lazy as _

from config_schema.errors import SettingPath

# Words of names that are not written in lower case.
_ACRONYMS = {
    "ca": "CA",
    "csrf": "CSRF",
    "hmac": "HMAC",
    "id": "ID",
    "ids": "IDs",
    "json": "JSON",
    "jwks": "JWKS",
    "jwt": "JWT",
    "url": "URL",
}
# Labels of settings whose names alone do not say what they are. A setting has the same label wherever it is.
LABELS = {
    "answers": _("Answer rules"),
    "apply": _("Functions to apply"),
    "as": _("Challenge is sent back as"),
    "ca": _("CA certificates"),
    "caseless": _("Compared without case"),
    "cleared": _("If cleared"),
    "client": _("Client of the log-in"),
    "complete": _("List is complete"),
    "consumer_only": _("Signed without a token"),
    "count": _("Parameter of the page size"),
    "create": _("Create a record"),
    "created_id": _("ID of a created record"),
    "csrf": _("CSRF token"),
    "cursor": _("Parameter of the cursor"),
    "delete": _("Delete a record"),
    "detached": _("Detached signature"),
    "digest_claim": _("Claim with the digest"),
    "drop": _("Values removed before storing"),
    "error": _("Error responses"),
    "first": _("Start of the first page"),
    "first_page": _("Number of the first page"),
    "from": _("Challenge comes from"),
    "get": _("Read a record"),
    "id_characters": _("Extra characters allowed in IDs"),
    "id_claim": _("Claim with the ID"),
    "id_may_change": _("ID may change on update"),
    "id_header": _("Header with the ID"),
    "in": _("Place of the parameter"),
    "jwks_url": _("JWKS URL"),
    "leeway": _("Clock tolerance (seconds)"),
    "linked": _("Refers to entity type"),
    "list": _("List request"),
    "list_items": _("Fields in items of lists"),
    "log_in": _("Log-in request"),
    "log_in_refused": _("Responses when the log-in is refused"),
    "match": _("Matching"),
    "max_bytes": _("Maximum size (bytes)"),
    "max_events": _("Maximum events per request"),
    "means": _("Meaning"),
    "modified": _("Time of the last change"),
    "modified_since": _("Filter by time of change"),
    "more_cookies": _("Additional cookies"),
    "needs_expiry": _("Requires an expiry"),
    "networks": _("Allowed networks"),
    "new": _("New values"),
    "next": _("Next page in the response"),
    "omit": _("Fields not sent"),
    "page": _("Parameter of the page number"),
    "previous": _("Previous values"),
    "probe": _("Test request"),
    "query": _("Query parameters"),
    "raw": _("Whole record"),
    "read": _("Place of the version"),
    "record": _("Record in the response"),
    "reference_wait_minutes": _("Wait for referenced records (minutes)"),
    "refused": _("Responses when refused"),
    "result": _("Result in the response"),
    "results": _("List in the response"),
    "says": _("Sentence for the source"),
    "scheme": _("Authentication scheme"),
    "search": _("Search for records"),
    "searchable": _("People are found by it"),
    "second": _("Second secret"),
    "send": _("How it is sent"),
    "sentence": _("Error message"),
    "signed": _("Signed parts"),
    "size": _("Items per page"),
    "stale": _("Responses when outdated"),
    "start": _("Parameter of the start"),
    "style": _("Update style"),
    "time": _("Part with the time"),
    "token_ca": _("CA certificates of the token endpoint"),
    "total": _("Total in the response"),
    "update": _("Update a record"),
    "wait": _("Wait before the next request"),
    "wait_header": _("Header with the wait"),
    "when": _("Condition"),
    "when_absent": _("If null"),
    "when_missing": _("If the record is missing"),
    "where": _("Item with"),
    "whole_items": _("Items are whole entities"),
    "window": _("Time window (seconds)"),
}


def label_name(name: str) -> str:
    """Return the label of the setting of this name: that of the table, or its words: `token_url` as “Token URL”."""
    if name in LABELS:
        return str(LABELS[name])
    words = name.replace("_", " ").strip().split(" ")
    text = " ".join(_ACRONYMS.get(word, word) for word in words)
    return text[:1].upper() + text[1:]


def label_place(place: SettingPath) -> str:
    """Return the labels on the way to a place in a document. Numbers of lists count from 1."""
    return " › ".join(
        str(int(step) + 1) if isinstance(step, int) or step.isdecimal() else label_name(step)
        for step in place
    )
