"""Why a request of a connector failed, in the language of the reader.

Connectors give an English message such as `GET /api/users: the response is not a list`, which is logged, and stored
with the test of a connection. Here it is recognised by its template.
"""

from django.utils.translation import gettext, gettext_noop

from console.ui.stored_failures import EXCHANGE_FAILURES, translate_by_template

TEMPLATES = (
    *EXCHANGE_FAILURES,
    gettext_noop("responded with %(status)s and an error in its body"),
    gettext_noop("responded with %(status)s"),
    gettext_noop("the token endpoint responded with %(status)s and an error"),
    gettext_noop("the token endpoint responded with %(status)s"),
    gettext_noop("the log-in responded with %(status)s"),
    gettext_noop("the request for a CSRF token got the response %(status)s"),
    # The request.
    gettext_noop("the expression at %(place)s does not fit the data"),
    gettext_noop("the expression exceeds 10,000 steps, 256 KiB or 100 ms"),
    gettext_noop("the request body cannot be encoded"),
    gettext_noop("the placeholder {%(name)s} has no value"),
    gettext_noop("a value cannot be used in a header"),
    gettext_noop("an id contains characters that are not allowed in a path"),
    gettext_noop("a value contains characters that are not allowed in a path"),
    gettext_noop("a value contains characters that cannot be sent"),
    gettext_noop("the request contains characters that cannot be sent"),
    gettext_noop("the final URL differs from the intended one"),
    gettext_noop("the request cannot be signed"),
    # The response.
    gettext_noop("the response is not JSON"),
    gettext_noop("the response is nested too deeply"),
    gettext_noop("an object was expected"),
    gettext_noop("the setting `id` finds no id"),
    gettext_noop("the setting `created_id` finds no id"),
    gettext_noop("`field_values` of “%(field)s” finds values other than texts and numbers"),
    gettext_noop("an id of at most %(most)s characters was expected"),
    gettext_noop("the response is about another entity"),
    gettext_noop("the response is about another record"),
    gettext_noop("a listed entity is not found by its own path"),
    gettext_noop("a listed record is not found by its own path"),
    gettext_noop("the record is not found by its own path"),
    gettext_noop("the record has no version at the configured place"),
    gettext_noop("the record was changed since it was read"),
    gettext_noop("the settings do not say where the whole record is"),
    gettext_noop("the response has a 2xx status and states a failure"),
    gettext_noop("a search returned %(status)s; a rule in its `answers` must say if that means `absent`"),
    gettext_noop("a deletion returned %(status)s, and the record is still there"),
    gettext_noop("a search by “%(field)s” does not find a record that has the value"),
    gettext_noop("the search ignores the filter for “%(field)s”"),
    # Lists.
    gettext_noop("the response is not a list"),
    gettext_noop("the list names the same next page again"),
    gettext_noop("the place of the next page is too long"),
    gettext_noop("the address of the next page has an unexpected form"),
    gettext_noop("the address of the next page is not below the base URL"),
    gettext_noop("the address of the next page cannot be read"),
    # Tokens and sessions.
    gettext_noop("the response contains no token"),
    gettext_noop("the token is not a bearer token"),
    gettext_noop("no token was received after %(span)s"),
    gettext_noop("the response has no CSRF token that can be sent"),
    gettext_noop(
        "the stored refresh token cannot be decrypted: restore its key, or enter a new refresh token"
    ),
    gettext_noop(
        "the log-in was refused earlier, and is not retried until the settings change or the connection is tested"
    ),
    gettext_noop("the log-in response has no token"),
    gettext_noop("the log-in response has no %(name)s"),
    gettext_noop("the log-in response cannot be read: %(reason)s"),
    gettext_noop("the token cannot be sent as a header"),
    gettext_noop("the token cannot be sent as a cookie"),
    gettext_noop("the token cannot be sent"),
    # Settings that are missing.
    gettext_noop("The settings have no such entity type."),
    gettext_noop("The settings have no list for this entity type."),
    gettext_noop("The settings do not say how to list only the items that changed."),
    gettext_noop("The settings allow no search for the field “%(field)s”."),
    gettext_noop("No request of the update is for the fields that changed."),
    gettext_noop("The settings do not say how a DELETE request sends the version."),
    gettext_noop("The settings do not say how a record is deleted."),
    # Last, because most sentences could end so.
    gettext_noop("%(failure)s in %(seconds)s s"),
)


def translate_request_failure(message: str) -> str:
    """Return the message of a connector in the active language. Before its colon is the request, or the place of a
    setting.
    """
    call, colon, reason = message.partition(": ")
    return f"{call}{colon}{translate_reason(reason)}"


def translate_finding(code: str, detail: str) -> str:
    """Return what an attempt says of a field: the hub's own findings in the active language, others as they are."""
    return translate_reason(detail) if code == "not-configured" else gettext(detail)


def translate_reason(reason: str) -> str:
    """Return the reason of a failure in the active language; one that is not recognised as it is."""
    return translate_by_template(reason, TEMPLATES)
