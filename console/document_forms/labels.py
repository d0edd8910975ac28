"""Labels of settings and of places in documents. Pure."""

from config_schema.errors import SettingPath
from config_schema.translatable import join_texts, translatable

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
    "answers": translatable("Answer rules"),
    "apply": translatable("Functions to apply"),
    "as": translatable("Challenge is sent back as"),
    "ca": translatable("CA certificates"),
    "caseless": translatable("Compared without case"),
    "cleared": translatable("If cleared"),
    "client": translatable("Client of the log-in"),
    "complete": translatable("List is complete"),
    "consumer_only": translatable("Signed without a token"),
    "count": translatable("Parameter of the page size"),
    "create": translatable("Create a record"),
    "created_id": translatable("ID of a created record"),
    "csrf": translatable("CSRF token"),
    "cursor": translatable("Parameter of the cursor"),
    "delete": translatable("Delete a record"),
    "detached": translatable("Detached signature"),
    "digest_claim": translatable("Claim with the digest"),
    "drop": translatable("Values removed before storing"),
    "error": translatable("Error responses"),
    "first": translatable("Start of the first page"),
    "first_page": translatable("Number of the first page"),
    "from": translatable("Challenge comes from"),
    "get": translatable("Read a record"),
    "id_characters": translatable("Extra characters allowed in IDs"),
    "id_claim": translatable("Claim with the ID"),
    "id_may_change": translatable("ID may change on update"),
    "id_header": translatable("Header with the ID"),
    "in": translatable("Place of the parameter"),
    "jwks_url": translatable("JWKS URL"),
    "leeway": translatable("Clock tolerance (seconds)"),
    "linked": translatable("Refers to entity type"),
    "list": translatable("List request"),
    "list_items": translatable("Fields in items of lists"),
    "log_in": translatable("Log-in request"),
    "log_in_refused": translatable("Responses when the log-in is refused"),
    "match": translatable("Matching"),
    "max_bytes": translatable("Maximum size (bytes)"),
    "max_events": translatable("Maximum events per request"),
    "means": translatable("Meaning"),
    "modified": translatable("Time of the last change"),
    "modified_since": translatable("Filter by time of change"),
    "more_cookies": translatable("Additional cookies"),
    "needs_expiry": translatable("Requires an expiry"),
    "networks": translatable("Allowed networks"),
    "new": translatable("New values"),
    "next": translatable("Next page in the response"),
    "omit": translatable("Fields not sent"),
    "page": translatable("Parameter of the page number"),
    "previous": translatable("Previous values"),
    "probe": translatable("Test request"),
    "query": translatable("Query parameters"),
    "raw": translatable("Whole record"),
    "read": translatable("Place of the version"),
    "record": translatable("Record in the response"),
    "reference_wait_minutes": translatable("Wait for referenced records (minutes)"),
    "refused": translatable("Responses when refused"),
    "result": translatable("Result in the response"),
    "results": translatable("List in the response"),
    "says": translatable("Sentence for the source"),
    "scheme": translatable("Authentication scheme"),
    "search": translatable("Search for records"),
    "searchable": translatable("People are found by it"),
    "second": translatable("Second secret"),
    "send": translatable("How it is sent"),
    "sentence": translatable("Error message"),
    "signed": translatable("Signed parts"),
    "size": translatable("Items per page"),
    "stale": translatable("Responses when outdated"),
    "start": translatable("Parameter of the start"),
    "style": translatable("Update style"),
    "time": translatable("Part with the time"),
    "token_ca": translatable("CA certificates of the token endpoint"),
    "total": translatable("Total in the response"),
    "update": translatable("Update a record"),
    "wait": translatable("Wait before the next request"),
    "wait_header": translatable("Header with the wait"),
    "when": translatable("Condition"),
    "when_absent": translatable("If null"),
    "when_missing": translatable("If the record is missing"),
    "where": translatable("Item with"),
    "whole_items": translatable("Items are whole entities"),
    "window": translatable("Time window (seconds)"),
}


def label_name(name: str) -> str:
    """Return the label of the setting of this name: that of the table, or its words: `token_url` as “Token URL”."""
    if name in LABELS:
        return LABELS[name]
    words = name.replace("_", " ").strip().split(" ")
    text = " ".join(_ACRONYMS.get(word, word) for word in words)
    return text[:1].upper() + text[1:]


def label_place(place: SettingPath) -> str:
    """Return the labels on the way to a place in a document. Numbers of lists count from 1."""
    return join_texts(
        " › ",
        (
            str(int(step) + 1) if isinstance(step, int) or step.isdecimal() else label_name(step)
            for step in place
        ),
    )
